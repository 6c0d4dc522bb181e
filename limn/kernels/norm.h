// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace limn::kernels {

/// Group normalisation (Wu & He 2018) of [batch, pixels, channels], as a scale and a shift a channel:
/// norm(x) = x · scale + shift, scale = weight / √(var + eps), shift = bias − mean · scale. Sums of a channel are made in
/// float32 over 256 pixels, the rest in double.
template <typename T>
struct GroupNormArguments {
  const T* x = nullptr;                                     // contiguous
  int64_t batch = 0, pixels = 0, channels = 0, groups = 0;  // groups divides channels
  double eps = 0;
  const float* weight = nullptr;  // [channels]
  const float* bias = nullptr;    // [channels]
  float* scale = nullptr;         // [batch, channels], written
  float* shift = nullptr;         // [batch, channels], written
};
using GroupNormArgs = GroupNormArguments<float>;
using GroupNormBf16Args = GroupNormArguments<uint16_t>;  // bits of bfloat16

/// A picture's bits depend on no other picture, nor on the number of threads. Safe to call from several threads.
void group_norm_scales(const GroupNormArgs& args);
void group_norm_scales(const GroupNormBf16Args& args);

/// y = act(x · scale + shift), act being SiLU or nothing; y may be x.
void scale_and_shift(const float* x, int64_t batch, int64_t pixels, int64_t channels, const float* scale,
                     const float* shift, bool silu, float* y);
/// The same on bits of bfloat16, as float32 until y is rounded to the nearest even.
void scale_and_shift(const uint16_t* x, int64_t batch, int64_t pixels, int64_t channels, const float* scale,
                     const float* shift, bool silu, uint16_t* y);

/// Layer normalisation (Ba et al. 2016) of each row of [rows, features], contiguous. y may be x.
void layer_norm(const float* x, int64_t rows, int64_t features, double eps, const float* weight,
                const float* bias, float* y);
/// The same on bits of bfloat16, as float32 until y is rounded to the nearest even.
void layer_norm(const uint16_t* x, int64_t rows, int64_t features, double eps, const float* weight,
                const float* bias, uint16_t* y);

}  // namespace limn::kernels
