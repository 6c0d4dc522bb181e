// SPDX-License-Identifier: Apache-2.0
#include "limn/training/autoencoder_loss.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/fft_rfft2.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include "limn/base/error.h"
#include "limn/training/random.h"
#include "limn/weights/tensor.h"

namespace limn::training {
namespace {

constexpr double kSlope = 0.2;
constexpr int64_t kNormGroups = 4;

at::Tensor differences(const at::Tensor& x) {
  const at::Tensor down = x.slice(2, 1) - x.slice(2, 0, -1), right = x.slice(3, 1) - x.slice(3, 0, -1);
  return at::cat({down.flatten(1), right.flatten(1)}, 1);
}

}  // namespace

at::Tensor gradient_difference(const at::Tensor& a, const at::Tensor& b) {
  return (differences(a) - differences(b)).abs().mean();
}

at::Tensor frequency_difference(const at::Tensor& a, const at::Tensor& b) {
  const auto amplitudes = [](const at::Tensor& x) { return at::fft_rfft2(x, {}, {-2, -1}, "ortho").abs(); };
  return (amplitudes(a) - amplitudes(b)).abs().mean();
}

at::Tensor kl_divergence(const models::DiagonalGaussian& posterior) {
  const at::Tensor each = posterior.mean.square() + at::exp(posterior.logvar) - 1.0 - posterior.logvar;
  return 0.5 * each.flatten(1).sum(1).mean();
}

PerceptualLoss::PerceptualLoss(const std::filesystem::path& vgg16) {
  if (vgg16.empty()) {
    const int64_t channels[] = {3, 16, 32, 64, 64, 64};
    for (int64_t i = 0; i < 5; ++i) {
      const at::Tensor weight = at::empty({channels[i + 1], channels[i], 3, 3}, at::kFloat);
      weight.normal_(
          0, std::sqrt(2.0 / static_cast<double>(channels[i] * 9)),
          generator_for(0, Stream::Initialisation, hash_of("perceptual") + static_cast<uint64_t>(i)));
      layers_.push_back({weight, at::zeros({channels[i + 1]}), i > 0, true});
    }
    return;
  }
  const auto tensors = weights::load_tensors(vgg16);
  constexpr struct {
    int number;
    bool pool_before, compare_after;
  } kVgg16[] = {{0, false, false},  {2, false, true},   {5, true, false},  {7, false, true},
                {10, true, false},  {12, false, false}, {14, false, true}, {17, true, false},
                {19, false, false}, {21, false, true},  {24, true, false}, {26, false, false},
                {28, false, true}};
  for (const auto& row : kVgg16) {
    const std::string name = "features." + std::to_string(row.number);
    const auto weight = tensors.find(name + ".weight"), bias = tensors.find(name + ".bias");
    if (weight == tensors.end() || bias == tensors.end() || weight->second.dim() != 4)
      throw Error(ErrorCode::BadFile, vgg16.string(), "has no convolution " + name,
                  "torchvision's VGG-16 is what autoencoder.perceptual_network takes");
    layers_.push_back(
        {weight->second.to(at::kFloat), bias->second.to(at::kFloat), row.pool_before, row.compare_after});
  }
}

std::vector<at::Tensor> PerceptualLoss::features(at::Tensor x) const {
  // ImageNet's mean and deviation, for pixels in [-1, 1], as LPIPS scales them.
  const at::Tensor shift = at::tensor({-0.030, -0.088, -0.188}, x.options()).view({1, 3, 1, 1});
  const at::Tensor scale = at::tensor({0.458, 0.448, 0.450}, x.options()).view({1, 3, 1, 1});
  x = (x - shift) / scale;
  std::vector<at::Tensor> out;
  for (const Layer& layer : layers_) {
    if (layer.pool_before) x = at::max_pool2d(x, {2, 2});
    x = at::relu(at::conv2d(x, layer.weight.to(x.device()), layer.bias.to(x.device()), 1, 1));
    if (layer.compare_after) out.push_back(x / (x.square().sum(1, true) + 1e-10).sqrt());
  }
  return out;
}

at::Tensor PerceptualLoss::forward(const at::Tensor& a, const at::Tensor& b) const {
  const auto of_a = features(a), of_b = features(b);
  at::Tensor sum = at::zeros({}, a.options());
  for (size_t i = 0; i < of_a.size(); ++i) sum = sum + (of_a[i] - of_b[i]).square().sum(1).mean();
  return sum / static_cast<double>(of_a.size());
}

PatchDiscriminator::Block::Block(int64_t in_channels, int64_t stride)
    : conv(in_channels, 2 * in_channels, 4, {.stride = stride, .padding = 1}),
      norm(kNormGroups, 2 * in_channels, 1e-5) {
  register_module("conv", conv);
  register_module("norm", norm);
}

PatchDiscriminator::PatchDiscriminator(int64_t channels)
    : conv_in_(3, channels, 4, {.stride = 2, .padding = 1}),
      conv_out_(4 * channels, 1, 4, {.stride = 1, .padding = 1}) {
  register_module("conv_in", conv_in_);
  blocks_.emplace(channels, 2);
  blocks_.emplace(2 * channels, 1);
  register_module("blocks", blocks_);
  register_module("conv_out", conv_out_);
}

at::Tensor PatchDiscriminator::forward(const at::Tensor& pixels) const {
  at::Tensor x = at::leaky_relu(conv_in_.forward(pixels), kSlope);
  for (const auto& block : blocks_) x = at::leaky_relu(block->norm.forward(block->conv.forward(x)), kSlope);
  return conv_out_.forward(x);
}

at::Tensor hinge_loss(const at::Tensor& real, const at::Tensor& fake) {
  return 0.5 * (at::relu(1.0 - real).mean() + at::relu(1.0 + fake).mean());
}

double adaptive_weight(const at::Tensor& reconstruction, const at::Tensor& adversarial,
                       const at::Tensor& last_layer) {
  const auto norm = [&](const at::Tensor& loss) {
    return at::linalg_vector_norm(torch::autograd::grad({loss}, {last_layer}, {}, /*retain_graph=*/true)[0])
        .item<double>();
  };
  return std::clamp(norm(reconstruction) / (norm(adversarial) + 1e-4), 0.0, 1e4);
}

}  // namespace limn::training
