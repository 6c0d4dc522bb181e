// SPDX-License-Identifier: Apache-2.0
#include "limn/models/blocks/unet_blocks.h"

#include <ATen/ops/cat.h>

#include "limn/nn/checkpoint.h"

namespace limn::models {
namespace {

/// layer.forward(x, other), without keeping what is inside when `checkpointing`.
template <typename Layer>
at::Tensor run(const Layer& layer, const at::Tensor& x, const at::Tensor& other, bool checkpointing) {
  if (!checkpointing) return layer.forward(x, other);
  return nn::checkpointed([&layer](const auto& inputs) { return layer.forward(inputs[0], inputs[1]); },
                          {x, other});
}

}  // namespace

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
    x = run(resnets_[i], x, temb, checkpointing_);
    if (!attentions_.empty()) x = run(attentions_[i], x, context, checkpointing_);
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
    x = run(resnets_[i], at::cat({x, skips.back()}, 1), temb, checkpointing_);
    skips.pop_back();
    if (!attentions_.empty()) x = run(attentions_[i], x, context, checkpointing_);
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
  x = run(resnets_[0], x, temb, checkpointing_);
  for (size_t i = 1; i < resnets_.size(); ++i) {
    if (!attentions_.empty()) x = run(attentions_[i - 1], x, context, checkpointing_);
    x = run(resnets_[i], x, temb, checkpointing_);
  }
  return x;
}

}  // namespace limn::models
