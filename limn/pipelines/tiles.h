// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace limn::pipelines {

/// A window of a map, its place and size in the map's own units.
struct Tile {
  int64_t y, x, height, width;

  /// The window of [.., height, width], without copying.
  at::Tensor of(const at::Tensor& whole) const;
  /// How much each place counts, [1, 1, height, width]: rises from the edges over `overlap`, never 0.
  at::Tensor weights(int64_t overlap) const;
  Tile times(int64_t factor) const { return {y * factor, x * factor, height * factor, width * factor}; }
};

/// Windows of at most tile × tile that cover a map, evenly spread, neighbours overlapping by `overlap` or more.
/// @param overlap  less than `tile`
std::vector<Tile> tiles_of(int64_t height, int64_t width, int64_t tile, int64_t overlap);

}  // namespace limn::pipelines
