// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/tiles.h"

#include <set>

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"

namespace limn::pipelines {
namespace {

/// Where tiles start along a side, in order.
std::vector<int64_t> starts(int64_t side, int64_t tile, int64_t overlap) {
  std::set<int64_t> out;
  for (const Tile& t : tiles_of(1, side, tile, overlap)) out.insert(t.x);
  return {out.begin(), out.end()};
}

TEST(Tiles, CoverEverySideAndOverlapByWhatWasAskedFor) {
  for (int64_t tile = 1; tile <= 12; ++tile)
    for (int64_t overlap = 0; overlap < tile; ++overlap)
      for (int64_t side = 1; side <= 40; ++side) {
        const std::vector<int64_t> found = starts(side, tile, overlap);
        const std::string what = std::to_string(side) + " in tiles of " + std::to_string(tile) + ", " +
                                 std::to_string(overlap) + " over one another";
        ASSERT_EQ(found.front(), 0) << what;
        ASSERT_GE(found.back() + tile, side) << what;
        if (side > tile) ASSERT_EQ(found.back() + tile, side) << what;
        for (size_t i = 1; i < found.size(); ++i) ASSERT_GE(found[i - 1] + tile - found[i], overlap) << what;
      }
}

TEST(Tiles, CountEveryPlaceSomewhere) {
  for (const auto& [height, width, tile, overlap] :
       std::vector<std::array<int64_t, 4>>{{17, 16, 8, 0}, {17, 9, 8, 7}, {8, 40, 8, 4}, {5, 3, 8, 7}}) {
    const at::Tensor weights = at::zeros({1, 1, height, width});
    for (const Tile& t : tiles_of(height, width, tile, overlap)) t.of(weights).add_(t.weights(overlap));
    EXPECT_GT(weights.min().item<double>(), 0) << height << " × " << width;
  }
}

TEST(Tiles, ThatWouldNotMoveAreRefused) {
  for (const int64_t overlap : {8, 9, 16, -1}) EXPECT_THROW(tiles_of(17, 17, 8, overlap), Error) << overlap;
  EXPECT_THROW(tiles_of(17, 17, 0, 0), Error);
}

}  // namespace
}  // namespace limn::pipelines
