// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "limn/nn/module.h"

namespace limn::nn {

/// An activation by the name configs use; one table, activations().
using ActivationFunction = at::Tensor (*)(const at::Tensor&);
struct Activation {
  std::string_view name;
  ActivationFunction apply;
};
/// @throws Error{Unsupported} at `where` that lists the known names
ActivationFunction find_activation(std::string_view name, const std::string& where);

/// A low-rank branch beside a layer's weight while it is trained: y += scale · up(down(x)).
/// Source: Hu et al. 2021, §4.1; convolutions as in LoCon: down has the layer's kernel, stride and padding, up is 1 × 1.
struct LowRank {
  at::Tensor down;  // [rank, in] or [rank, in, kernel, kernel]
  at::Tensor up;    // [out, rank] or [out, rank, 1, 1]
  double scale = 1;
};

/// Weights of 8 bits that stand for a layer's own: value · scale of its output.
struct Int8Weights {
  at::Tensor values;           // int8, the weight's shape
  at::Tensor scales;           // float32 [out]
  bool rounds_inputs = false;  // what is multiplied has 8 bits too, where the CPU has instructions for it

  /// Of a weight that kernels can read (is_readable). Source: kernels::quantize_rows.
  static Int8Weights of(const at::Tensor& weight, bool rounds_inputs);
  at::Tensor widened(at::ScalarType type) const;
};

/// y = x Wᵀ + b.  x [..., in] → [..., out]. A weight of another type than x is converted at each use.
class Linear : public Module {
 public:
  Linear(int64_t in_features, int64_t out_features, bool bias = true);
  /// @param residual  [..., out], added to the result; may be undefined
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual = {}) const;
  /// The first half of forward(x) times GELU of the second (Shazeer 2020, GEGLU).  [..., in] → [..., out / 2]
  at::Tensor geglu(const at::Tensor& x) const;
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out], or undefined
  std::optional<LowRank> low_rank;
  std::optional<Int8Weights> int8;
};

struct Conv2dOptions {
  int64_t stride = 1;
  int64_t padding = 0;  // pixels on every side
  bool bias = true;
};

class GroupNorm;

/// What a convolution does on the way: y = conv(activation(norm(x))) + addition + residual. Each may be missing.
struct Conv2dExtras {
  const GroupNorm* norm = nullptr;
  ActivationFunction activation = nullptr;
  at::Tensor addition;  // [batch, out], to each pixel
  at::Tensor residual;  // as the result
};

/// Two-dimensional convolution.  x [batch, in, height, width] → [batch, out, …]. A weight of another type than x is
/// converted at each use. On the fast path results lie in channels-last memory.
class Conv2d : public Module {
 public:
  Conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel_size, Conv2dOptions options = {});
  at::Tensor forward(const at::Tensor& x, const Conv2dExtras& extras = {}) const;
  at::Tensor weight;  // [out, in, kernel, kernel]
  at::Tensor bias;    // [out], or undefined
  std::optional<LowRank> low_rank;
  std::optional<Int8Weights> int8;
  bool wraps_x = false, wraps_y = false;  // padding continues at the opposite edge, for pictures that tile

 private:
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  /// Undefined where no kernel of limn's is made for this convolution or would pay.
  at::Tensor fast(const at::Tensor& x, const Conv2dExtras& extras) const;
  Conv2dOptions options_;
};

/// Wu & He 2018. x [batch, channels, ...] of the same shape out.
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps);
  at::Tensor forward(const at::Tensor& x) const;
  int64_t groups() const { return groups_; }
  double eps() const { return eps_; }
  at::Tensor weight, bias;  // [channels]

 private:
  int64_t groups_;
  double eps_;
};

/// Ba et al. 2016, over the last dimension.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t features, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor weight, bias;  // [features]

 private:
  double eps_;
};

/// Rows of a table.  ids int64 [...] → [..., features].
class Embedding : public Module {
 public:
  Embedding(int64_t rows, int64_t features);
  at::Tensor forward(const at::Tensor& ids) const;
  at::Tensor weight;  // [rows, features]
};

/// Softmax(QKᵀ/√d)V per head (Vaswani et al. 2017, eq. 1).
/// @param q       [batch, tokens, heads * d]
/// @param k, v    [batch, context tokens, heads * d]
/// @param causal  token i sees tokens ≤ i
/// @param seen    bool [batch, 1, tokens, context tokens], what each token sees, instead of `causal`; may be undefined
/// @return        [batch, tokens, heads * d]
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads,
                     bool causal = false, const at::Tensor& seen = {});

/// Sinusoidal embedding of timesteps, as diffusers' get_timestep_embedding (Ho et al. 2020, after Vaswani et
/// al. 2017).
/// @param timesteps  float32 [batch]
/// @param dim        even
/// @return           float32 [batch, dim]: sin then cos, or cos then sin with flip_sin_to_cos
at::Tensor timestep_embedding(const at::Tensor& timesteps, int64_t dim, bool flip_sin_to_cos,
                              double freq_shift);

}  // namespace limn::nn
