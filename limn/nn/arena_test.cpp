// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/arena.h"

#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace limn::nn {
namespace {

constexpr int64_t kMegabyte = int64_t{1} << 20;

at::Tensor block(int64_t megabytes) { return at::empty({megabytes * kMegabyte}, at::kByte); }

size_t resident_bytes() {
  size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
}

TEST(Arena, GivesWhatATensorLeftToTheNext) {
  use_arena();
  at::Tensor first = block(8);
  const void* place = first.const_data_ptr();
  const at::Tensor second = block(8);
  first = at::Tensor();
  EXPECT_EQ(block(8).const_data_ptr(), place);
  EXPECT_EQ(block(3).const_data_ptr(), place) << "a part of it";
}

TEST(Arena, JoinsNeighboursThatAreFree) {
  use_arena();
  std::vector<at::Tensor> three{block(5), block(6), block(7)};
  const at::Tensor after = block(1);
  const void* place = three[0].const_data_ptr();
  three[0] = three[2] = three[1] = at::Tensor();  // the middle one last
  EXPECT_EQ(block(18).const_data_ptr(), place);
}

TEST(Arena, DoesNotGrowWhenTheSameWorkIsDoneAgain) {
  use_arena();
  const auto work = [] {
    std::vector<at::Tensor> alive;
    for (const int64_t size : {30, 2, 11, 64, 1, 7, 30, 90}) {
      alive.push_back(block(size));
      if (alive.size() > 3) alive.erase(alive.begin() + 1);
    }
  };
  work();
  const size_t reached = arena_use().most;
  for (int i = 0; i < 20; ++i) work();
  EXPECT_EQ(arena_use().most, reached);
}

TEST(Arena, KeepsBlocksApart) {
  use_arena();
  std::vector<std::thread> threads;
  for (uint8_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([thread] {
      std::mt19937 random(thread);
      std::vector<std::pair<at::Tensor, uint8_t>> alive;
      for (int i = 0; i < 200; ++i) {
        const auto mark = static_cast<uint8_t>(thread * 50 + i % 50);
        alive.emplace_back(
            at::full({kMegabyte + static_cast<int64_t>(random() % kMegabyte)}, mark, at::kByte), mark);
        if (alive.size() < 6) continue;
        const size_t gone = random() % alive.size();
        const auto* bytes = alive[gone].first.const_data_ptr<uint8_t>();
        for (int64_t at = 0; at < alive[gone].first.numel(); ++at) ASSERT_EQ(bytes[at], alive[gone].second);
        alive.erase(alive.begin() + static_cast<ptrdiff_t>(gone));
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Arena, GivesPagesBackWhenItIsTrimmed) {
  use_arena();
  trim_arena();
  const size_t before = resident_bytes(), in_use = arena_use().in_use;
  at::Tensor large = at::full({256 * kMegabyte}, 1, at::kByte);
  const at::Tensor above = at::full({2 * kMegabyte}, 1, at::kByte);
  EXPECT_GT(resident_bytes(), before + 250 * kMegabyte);
  large = at::Tensor();
  trim_arena();
  EXPECT_LT(resident_bytes(), before + 16 * kMegabyte);
  EXPECT_EQ(arena_use().in_use, in_use + 2 * kMegabyte);
  EXPECT_TRUE(above.eq(1).all().item<bool>()) << "what is alive stays";
}

TEST(Arena, LeavesSmallTensorsToMalloc) {
  use_arena();
  const size_t in_use = arena_use().in_use;
  const at::Tensor small = at::empty({1000}), none = at::empty({0});
  EXPECT_EQ(arena_use().in_use, in_use);
}

}  // namespace
}  // namespace limn::nn
