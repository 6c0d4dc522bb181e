// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/tiles.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/minimum.h>

#include "limn/base/error.h"

namespace limn::pipelines {
namespace {

/// Where windows start along a side: evenly spread, the last one ending at the edge.
std::vector<int64_t> starts_of(int64_t side, int64_t tile, int64_t overlap) {
  if (side <= tile) return {0};
  const int64_t step = tile - overlap;
  const int64_t count = (side - overlap + step - 1) / step;  // 2 or more: the side is longer than a tile
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < count; ++i) starts.push_back(i * (side - tile) / (count - 1));
  return starts;
}

at::Tensor ramp(int64_t length, int64_t overlap) {
  const at::Tensor x = at::arange(length, at::kFloat);
  return at::minimum(x + 1, static_cast<double>(length) - x)
      .clamp_max(static_cast<double>(std::max<int64_t>(overlap, 1)));
}

}  // namespace

at::Tensor Tile::of(const at::Tensor& whole) const {
  return whole.slice(-2, y, y + height).slice(-1, x, x + width);
}

at::Tensor Tile::weights(int64_t overlap) const {
  return (ramp(height, overlap).unsqueeze(1) * ramp(width, overlap).unsqueeze(0)).view({1, 1, height, width});
}

std::vector<Tile> tiles_of(int64_t height, int64_t width, int64_t tile, int64_t overlap) {
  LIMN_CHECK(tile > 0 && overlap >= 0 && overlap < tile, "tiles that overlap by all of themselves");
  std::vector<Tile> out;
  for (const int64_t y : starts_of(height, tile, overlap))
    for (const int64_t x : starts_of(width, tile, overlap))
      out.push_back({y, x, std::min(tile, height - y), std::min(tile, width - x)});
  return out;
}

}  // namespace limn::pipelines
