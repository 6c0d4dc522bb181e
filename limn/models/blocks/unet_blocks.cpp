// SPDX-License-Identifier: Apache-2.0
#include "limn/models/blocks/unet_blocks.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/fft_fft2.h>
#include <ATen/ops/fft_ifft2.h>
#include <ATen/ops/fft_ifftshift.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/real.h>

#include "limn/models/blocks/repeat.h"
#include "limn/nn/checkpoint.h"

namespace limn::models {
namespace {

/// layer.forward(x, temb), without keeping what is inside when `checkpointing`.
at::Tensor run(const ResnetBlock2D& layer, const at::Tensor& x, const at::Tensor& times, bool checkpointing) {
  const at::Tensor temb = repeated(times, x.size(0));
  if (!checkpointing) return layer.forward(x, temb);
  return nn::checkpointed([&layer](const auto& inputs) { return layer.forward(inputs[0], inputs[1]); },
                          {x, temb});
}

at::Tensor run(const Transformer2DModel& layer, const at::Tensor& x, const AttentionContext& context,
               bool checkpointing) {
  if (!checkpointing || !at::GradMode::is_enabled()) return layer.forward(x, context);
  return nn::checkpointed(
      [&layer](const auto& inputs) { return layer.forward(inputs[0], AttentionContext{inputs[1]}); },
      {x, context.hidden_states});
}

at::Tensor strengthened(const at::Tensor& x, double factor) {
  const int64_t half = x.size(1) / 2;
  return at::cat({x.slice(1, 0, half) * factor, x.slice(1, half)}, 1);
}

/// The four lowest frequencies, which FreeU takes to lie around the middle of the shifted spectrum, times `factor`.
at::Tensor low_frequencies_scaled(const at::Tensor& x, double factor) {
  const int64_t height = x.size(2), width = x.size(3);
  at::Tensor mask = at::ones({height, width}, x.options().dtype(at::kFloat));
  mask.slice(0, std::max<int64_t>(height / 2 - 1, 0), height / 2 + 1)
      .slice(1, std::max<int64_t>(width / 2 - 1, 0), width / 2 + 1)
      .fill_(factor);
  const at::Tensor spectrum = at::fft_fft2(x.to(at::kFloat)) * at::fft_ifftshift(mask);
  return at::real(at::fft_ifft2(spectrum)).to(x.scalar_type());
}

}  // namespace

DownBlock2D::DownBlock2D(const UNetLevelConfig& c) {
  for (const ResnetBlock2DConfig& resnet : c.resnets) resnets_.emplace(resnet);
  for (const TransformerConfig& attention : c.attentions) attentions_.emplace(attention);
  register_module("attentions", attentions_);
  register_module("resnets", resnets_);
  if (c.resample) downsamplers_.emplace(c.resnets.back().out_channels, c.downsample_padding);
  register_module("downsamplers", downsamplers_);
}

at::Tensor DownBlock2D::forward(at::Tensor x, const at::Tensor& temb, const AttentionContext& context,
                                std::vector<at::Tensor>& skips, const DeepFeature* deep) const {
  const auto is_deep = [&] { return deep && deep->value.defined() && skips.size() > deep->skip; };
  for (size_t i = 0; i < resnets_.size() && !is_deep(); ++i) {
    x = run(resnets_[i], x, temb, checkpointing_);
    if (!attentions_.empty()) x = run(attentions_[i], x, context, checkpointing_);
    skips.push_back(x);
  }
  if (!downsamplers_.empty() && !is_deep()) {
    x = downsamplers_[0].forward(x);
    skips.push_back(x);
  }
  return x;
}

UpBlock2D::UpBlock2D(const UNetLevelConfig& c) {
  for (const ResnetBlock2DConfig& resnet : c.resnets) resnets_.emplace(resnet);
  for (const TransformerConfig& attention : c.attentions) attentions_.emplace(attention);
  register_module("attentions", attentions_);
  register_module("resnets", resnets_);
  if (c.resample) upsamplers_.emplace(c.resnets.back().out_channels);
  register_module("upsamplers", upsamplers_);
}

at::Tensor UpBlock2D::forward(at::Tensor x, const at::Tensor& temb, const AttentionContext& context,
                              std::vector<at::Tensor>& skips, const FreeUFactors& freeu,
                              DeepFeature* deep) const {
  for (size_t i = 0; i < resnets_.size(); ++i) {
    at::Tensor skip = skips.back();
    skips.pop_back();
    if (!skip.defined()) continue;
    if (deep && skips.size() == deep->skip) {
      if (deep->value.defined())
        x = deep->value;
      else
        deep->value = x;
    }
    skip = repeated(skip, x.size(0));
    if (freeu.backbone != 1) x = strengthened(x, freeu.backbone);
    if (freeu.skip != 1) skip = low_frequencies_scaled(skip, freeu.skip);
    x = run(resnets_[i], at::cat({x, skip}, 1), temb, checkpointing_);
    if (!attentions_.empty()) x = run(attentions_[i], x, context, checkpointing_);
  }
  // Sizes that do not divide evenly came down rounded up: go back to the exact size of the next skip.
  if (!upsamplers_.empty() && x.defined())
    x = upsamplers_[0].forward(x, skips.back().size(2), skips.back().size(3));
  return x;
}

UNetMidBlock2D::UNetMidBlock2D(const UNetLevelConfig& c) {
  for (const ResnetBlock2DConfig& resnet : c.resnets) resnets_.emplace(resnet);
  for (const TransformerConfig& attention : c.attentions) attentions_.emplace(attention);
  register_module("attentions", attentions_);
  register_module("resnets", resnets_);
}

at::Tensor UNetMidBlock2D::forward(at::Tensor x, const at::Tensor& temb,
                                   const AttentionContext& context) const {
  x = run(resnets_[0], x, temb, checkpointing_);
  for (size_t i = 1; i < resnets_.size(); ++i) {
    if (!attentions_.empty()) x = run(attentions_[i - 1], x, context, checkpointing_);
    x = run(resnets_[i], x, temb, checkpointing_);
  }
  return x;
}

}  // namespace limn::models
