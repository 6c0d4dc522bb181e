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
#include "limn/kernels/winograd.h"
#include "limn/nn/fast_path.h"

namespace limn::nn {
namespace {

at::Tensor silu(const at::Tensor& x) { return at::silu(x); }

constexpr Activation kActivations[] = {
    {"silu", silu},
    {"swish", silu},
    {"gelu", [](const at::Tensor& x) { return at::gelu(x); }},
    {"quick_gelu",
     [](const at::Tensor& x) { return x * at::sigmoid(x * 1.702); }},  // Hendrycks & Gimpel 2016, §2
    {"mish", [](const at::Tensor& x) { return at::mish(x); }},
    {"relu", [](const at::Tensor& x) { return at::relu(x); }},
};

/// The layer's weight as the kernels take it, or as LibTorch does.
template <typename Layer>
FastWeight fast_weight(const Layer& layer) {
  if (layer.int8) return {layer.int8->values, layer.int8->scales, layer.int8->rounds_inputs};
  return {layer.weight};
}
template <typename Layer>
at::Tensor plain_weight(const Layer& layer, at::ScalarType type) {
  return layer.int8 ? layer.int8->widened(type) : layer.weight.to(type);
}

}  // namespace

Int8Weights Int8Weights::of(const at::Tensor& weight, bool rounds_inputs) {
  auto [values, scales] = fast_quantized(weight);
  return {values, scales, rounds_inputs};
}

at::Tensor Int8Weights::widened(at::ScalarType type) const {
  std::vector<int64_t> sizes(static_cast<size_t>(values.dim()), 1);
  sizes[0] = scales.size(0);
  return (values.to(at::kFloat) * scales.view(sizes)).to(type);
}

Linear::Linear(int64_t in_features, int64_t out_features, bool with_bias) {
  register_parameter("weight", weight, {out_features, in_features});
  if (with_bias) register_parameter("bias", bias, {out_features});
}

at::Tensor Linear::forward(const at::Tensor& x, const at::Tensor& residual) const {
  if (takes_fast_path(x) && is_readable(weight) && !low_rank)
    return fast_linear(x, fast_weight(*this), bias, residual);
  at::Tensor y = at::linear(x, plain_weight(*this, x.scalar_type()), bias);
  if (low_rank) y = y + at::linear(at::linear(x, low_rank->down), low_rank->up) * low_rank->scale;
  return residual.defined() ? y + residual : y;
}

at::Tensor Linear::geglu(const at::Tensor& x) const {
  if (takes_fast_path(x) && is_readable(weight) && !low_rank)
    return fast_linear(x, fast_weight(*this), bias, {}, /*geglu=*/true);
  const auto parts = forward(x).chunk(2, -1);  // value, gate
  return parts[0] * at::gelu(parts[1]);
}

Conv2d::Conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel_size, Conv2dOptions options)
    : options_(options) {
  register_parameter("weight", weight, {out_channels, in_channels, kernel_size, kernel_size});
  if (options.bias) register_parameter("bias", bias, {out_channels});
}

at::Tensor Conv2d::convolve(const at::Tensor& x, const at::Tensor& kernel, const at::Tensor& offset) const {
  const int64_t pad = options_.padding;
  const auto apply = [&](const at::Tensor& map, int64_t padding) {
    return takes_fast_path(map) ? fast_other_conv(map, kernel, offset, options_.stride, padding)
                                : at::conv2d(map, kernel, offset, options_.stride, padding);
  };
  if (pad == 0 || !(wraps_x || wraps_y)) return apply(x, pad);
  const auto padded = [pad](const at::Tensor& t, std::vector<int64_t> sides, bool wraps) {
    for (int64_t& side : sides) side *= pad;
    return at::pad(t, sides, wraps ? "circular" : "constant");
  };
  const at::Tensor wide = padded(x, {1, 1, 0, 0}, wraps_x);
  return apply(padded(wide, {0, 0, 1, 1}, wraps_y), 0);
}

at::Tensor Conv2d::fast(const at::Tensor& input, const Conv2dExtras& extras) const {
  if (low_rank || wraps_x || wraps_y || !is_readable(weight)) return {};
  const int64_t kernel = weight.size(2);
  const bool is_linear = kernel == 1 && options_.stride == 1 && options_.padding == 0;
  const bool is_winograd =
      kernel == 3 && options_.stride == 1 && options_.padding == 1 &&
      kernels::winograd_pays(input.size(2), input.size(3), weight.size(1), weight.size(0));
  if (!is_linear && !is_winograd) return {};
  at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast);
  FastNorm norm;
  const bool fused = is_winograd && extras.norm && (!extras.activation || extras.activation == silu);
  if (fused) {
    norm =
        fast_group_norm(x, extras.norm->groups(), extras.norm->weight, extras.norm->bias, extras.norm->eps());
    norm.silu = extras.activation != nullptr;
  } else {
    if (extras.norm) x = extras.norm->forward(x);
    if (extras.activation) x = extras.activation(x);
  }
  if (is_winograd) return fast_conv3x3(x, norm, fast_weight(*this), bias, extras.addition, extras.residual);
  const at::Tensor y = fast_conv1x1(x, fast_weight(*this), bias, extras.residual);
  return extras.addition.defined() ? y + extras.addition.unsqueeze(-1).unsqueeze(-1) : y;
}

at::Tensor Conv2d::forward(const at::Tensor& input, const Conv2dExtras& extras) const {
  at::Tensor x = input;
  if (takes_fast_path(x)) {
    if (const at::Tensor y = fast(x, extras); y.defined()) return y;
    x = x.contiguous(at::MemoryFormat::ChannelsLast);
  }
  if (extras.norm) x = extras.norm->forward(x);
  if (extras.activation) x = extras.activation(x);
  at::Tensor y = convolve(x, plain_weight(*this, x.scalar_type()), bias);
  if (low_rank) y = y + at::conv2d(convolve(x, low_rank->down, {}), low_rank->up) * low_rank->scale;
  if (extras.addition.defined()) y = y + extras.addition.unsqueeze(-1).unsqueeze(-1);
  return extras.residual.defined() ? extras.residual + y : y;
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps) : groups_(groups), eps_(eps) {
  register_parameter("weight", weight, {channels});
  register_parameter("bias", bias, {channels});
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  if (takes_fast_path(x) && x.dim() == 4) {
    const at::Tensor map = x.contiguous(at::MemoryFormat::ChannelsLast);
    return fast_scale_and_shift(map, fast_group_norm(map, groups_, weight, bias, eps_));
  }
  return at::group_norm(x, groups_, weight, bias, eps_);
}

LayerNorm::LayerNorm(int64_t features, double eps) : eps_(eps) {
  register_parameter("weight", weight, {features});
  register_parameter("bias", bias, {features});
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  if (takes_fast_path(x)) return fast_layer_norm(x, weight, bias, eps_);
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
  if (!causal && !seen.defined() && takes_fast_path(q)) return fast_attention(q, k, v, heads);
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
