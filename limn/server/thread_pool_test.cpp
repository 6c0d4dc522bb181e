// SPDX-License-Identifier: Apache-2.0
#include "limn/server/thread_pool.h"

#include <atomic>
#include <future>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace limn::server {
namespace {

using namespace std::chrono_literals;

TEST(ThreadPool, RunsWorkAtOnceUpToItsLimit) {
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  std::atomic<int> running = 0, done = 0;
  {
    ThreadPool pool(3);
    const auto work = [&] {
      ++running;
      gone.wait();
      ++done;
    };
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.run(work));
    EXPECT_FALSE(pool.run(work));
    while (running < 3) std::this_thread::yield();
    EXPECT_FALSE(pool.wait_until_idle(std::chrono::steady_clock::now() + 10ms));
    go.set_value();
    EXPECT_TRUE(pool.wait_until_idle(std::chrono::steady_clock::now() + 10s));
    EXPECT_TRUE(pool.run([] {}));
  }
  EXPECT_EQ(done, 3);
}

TEST(ThreadPool, UsesItsThreadsAgainAndLetsThemGo) {
  ThreadPool pool(100, 50ms);
  std::set<std::thread::id> threads;
  for (int i = 0; i < 20; ++i) {
    std::promise<std::thread::id> id;
    ASSERT_TRUE(pool.run([&] { id.set_value(std::this_thread::get_id()); }));
    threads.insert(id.get_future().get());
    ASSERT_TRUE(pool.wait_until_idle(std::chrono::steady_clock::now() + 10s));
  }
  EXPECT_EQ(threads.size(), 1u);
  std::this_thread::sleep_for(200ms);
  std::promise<void> again;
  ASSERT_TRUE(pool.run([&] { again.set_value(); }));
  again.get_future().get();
}

TEST(ThreadPool, LosesNoWork) {
  std::atomic<int> done = 0;
  int taken = 0;
  {
    ThreadPool pool(4, 1ms);
    for (int i = 0; i < 5000; ++i) taken += pool.run([&] { ++done; });
  }
  EXPECT_EQ(done, taken);
  EXPECT_GT(taken, 0);
}

}  // namespace
}  // namespace limn::server
