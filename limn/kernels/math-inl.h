// SPDX-License-Identifier: Apache-2.0
// Exponentials of vectors, once for each of Highway's targets.
#if defined(LIMN_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIMN_KERNELS_MATH_INL_H_
#undef LIMN_KERNELS_MATH_INL_H_
#else
#define LIMN_KERNELS_MATH_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// eˣ, relative error below 2e-7; 0 below -87.3, e^88.7 above 88.7 (also of NaN's neighbours: NaN stays NaN).
/// Cody & Waite's reduction to |r| ≤ ln 2 / 2, then the Taylor polynomial.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_of(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V clamped =
      hn::IfThenElse(hn::IsNaN(x), x, hn::Min(hn::Max(x, hn::Set(d, -87.3F)), hn::Set(d, 88.7F)));
  const auto n = hn::NearestInt(hn::Mul(hn::IfThenZeroElse(hn::IsNaN(x), clamped), hn::Set(d, 1.44269504F)));
  const V nf = hn::ConvertTo(d, n);
  const V r =
      hn::NegMulAdd(nf, hn::Set(d, -2.12194440e-4F), hn::NegMulAdd(nf, hn::Set(d, 0.693359375F), clamped));
  V p = hn::Set(d, 1.0F / 5040);
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F / 720));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F / 120));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F / 24));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F / 6));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  const V power = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(n, hn::Set(di, 127))));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3F)), hn::Mul(p, power));
}

/// x / (1 + e⁻ˣ)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V silu_of(D d, V x) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0F), exp_of(d, hn::Neg(x))));
}

/// x Φ(x), the exact GELU. erfc(|t|) = exp(|t| q(|t|)) with q fitted on [0, 4] (error of erfc below 1.2e-7).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_of(D d, V x) {
  constexpr float kFit[] = {2.2693302526e-05F,  -1.7311440024e-04F, 7.5324601494e-04F,
                            -1.8154057907e-03F, 2.6493106270e-04F,  1.9112832844e-02F,
                            -1.0277029872e-01F, -6.3661992550e-01F, -1.1283792257F};
  const V t = hn::Mul(x, hn::Set(d, 0.70710678F));
  const V size = hn::Abs(t), inside = hn::Min(size, hn::Set(d, 4.0F));
  V q = hn::Set(d, -1.3234562175e-06F);
  for (const float term : kFit) q = hn::MulAdd(q, inside, hn::Set(d, term));
  const V erfc = exp_of(d, hn::Mul(inside, q));
  const V tail = hn::IfThenZeroElse(hn::Gt(size, hn::Set(d, 4.0F)), erfc);  // below 1.6e-8
  const V twice_phi = hn::IfThenElse(hn::Lt(t, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 2.0F), tail));
  return hn::Mul(hn::Mul(x, hn::Set(d, 0.5F)), twice_phi);
}

}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
