// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/fast_path.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mkldnn_convolution.h>

#include "limn/base/error.h"
#include "limn/kernels/attention.h"
#include "limn/kernels/linear.h"
#include "limn/kernels/norm.h"
#include "limn/kernels/quantize.h"
#include "limn/kernels/winograd.h"

namespace limn::nn {
namespace {

thread_local bool plain_path = false;

kernels::ElementType element_type_of(const at::Tensor& weight) {
  switch (weight.scalar_type()) {
    case at::kFloat:
      return kernels::ElementType::Float32;
    case at::kHalf:
      return kernels::ElementType::Float16;
    case at::kBFloat16:
      return kernels::ElementType::BFloat16;
    default:
      return kernels::ElementType::Int8;
  }
}

kernels::Weights weights_of(const FastWeight& weight) {
  return {weight.tensor.const_data_ptr(), element_type_of(weight.tensor),
          weight.scales.defined() ? weight.scales.const_data_ptr<float>() : nullptr};
}

/// Arrays of the types that kernels compute in: float, or the bits of bfloat16. Null where undefined.
template <typename T>
const T* data_of(const at::Tensor& x) {
  return x.defined() ? static_cast<const T*>(x.const_data_ptr()) : nullptr;
}
template <typename T>
T* output_of(at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

/// Runs body with a value of the type that x's elements are for kernels.
template <typename Body>
void for_type(const at::Tensor& x, const Body& body) {
  if (x.scalar_type() == at::kFloat)
    body(float{});
  else
    body(uint16_t{});
}

at::Tensor float32(const at::Tensor& x) { return x.defined() ? x.to(at::kFloat).contiguous() : x; }

at::Tensor channels_last(const at::Tensor& x) {
  return x.defined() ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

at::Tensor empty_map(const at::Tensor& like, int64_t channels) {
  return at::empty({like.size(0), channels, like.size(2), like.size(3)}, like.options(),
                   at::MemoryFormat::ChannelsLast);
}

}  // namespace

PlainPath::PlainPath(bool plain) : before_(plain_path) { plain_path = before_ || plain; }

PlainPath::~PlainPath() { plain_path = before_; }

bool has_kernels() { return kernels::has_vectors(); }

bool multiplies_bfloat16() { return kernels::multiplies_bfloat16(); }

bool takes_fast_path(const at::Tensor& x) {
  return !plain_path && x.device().is_cpu() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.numel() > 0 &&
         !at::GradMode::is_enabled() && kernels::has_vectors();
}

bool is_readable(const at::Tensor& weight) {
  const at::ScalarType type = weight.scalar_type();
  return weight.device().is_cpu() && weight.is_contiguous() &&
         (type == at::kFloat || type == at::kHalf || type == at::kBFloat16);
}

std::pair<at::Tensor, at::Tensor> fast_quantized(const at::Tensor& weight) {
  LIMN_CHECK(is_readable(weight), "a weight that kernels cannot read");
  const int64_t rows = weight.size(0);
  at::Tensor values = at::empty(weight.sizes(), weight.options().dtype(at::kChar)),
             scales = at::empty({rows}, weight.options().dtype(at::kFloat));
  kernels::quantize_rows(weights_of({weight}), rows, weight.numel() / rows, values.data_ptr<int8_t>(),
                         scales.data_ptr<float>());
  return {values, scales};
}

FastNorm fast_group_norm(const at::Tensor& x, int64_t groups, const at::Tensor& weight,
                         const at::Tensor& bias, double eps) {
  const at::Tensor gamma = float32(weight), beta = float32(bias);
  const at::TensorOptions options = x.options().dtype(at::kFloat);
  FastNorm norm{at::empty({x.size(0), x.size(1)}, options), at::empty({x.size(0), x.size(1)}, options)};
  for_type(x, [&]<typename T>(T) {
    kernels::group_norm_scales(kernels::GroupNormArguments<T>{.x = data_of<T>(x),
                                                              .batch = x.size(0),
                                                              .pixels = x.size(2) * x.size(3),
                                                              .channels = x.size(1),
                                                              .groups = groups,
                                                              .eps = eps,
                                                              .weight = data_of<float>(gamma),
                                                              .bias = data_of<float>(beta),
                                                              .scale = output_of<float>(norm.scale),
                                                              .shift = output_of<float>(norm.shift)});
  });
  return norm;
}

at::Tensor fast_scale_and_shift(const at::Tensor& x, const FastNorm& norm) {
  at::Tensor y = empty_map(x, x.size(1));
  for_type(x, [&]<typename T>(T) {
    kernels::scale_and_shift(data_of<T>(x), x.size(0), x.size(2) * x.size(3), x.size(1),
                             data_of<float>(norm.scale), data_of<float>(norm.shift), norm.silu,
                             output_of<T>(y));
  });
  return y;
}

at::Tensor fast_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps) {
  const at::Tensor in = x.contiguous(), gamma = float32(weight), beta = float32(bias);
  at::Tensor y = at::empty(in.sizes(), in.options());
  const int64_t features = in.size(-1);
  for_type(x, [&]<typename T>(T) {
    kernels::layer_norm(data_of<T>(in), in.numel() / features, features, eps, data_of<float>(gamma),
                        data_of<float>(beta), output_of<T>(y));
  });
  return y;
}

at::Tensor fast_linear(const at::Tensor& x, const FastWeight& weight, const at::Tensor& bias,
                       const at::Tensor& residual, bool geglu) {
  const at::Tensor in = x.contiguous(), offset = float32(bias),
                   more = residual.defined() ? residual.contiguous() : residual;
  const int64_t out = weight.tensor.size(0), depth = weight.tensor.size(1), columns = geglu ? out / 2 : out;
  LIMN_CHECK(in.size(-1) == depth, "a linear layer's input has another width");
  std::vector<int64_t> sizes = in.sizes().vec();
  sizes.back() = columns;
  at::Tensor y = at::empty(sizes, in.options());
  LIMN_CHECK(!more.defined() || (more.sizes() == y.sizes() && more.scalar_type() == y.scalar_type()),
             "a residual of another shape or type");
  for_type(x, [&]<typename T>(T) {
    kernels::linear(kernels::LinearArguments<T>{.x = data_of<T>(in),
                                                .rows = in.numel() / depth,
                                                .depth = depth,
                                                .x_stride = depth,
                                                .weight = weights_of(weight),
                                                .columns = out,
                                                .bias = data_of<float>(offset),
                                                .geglu = geglu,
                                                .residual = data_of<T>(more),
                                                .residual_stride = columns,
                                                .y = output_of<T>(y),
                                                .y_stride = columns,
                                                .int8_x = weight.rounds_inputs});
  });
  return y;
}

bool fast_conv3x3_pays(int64_t height, int64_t width, int64_t channels, int64_t out_channels) {
  return kernels::winograd_pays(height, width, channels, out_channels);
}

at::Tensor fast_conv3x3(const at::Tensor& x, const FastNorm& norm, const FastWeight& weight,
                        const at::Tensor& bias, const at::Tensor& addition, const at::Tensor& residual) {
  const at::Tensor offset = float32(bias), more = float32(addition), rest = channels_last(residual);
  LIMN_CHECK(!rest.defined() || rest.scalar_type() == x.scalar_type(), "a residual of another type");
  at::Tensor y = empty_map(x, weight.tensor.size(0));
  for_type(x, [&]<typename T>(T) {
    kernels::winograd_conv3x3(kernels::Conv3x3Arguments<T>{.x = data_of<T>(x),
                                                           .batch = x.size(0),
                                                           .height = x.size(2),
                                                           .width = x.size(3),
                                                           .channels = x.size(1),
                                                           .scale = data_of<float>(norm.scale),
                                                           .shift = data_of<float>(norm.shift),
                                                           .silu = norm.silu,
                                                           .weight = weights_of(weight),
                                                           .out_channels = weight.tensor.size(0),
                                                           .bias = data_of<float>(offset),
                                                           .addition = data_of<float>(more),
                                                           .residual = data_of<T>(rest),
                                                           .y = output_of<T>(y)});
  });
  return y;
}

at::Tensor fast_other_conv(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           int64_t stride, int64_t padding) {
  if (x.scalar_type() != at::kFloat || !at::hasMKLDNN()) return at::conv2d(x, weight, bias, stride, padding);
  return at::mkldnn_convolution(x, weight, bias, {padding, padding}, {stride, stride}, {1, 1}, 1);
}

at::Tensor fast_conv1x1(const at::Tensor& x, const FastWeight& weight, const at::Tensor& bias,
                        const at::Tensor& residual) {
  const auto pixels = [](const at::Tensor& map) { return channels_last(map).permute({0, 2, 3, 1}); };
  FastWeight matrix = weight;
  matrix.tensor = weight.tensor.view({weight.tensor.size(0), weight.tensor.size(1)});
  return fast_linear(pixels(x), matrix, bias, residual.defined() ? pixels(residual) : residual)
      .permute({0, 3, 1, 2});
}

at::Tensor fast_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads) {
  const at::Tensor query = q.contiguous(), key = k.contiguous(), value = v.contiguous();
  at::Tensor out = at::empty(query.sizes(), query.options());
  for_type(q, [&]<typename T>(T) {
    kernels::attention(kernels::AttentionArguments<T>{.q = data_of<T>(query),
                                                      .k = data_of<T>(key),
                                                      .v = data_of<T>(value),
                                                      .out = output_of<T>(out),
                                                      .batch = query.size(0),
                                                      .heads = heads,
                                                      .tokens = query.size(1),
                                                      .context = key.size(1),
                                                      .head_size = query.size(2) / heads});
  });
  return out;
}

}  // namespace limn::nn
