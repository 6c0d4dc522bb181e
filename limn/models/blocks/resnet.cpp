// SPDX-License-Identifier: Apache-2.0
#include "limn/models/blocks/resnet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/upsample_nearest2d.h>

namespace limn::models {

ResnetBlock2D::ResnetBlock2D(const ResnetBlock2DConfig& c)
    : config_(c),
      norm1_(c.groups, c.in_channels, c.eps),
      conv1_(c.in_channels, c.out_channels, 3, {.padding = 1}),
      norm2_(c.groups, c.out_channels, c.eps),
      conv2_(c.out_channels, c.out_channels, 3, {.padding = 1}) {
  register_module("norm1", norm1_);
  register_module("conv1", conv1_);
  if (c.temb_channels > 0) {
    time_emb_proj_.emplace(c.temb_channels, c.scale_shift ? 2 * c.out_channels : c.out_channels);
    register_module("time_emb_proj", *time_emb_proj_);
  }
  register_module("norm2", norm2_);
  register_module("conv2", conv2_);
  if (c.in_channels != c.out_channels) {
    conv_shortcut_.emplace(c.in_channels, c.out_channels, 1);
    register_module("conv_shortcut", *conv_shortcut_);
  }
}

at::Tensor ResnetBlock2D::forward(const at::Tensor& x, const at::Tensor& temb) const {
  at::Tensor time;  // [batch, out or 2 out]
  if (time_emb_proj_) time = time_emb_proj_->forward(config_.activation(temb));
  nn::Conv2dExtras first{.norm = &norm1_, .activation = config_.activation};
  if (!config_.scale_shift) first.addition = time;
  at::Tensor h = conv1_.forward(x, first);
  const at::Tensor shortcut = conv_shortcut_ ? conv_shortcut_->forward(x) : x;
  if (config_.scale_shift && time.defined()) {
    const auto parts = time.unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
    h = norm2_.forward(h) * (1 + parts[0]) + parts[1];
    h = conv2_.forward(h, {.activation = config_.activation, .residual = shortcut});
  } else {
    h = conv2_.forward(h, {.norm = &norm2_, .activation = config_.activation, .residual = shortcut});
  }
  return config_.output_scale_factor == 1.0 ? h : h / config_.output_scale_factor;
}

Downsample2D::Downsample2D(int64_t channels, int64_t padding)
    : padding_(padding), conv_(channels, channels, 3, {.stride = 2, .padding = padding}) {
  register_module("conv", conv_);
}

at::Tensor Downsample2D::forward(const at::Tensor& x) const {
  return conv_.forward(padding_ == 0 ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
}

Upsample2D::Upsample2D(int64_t channels) : conv_(channels, channels, 3, {.padding = 1}) {
  register_module("conv", conv_);
}

at::Tensor Upsample2D::forward(const at::Tensor& x, int64_t height, int64_t width) const {
  return conv_.forward(at::upsample_nearest2d(x, {height, width}));
}

}  // namespace limn::models
