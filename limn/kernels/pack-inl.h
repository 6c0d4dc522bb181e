// SPDX-License-Identifier: Apache-2.0
// Weights [column][depth] of any element type to float32 panels [depth][column], once for each of Highway's targets.
#if defined(LIMN_KERNELS_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIMN_KERNELS_PACK_INL_H_
#undef LIMN_KERNELS_PACK_INL_H_
#else
#define LIMN_KERNELS_PACK_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "limn/kernels/element_type.h"
#include "limn/kernels/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// out[k · stride + column] = from[column · depth_stride + k] for k < depth, column < 4.
template <typename T>
HWY_INLINE void transpose_four(const T* HWY_RESTRICT from, int64_t depth_stride, int64_t depth,
                               float* HWY_RESTRICT out, int64_t stride) {
  int64_t k = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d4;
  const hn::RepartitionToWide<decltype(d4)> d2;
  for (; k + 4 <= depth; k += 4) {
    const auto r0 = storage::load(d4, from + k), r1 = storage::load(d4, from + depth_stride + k);
    const auto r2 = storage::load(d4, from + 2 * depth_stride + k),
               r3 = storage::load(d4, from + 3 * depth_stride + k);
    const auto a = hn::BitCast(d2, hn::InterleaveLower(d4, r0, r1)),
               b = hn::BitCast(d2, hn::InterleaveLower(d4, r2, r3));
    const auto c = hn::BitCast(d2, hn::InterleaveUpper(d4, r0, r1)),
               e = hn::BitCast(d2, hn::InterleaveUpper(d4, r2, r3));
    hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, a, b)), d4, out + k * stride);
    hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, a, b)), d4, out + (k + 1) * stride);
    hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, c, e)), d4, out + (k + 2) * stride);
    hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, c, e)), d4, out + (k + 3) * stride);
  }
#endif
  for (; k < depth; ++k)
    for (int64_t column = 0; column < 4; ++column)
      out[k * stride + column] = storage::widened(from[column * depth_stride + k]);
}

/// Columns [0, columns) of `width` at `from`; the others become 0.
template <typename T>
HWY_INLINE void transpose_columns(const T* from, int64_t depth_stride, int64_t depth, int64_t columns,
                                  int64_t width, float* out) {
  int64_t column = 0;
  for (; column + 4 <= columns; column += 4)
    transpose_four(from + column * depth_stride, depth_stride, depth, out + column, width);
  for (; column < width; ++column)
    for (int64_t k = 0; k < depth; ++k)
      out[k * width + column] = column < columns ? storage::widened(from[column * depth_stride + k]) : 0.0F;
}

/// out[k][column] *= scales[column]
HWY_INLINE void scale_columns(const float* HWY_RESTRICT scales, int64_t depth, int64_t columns, int64_t width,
                              float* HWY_RESTRICT out) {
  for (int64_t k = 0; k < depth; ++k, out += width)
    for (int64_t column = 0; column < columns; ++column) out[column] *= scales[column];
}

/// out [depth][width] = weights[first_column + column][first + k]; columns past `columns` become 0.
HWY_INLINE void pack(const Weights& weights, int64_t first_column, int64_t columns, int64_t depth_stride,
                     int64_t first, int64_t depth, int64_t width, float* out) {
  const int64_t at = first_column * depth_stride + first;
  switch (weights.type) {
    case ElementType::Float32:
      return transpose_columns(static_cast<const float*>(weights.data) + at, depth_stride, depth, columns,
                               width, out);
    case ElementType::Float16:
      return transpose_columns(static_cast<const hwy::float16_t*>(weights.data) + at, depth_stride, depth,
                               columns, width, out);
    case ElementType::BFloat16:
      return transpose_columns(static_cast<const uint16_t*>(weights.data) + at, depth_stride, depth, columns,
                               width, out);
    case ElementType::Int8:
      transpose_columns(static_cast<const int8_t*>(weights.data) + at, depth_stride, depth, columns, width,
                        out);
      return scale_columns(weights.scales + first_column, depth, columns, width, out);
  }
}

}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
