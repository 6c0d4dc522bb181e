// SPDX-License-Identifier: Apache-2.0
// Arrays of any element type read as float32, and those of float32 and bits of bfloat16 written, once for each of Highway's
// targets.
#if defined(LIMN_KERNELS_STORAGE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIMN_KERNELS_STORAGE_INL_H_
#undef LIMN_KERNELS_STORAGE_INL_H_
#else
#define LIMN_KERNELS_STORAGE_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace storage {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE float widened(float x) { return x; }
HWY_INLINE float widened(uint16_t x) { return hwy::F32FromBF16(hwy::bfloat16_t{x}); }
HWY_INLINE float widened(int8_t x) { return x; }
#if HWY_TARGET != HWY_SCALAR
HWY_INLINE float widened(hwy::float16_t x) {
  const hn::FixedTag<float, 1> d1;
  return hn::GetLane(hn::PromoteTo(d1, hn::LoadU(hn::Rebind<hwy::float16_t, decltype(d1)>(), &x)));
}
#else
HWY_INLINE float widened(hwy::float16_t x) {
  const hn::Sisd<float> d1;
  return hn::GetLane(hn::PromoteTo(d1, hn::LoadU(hn::Sisd<hwy::float16_t>(), &x)));
}
#endif

/// Rounded to the nearest, ties to even; a NaN becomes the quiet one.
HWY_INLINE void narrow(float x, float& to) { to = x; }
HWY_INLINE void narrow(float x, uint16_t& to) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  to = x != x ? 0x7FC0 : static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V load(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V load(D d, const uint16_t* from) {
  const hn::RebindToUnsigned<D> bits;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(hn::Rebind<uint16_t, D>(), from))));
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V load(D d, const int8_t* from) {
  return hn::ConvertTo(d, hn::PromoteTo(hn::RebindToSigned<D>(), hn::LoadU(hn::Rebind<int8_t, D>(), from)));
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V load(D d, const hwy::float16_t* from) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), from));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE void store(V x, D d, float* to) {
  hn::StoreU(x, d, to);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE void store(V x, D d, uint16_t* to) {
  const hn::RebindToUnsigned<D> words;
  const hn::Rebind<uint16_t, D> halves;
  const auto bits = hn::BitCast(words, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto sum = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFF))));
  const auto kept = hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(x)), hn::Set(words, 0x7FC0), sum);
  hn::StoreU(hn::DemoteTo(halves, hn::BitCast(hn::RebindToSigned<D>(), kept)), halves, to);
}

/// to[i] = from[i] for i < count, of fewer numbers than a vector's.
template <typename From, typename To>
HWY_INLINE void copy(const From* from, int64_t count, To* to) {
  for (int64_t i = 0; i < count; ++i) narrow(widened(from[i]), to[i]);
}

}  // namespace storage
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
