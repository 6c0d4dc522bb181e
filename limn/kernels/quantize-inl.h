// SPDX-License-Identifier: Apache-2.0
// A row of numbers to integers of 8 bits, as quantize.h says, once for each of Highway's targets.
#if defined(LIMN_KERNELS_QUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIMN_KERNELS_QUANTIZE_INL_H_
#undef LIMN_KERNELS_QUANTIZE_INL_H_
#else
#define LIMN_KERNELS_QUANTIZE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "limn/kernels/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace quantization {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr D d;
constexpr int64_t kLanes = hn::MaxLanes(d);

/// Calls visit(first, count, numbers) for a row's vectors; the last one's other lanes are 0.
template <typename T, typename Visit>
HWY_INLINE void for_row(const T* row, int64_t size, const Visit& visit) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) visit(i, kLanes, storage::load(d, row + i));
  if (i == size) return;
  T lanes[kLanes] = {};
  std::copy(row + i, row + size, lanes);
  visit(i, size - i, storage::load(d, lanes));
}

/// `out` and `scale` as quantize_rows() has them.
template <typename T>
void quantize_row(const T* row, int64_t size, int8_t* out, float* scale) {
  V most = hn::Zero(d), gaps = hn::Zero(d);
  for_row(row, size, [&](int64_t, int64_t, V x) HWY_ATTR {
    most = hn::Max(most, hn::Abs(x));
    gaps = hn::Add(gaps, hn::Sub(x, x));  // NaN unless x is finite
  });
  const bool finite = hn::AllTrue(d, hn::Eq(gaps, gaps));
  *scale = hn::GetLane(hn::MaxOfLanes(d, most)) / 127;
  if (!finite || *scale < std::numeric_limits<float>::min()) {
    *scale = finite ? 0 : std::numeric_limits<float>::quiet_NaN();
    std::fill_n(out, size, int8_t{0});
    return;
  }
  const V divisor = hn::Set(d, *scale);
  const hn::Rebind<int8_t, D> bytes;
  for_row(row, size, [&](int64_t first, int64_t count, V x) HWY_ATTR {
    const auto integers = hn::DemoteTo(bytes, hn::NearestInt(hn::Div(x, divisor)));
    if (count == kLanes) return hn::StoreU(integers, bytes, out + first);
    int8_t lanes[kLanes];
    hn::StoreU(integers, bytes, lanes);
    std::copy_n(lanes, std::min(count, kLanes), out + first);
  });
}

}  // namespace quantization
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
