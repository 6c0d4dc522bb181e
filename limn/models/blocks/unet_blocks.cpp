// SPDX-License-Identifier: Apache-2.0
#include "limn/models/blocks/unet_blocks.h"

#include <ATen/ops/cat.h>

namespace limn::models {

DownBlock2D::DownBlock2D(const UNetLevelConfig& c) {
  for (const ResnetBlock2DConfig& resnet : c.resnets) {
    resnets_.emplace(resnet);
    if (c.attention) attentions_.emplace(*c.attention);
  }
  register_module("attentions", attentions_);
  register_module("resnets", resnets_);
  if (c.resample) downsamplers_.emplace(c.resnets.back().out_channels, c.downsample_padding);
  register_module("downsamplers", downsamplers_);
}

at::Tensor DownBlock2D::forward(at::Tensor x, const at::Tensor& temb, const at::Tensor& context,
                                std::vector<at::Tensor>& skips) const {
  for (size_t i = 0; i < resnets_.size(); ++i) {
    x = resnets_[i].forward(x, temb);
    if (!attentions_.empty()) x = attentions_[i].forward(x, context);
    skips.push_back(x);
  }
  if (!downsamplers_.empty()) {
    x = downsamplers_[0].forward(x);
    skips.push_back(x);
  }
  return x;
}

UpBlock2D::UpBlock2D(const UNetLevelConfig& c) {
  for (const ResnetBlock2DConfig& resnet : c.resnets) {
    resnets_.emplace(resnet);
    if (c.attention) attentions_.emplace(*c.attention);
  }
  register_module("attentions", attentions_);
  register_module("resnets", resnets_);
  if (c.resample) upsamplers_.emplace(c.resnets.back().out_channels);
  register_module("upsamplers", upsamplers_);
}

at::Tensor UpBlock2D::forward(at::Tensor x, const at::Tensor& temb, const at::Tensor& context,
                              std::vector<at::Tensor>& skips) const {
  for (size_t i = 0; i < resnets_.size(); ++i) {
    x = resnets_[i].forward(at::cat({x, skips.back()}, 1), temb);
    skips.pop_back();
    if (!attentions_.empty()) x = attentions_[i].forward(x, context);
  }
  // Sizes that do not divide evenly came down rounded up: go back to the exact size of the next skip.
  if (!upsamplers_.empty()) x = upsamplers_[0].forward(x, skips.back().size(2), skips.back().size(3));
  return x;
}

UNetMidBlock2D::UNetMidBlock2D(const UNetLevelConfig& c) {
  for (size_t i = 0; i < c.resnets.size(); ++i) {
    resnets_.emplace(c.resnets[i]);
    if (c.attention && i > 0) attentions_.emplace(*c.attention);
  }
  register_module("attentions", attentions_);
  register_module("resnets", resnets_);
}

at::Tensor UNetMidBlock2D::forward(at::Tensor x, const at::Tensor& temb, const at::Tensor& context) const {
  x = resnets_[0].forward(x, temb);
  for (size_t i = 1; i < resnets_.size(); ++i) {
    if (!attentions_.empty()) x = attentions_[i - 1].forward(x, context);
    x = resnets_[i].forward(x, temb);
  }
  return x;
}

}  // namespace limn::models
