// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

namespace limn::nn {

/// While one lives, layers on this thread compute by their plain definitions, one call of LibTorch each (`--plain`).
class PlainPath {
 public:
  explicit PlainPath(bool plain = true);
  ~PlainPath();
  PlainPath(const PlainPath&) = delete;
  PlainPath& operator=(const PlainPath&) = delete;

 private:
  bool before_;
};

/// Whether the processor has vectors that limn's kernels are written for.
bool has_kernels();

/// Whether it multiplies in bfloat16, faster than in float32.
bool multiplies_bfloat16();

/// Whether layers may use limn's kernels for `x`: float32 or bfloat16 on a CPU with vectors, no gradients wanted, no
/// PlainPath. Results below have x's type.
bool takes_fast_path(const at::Tensor& x);

/// Whether limn's kernels read weights that lie so: contiguous on the CPU, float32 or 16 bits wide.
bool is_readable(const at::Tensor& weight);

/// A weight as kernels read it: as is_readable says, or int8 with a scale an output.
struct FastWeight {
  at::Tensor tensor;
  at::Tensor scales = {};  // float32 [out], of int8
  bool rounds_inputs =
      false;  // of int8: what is multiplied is rounded too (kernels::LinearArguments::int8_x)
};

/// A readable weight [out, ...] as int8 of the same shape, and its scales [out]: kernels::quantize_rows.
std::pair<at::Tensor, at::Tensor> fast_quantized(const at::Tensor& weight);

/// The activation of a convolution's input, applied while it is read.
struct FastNorm {
  at::Tensor scale, shift;  // [batch, channels]; undefined for none
  bool silu = false;
};

/// Scale and shift of a group norm, float32 [batch, channels] each.
/// @param x  [batch, channels, height, width] in channels-last memory
FastNorm fast_group_norm(const at::Tensor& x, int64_t groups, const at::Tensor& weight,
                         const at::Tensor& bias, double eps);

/// act(x · scale + shift), in x's shape and memory format.
at::Tensor fast_scale_and_shift(const at::Tensor& x, const FastNorm& norm);

/// kernels::layer_norm over the last dimension.
at::Tensor fast_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);

/// kernels::linear.  x [..., in] → [..., out], or half of it with `geglu`. bias and residual may be undefined.
at::Tensor fast_linear(const at::Tensor& x, const FastWeight& weight, const at::Tensor& bias,
                       const at::Tensor& residual, bool geglu = false);

/// Whether fast_conv3x3 takes less time than LibTorch's convolution.
bool fast_conv3x3_pays(int64_t height, int64_t width, int64_t channels, int64_t out_channels);

/// kernels::winograd_conv3x3.
/// @param x         [batch, in, height, width] in channels-last memory, as is the result
/// @param addition  [batch, out] or undefined
/// @param residual  as the result, or undefined
at::Tensor fast_conv3x3(const at::Tensor& x, const FastNorm& norm, const FastWeight& weight,
                        const at::Tensor& bias, const at::Tensor& addition, const at::Tensor& residual);

/// Any other convolution, always by oneDNN: at::conv2d takes another way for small maps of a batch of one, whose bits differ.
/// In bfloat16, or where LibTorch has no oneDNN, at::conv2d.
/// @param x       [batch, in, height, width] in channels-last memory, as is the result
/// @param weight  [out, in, kernel, kernel] of x's type
at::Tensor fast_other_conv(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           int64_t stride, int64_t padding);

/// A 1 × 1 convolution: kernels::linear over pixels. Shapes as above.
at::Tensor fast_conv1x1(const at::Tensor& x, const FastWeight& weight, const at::Tensor& bias,
                        const at::Tensor& residual);

/// kernels::attention.  q [batch, tokens, heads · d], k and v [batch, context tokens, heads · d] → as q.
at::Tensor fast_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads);

}  // namespace limn::nn
