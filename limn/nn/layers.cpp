// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/layers.h"

#include <cmath>
#include <span>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mish.h>
#include <ATen/ops/pad.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>

#include "limn/base/named_table.h"

namespace limn::nn {
namespace {

constexpr Activation kActivations[] = {
    {"silu", [](const at::Tensor& x) { return at::silu(x); }},
    {"swish", [](const at::Tensor& x) { return at::silu(x); }},
    {"gelu", [](const at::Tensor& x) { return at::gelu(x); }},
    {"quick_gelu",
     [](const at::Tensor& x) { return x * at::sigmoid(x * 1.702); }},  // Hendrycks & Gimpel 2016, §2
    {"mish", [](const at::Tensor& x) { return at::mish(x); }},
    {"relu", [](const at::Tensor& x) { return at::relu(x); }},
};

}  // namespace

Linear::Linear(int64_t in_features, int64_t out_features, bool with_bias) {
  register_parameter("weight", weight, {out_features, in_features});
  if (with_bias) register_parameter("bias", bias, {out_features});
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  const at::Tensor y = at::linear(x, weight.to(x.scalar_type()), bias);
  return low_rank ? y + at::linear(at::linear(x, low_rank->down), low_rank->up) * low_rank->scale : y;
}

Conv2d::Conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel_size, Conv2dOptions options)
    : options_(options) {
  register_parameter("weight", weight, {out_channels, in_channels, kernel_size, kernel_size});
  if (options.bias) register_parameter("bias", bias, {out_channels});
}

at::Tensor Conv2d::convolve(const at::Tensor& x, const at::Tensor& kernel, const at::Tensor& offset) const {
  const int64_t pad = options_.padding;
  if (pad == 0 || !(wraps_x || wraps_y)) return at::conv2d(x, kernel, offset, options_.stride, pad);
  const auto padded = [pad](const at::Tensor& t, std::vector<int64_t> sides, bool wraps) {
    for (int64_t& side : sides) side *= pad;
    return at::pad(t, sides, wraps ? "circular" : "constant");
  };
  const at::Tensor wide = padded(x, {1, 1, 0, 0}, wraps_x);
  return at::conv2d(padded(wide, {0, 0, 1, 1}, wraps_y), kernel, offset, options_.stride);
}

at::Tensor Conv2d::forward(const at::Tensor& x) const {
  const at::Tensor y = convolve(x, weight.to(x.scalar_type()), bias);
  if (!low_rank) return y;
  const at::Tensor down = convolve(x, low_rank->down, {});
  return y + at::conv2d(down, low_rank->up) * low_rank->scale;
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps) : groups_(groups), eps_(eps) {
  register_parameter("weight", weight, {channels});
  register_parameter("bias", bias, {channels});
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  return at::group_norm(x, groups_, weight, bias, eps_);
}

LayerNorm::LayerNorm(int64_t features, double eps) : eps_(eps) {
  register_parameter("weight", weight, {features});
  register_parameter("bias", bias, {features});
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, {x.size(-1)}, weight, bias, eps_);
}

Embedding::Embedding(int64_t rows, int64_t features) {
  register_parameter("weight", weight, {rows, features});
}

at::Tensor Embedding::forward(const at::Tensor& ids) const { return at::embedding(weight, ids); }

ActivationFunction find_activation(std::string_view name, const std::string& where) {
  const std::span<const Activation> table(kActivations);
  if (const Activation* row = try_find_named(table, name)) return row->apply;
  throw Error(ErrorCode::Unsupported, where, "no activation '" + std::string(name) + "'",
              "known: " + names_of(table));
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads,
                     bool causal, const at::Tensor& seen) {
  const auto split = [heads](const at::Tensor& x) {
    return x.view({x.size(0), x.size(1), heads, x.size(2) / heads})
        .transpose(1, 2);  // [batch, heads, tokens, d]
  };
  const at::Tensor out =
      seen.defined() ? at::scaled_dot_product_attention(split(q), split(k), split(v), seen)
                     : at::scaled_dot_product_attention(split(q), split(k), split(v), {}, 0.0, causal);
  return out.transpose(1, 2).reshape(q.sizes());
}

at::Tensor timestep_embedding(const at::Tensor& timesteps, int64_t dim, bool flip_sin_to_cos,
                              double freq_shift) {
  const int64_t half = dim / 2;
  const at::Tensor exponent = at::arange(half, timesteps.options()) * -std::log(10000.0);
  const at::Tensor angles =
      timesteps.unsqueeze(1) * at::exp(exponent / (static_cast<double>(half) - freq_shift));
  return flip_sin_to_cos ? at::cat({angles.cos(), angles.sin()}, -1)
                         : at::cat({angles.sin(), angles.cos()}, -1);
}

}  // namespace limn::nn
