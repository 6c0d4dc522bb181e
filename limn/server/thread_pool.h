// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace limn::server {

/// Threads that come when work needs them and go when there has been none for a while. Safe to share.
class ThreadPool {
 public:
  explicit ThreadPool(size_t most, std::chrono::milliseconds idle = std::chrono::seconds(10));
  ~ThreadPool();  // waits for the work that was taken
  /// Runs `work`, which must not throw, in one of the threads. @return false: all of them are busy
  bool run(std::function<void()> work);
  /// @return whether all work was done by then
  bool wait_until_idle(std::chrono::steady_clock::time_point until);

 private:
  void serve();

  const size_t most_;
  const std::chrono::milliseconds idle_;
  std::mutex mutex_;
  std::condition_variable work_came_, work_done_;
  std::deque<std::function<void()>> waiting_;  // no more than threads are idle
  size_t threads_ = 0, busy_ = 0;
  bool closing_ = false;
};

}  // namespace limn::server
