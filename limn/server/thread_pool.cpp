// SPDX-License-Identifier: Apache-2.0
#include "limn/server/thread_pool.h"

#include <system_error>
#include <thread>

namespace limn::server {

ThreadPool::ThreadPool(size_t most, std::chrono::milliseconds idle) : most_(most), idle_(idle) {}

ThreadPool::~ThreadPool() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  work_came_.notify_all();
  work_done_.wait(lock, [&] { return threads_ == 0; });
}

bool ThreadPool::run(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (busy_ + waiting_.size() == threads_) {
    if (threads_ == most_) return false;
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {  // the system has no more
      return false;
    }
    ++threads_;
  }
  waiting_.push_back(std::move(work));
  work_came_.notify_one();
  return true;
}

bool ThreadPool::wait_until_idle(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  return work_done_.wait_until(lock, until, [&] { return busy_ == 0 && waiting_.empty(); });
}

void ThreadPool::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_came_.wait_for(lock, idle_, [&] { return !waiting_.empty() || closing_; });
    if (waiting_.empty()) break;
    std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    ++busy_;
    lock.unlock();
    work();
    work = nullptr;  // what it holds ends without the lock
    lock.lock();
    --busy_;
    work_done_.notify_all();
  }
  --threads_;
  work_done_.notify_all();
}

}  // namespace limn::server
