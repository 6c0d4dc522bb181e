// SPDX-License-Identifier: Apache-2.0
// The micro-kernel that linear layers and convolutions share, once for each of Highway's targets.
#if defined(LIMN_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIMN_KERNELS_TILE_INL_H_
#undef LIMN_KERNELS_TILE_INL_H_
#else
#define LIMN_KERNELS_TILE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr D d;
constexpr int64_t kLanes = hn::MaxLanes(d);

/// A packed panel is [k][kPanel]: two vectors of columns for each k.
constexpr int64_t kPanel = 2 * kLanes;
/// Rows of a tile: accumulators, two columns and one row value fill the registers (32, or 16 before AVX-512).
constexpr int kTileRows = hn::MaxLanes(d) == 8 ? 6 : 14;

/// c[r][0, kPanel) = (accumulate ? c : 0) + Σ a[r][k] · panel[k], in the order of k, r < Rows. Whatever the number of
/// rows, a row's sum is made of the same operations.
template <int Rows>
HWY_INLINE void tile_rows(const float* HWY_RESTRICT a, int64_t a_stride, const float* HWY_RESTRICT panel,
                          int64_t depth, float* HWY_RESTRICT c, int64_t c_stride, bool accumulate) {
  V sums[Rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    sums[r][0] = accumulate ? hn::LoadU(d, c + r * c_stride) : hn::Zero(d);
    sums[r][1] = accumulate ? hn::LoadU(d, c + r * c_stride + kLanes) : hn::Zero(d);
  }
  for (int64_t k = 0; k < depth; ++k) {
    const V left = hn::Load(d, panel + k * kPanel), right = hn::Load(d, panel + k * kPanel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const V value = hn::Set(d, a[r * a_stride + k]);
      sums[r][0] = hn::MulAdd(value, left, sums[r][0]);
      sums[r][1] = hn::MulAdd(value, right, sums[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    hn::StoreU(sums[r][0], d, c + r * c_stride);
    hn::StoreU(sums[r][1], d, c + r * c_stride + kLanes);
  }
}

template <int Rows = kTileRows>
HWY_INLINE void tile_at_most(int rows, const float* a, int64_t a_stride, const float* panel, int64_t depth,
                             float* c, int64_t c_stride, bool accumulate) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return tile_at_most<Rows - 1>(rows, a, a_stride, panel, depth, c, c_stride, accumulate);
  }
  tile_rows<Rows>(a, a_stride, panel, depth, c, c_stride, accumulate);
}

/// The same for any number of rows.
static HWY_NOINLINE void multiply_panel(int64_t rows, const float* a, int64_t a_stride, const float* panel,
                                        int64_t depth, float* c, int64_t c_stride, bool accumulate) {
  int64_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows)
    tile_rows<kTileRows>(a + r * a_stride, a_stride, panel, depth, c + r * c_stride, c_stride, accumulate);
  if (r < rows)
    tile_at_most(static_cast<int>(rows - r), a + r * a_stride, a_stride, panel, depth, c + r * c_stride,
                 c_stride, accumulate);
}

}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
