// SPDX-License-Identifier: Apache-2.0
#include "limn/training/autoencoder_task.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include "limn/base/error.h"
#include "limn/pipelines/pixels.h"
#include "limn/training/random.h"

namespace limn::training {
namespace {

constexpr int64_t kPreviews = 8;
constexpr int64_t kNormalisedOver = 1024;  // pictures

at::Tensor pixels_of(const datasets::Dataset& data, int64_t i, at::Device device) {
  return to_unit_pixels(load_batch(data, {i}, 0, 1, nullptr, {}).pixels, device);
}

}  // namespace

AutoencoderTask::AutoencoderTask(const TrainConfig& config, Networks networks)
    : config_(config),
      networks_(std::move(networks)),
      device_(device_of(config)),
      bfloat16_(wants_bfloat16(config)) {
  const int64_t factor = networks_.vae->config().factor();
  if (config_.crop % factor != 0)
    throw Error(ErrorCode::InvalidArgument, "autoencoder.crop",
                "is " + std::to_string(config_.crop) + ", not a multiple of " + std::to_string(factor));
  groups_ = {{"vae", config_.learning_rate, make_trainable(*networks_.vae, "vae", config_.channels_last)}};
  for (const Trainable& p : groups_[0].parameters)
    if (p.name == "vae.decoder.conv_out.weight") last_layer_ = p.tensor;
  if (config_.perceptual_weight > 0) perceptual_.emplace(config_.resolve(config_.perceptual_network));
  if (config_.adversarial_weight > 0) {
    discriminator_.emplace(config_.discriminator_channels);
    initialise(*discriminator_, "discriminator", static_cast<uint64_t>(config_.seed));
    adversary_ = {"discriminator", config_.discriminator_learning_rate,
                  make_trainable(*discriminator_, "discriminator", config_.channels_last)};
  }
}

LoadOptions AutoencoderTask::load_options(int64_t samples_seen) const {
  const bool whole =
      static_cast<double>(samples_seen) >= config_.whole_after * static_cast<double>(config_.samples);
  return {.seed = static_cast<uint64_t>(config_.seed),
          .crop = whole ? 0 : config_.crop,
          .horizontal_flip = config_.horizontal_flip};
}

at::Tensor AutoencoderTask::loss(const Batch& batch, int64_t step) {
  const at::Tensor pixels = to_unit_pixels(batch.pixels, device_);
  const int64_t factor = networks_.vae->config().factor();
  const at::Tensor noise = normal_rows(
      static_cast<uint64_t>(config_.seed), Stream::Posterior, batch.first, pixels.size(0),
      {networks_.vae->config().latent_channels, pixels.size(2) / factor, pixels.size(3) / factor});
  return loss_of(pixels, noise.to(device_), step);
}

at::Tensor AutoencoderTask::loss_of(const at::Tensor& pixels, const at::Tensor& noise, int64_t step) {
  models::DiagonalGaussian posterior;
  at::Tensor made;
  {
    const Autocast autocast(bfloat16_, device_.type());
    posterior = networks_.vae->encode(pixels);
    posterior = {posterior.mean.to(at::kFloat), posterior.logvar.to(at::kFloat)};
    made = networks_.vae->decode(posterior.sample(noise)).to(at::kFloat);
  }
  terms_.clear();
  at::Tensor sum;
  const auto add = [&](const char* name, double weight, const auto& term) {
    if (weight == 0) return;
    const at::Tensor value = term();
    terms_.push_back({std::string("loss/") + name, value.template item<double>()});
    sum = sum.defined() ? sum + weight * value : weight * value;
  };
  add("l1", 1, [&] { return (made - pixels).abs().mean(); });
  add("l2", config_.l2_weight, [&] { return (made - pixels).square().mean(); });
  add("gradient", config_.gradient_weight, [&] { return gradient_difference(made, pixels); });
  add("frequency", config_.frequency_weight, [&] { return frequency_difference(made, pixels); });
  add("perceptual", config_.perceptual_weight, [&] { return perceptual_->forward(made, pixels); });
  add("kl", config_.kl_weight, [&] { return kl_divergence(posterior); });
  if (!discriminator_) return sum;

  if (step < config_.discriminator_start) return sum;
  real_ = pixels;
  fake_ = made.detach();
  const at::Tensor adversarial = -discriminator_->forward(made).mean();
  const double adaptive = adaptive_weight(sum, adversarial, last_layer_);
  terms_.push_back({"loss/adversarial", adversarial.item<double>()});
  terms_.push_back({"adaptive_weight", adaptive});
  return sum + config_.adversarial_weight * adaptive * adversarial;
}

at::Tensor AutoencoderTask::adversary_loss() {
  if (!fake_.defined()) return {};
  return hinge_loss(discriminator_->forward(real_), discriminator_->forward(fake_));
}

at::Tensor AutoencoderTask::reconstruct(const at::Tensor& pixels) const {
  const Autocast autocast(bfloat16_, device_.type());
  return networks_.vae->decode(networks_.vae->encode(pixels).mean.to(at::kFloat)).to(at::kFloat).clamp(-1, 1);
}

std::vector<Scalar> AutoencoderTask::validate(const datasets::Dataset& held_out, int64_t samples) {
  const at::NoGradGuard no_grad;
  double absolute = 0, psnr = 0;
  const int64_t count = std::min(samples, held_out.size());
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor pixels = pixels_of(held_out, i * held_out.size() / count, device_);
    const at::Tensor error = reconstruct(pixels) - pixels;
    absolute += error.abs().mean().item<double>();
    psnr += -10 * std::log10(std::max(error.square().mean().item<double>() / 4, 1e-12));
  }
  if (count == 0) return {};
  return {{"validation/l1", absolute / static_cast<double>(count)},
          {"validation/psnr", psnr / static_cast<double>(count)}};
}

std::vector<SamplePicture> AutoencoderTask::preview(const datasets::Dataset& held_out) {
  const at::NoGradGuard no_grad;
  std::vector<SamplePicture> out;
  for (int64_t i = 0; i < std::min(kPreviews, held_out.size()); ++i) {
    const int64_t example = i * held_out.size() / std::min(kPreviews, held_out.size());
    const at::Tensor pixels = pixels_of(held_out, example, device_);
    const at::Tensor pair = at::cat({pixels, reconstruct(pixels)}, 3);  // side by side
    out.push_back({std::string(held_out.at(example).caption), pipelines::to_image(pair.contiguous())});
  }
  return out;
}

void AutoencoderTask::normalise_latents(const datasets::Dataset& data) {
  const int64_t count = std::min(kNormalisedOver, data.size()),
                channels = networks_.vae->config().latent_channels;
  if (count == 0) return;
  std::vector<at::Tensor> latents;
  for (int64_t i = 0; i < count; ++i) {
    const Autocast autocast(bfloat16_, device_.type());
    latents.push_back(networks_.vae->encode(pixels_of(data, i * data.size() / count, device_))
                          .mean.to(at::kFloat)
                          .transpose(0, 1)
                          .reshape({channels, -1}));
  }
  const at::Tensor all = at::cat(latents, 1), mean = all.mean(1), deviation = all.std(1).clamp_min(1e-6);
  std::map<std::string, at::Tensor> by_name;
  for (const Trainable& p : groups_[0].parameters) by_name[p.name] = p.tensor;
  json::object& config = networks_.checkpoint.parts["vae"].config;
  if (!by_name.contains("vae.quant_conv.weight") || !by_name.contains("vae.post_quant_conv.weight")) {
    config["scaling_factor"] = 1 / all.std().item<double>();
    return;
  }
  at::Tensor &weight = by_name["vae.quant_conv.weight"], &bias = by_name["vae.quant_conv.bias"];
  weight.slice(0, 0, channels).div_(deviation.view({-1, 1, 1, 1}));
  bias.slice(0, 0, channels).sub_(mean).div_(deviation);
  bias.slice(0, channels).sub_(2 * deviation.log());
  at::Tensor &post = by_name["vae.post_quant_conv.weight"], &post_bias = by_name["vae.post_quant_conv.bias"];
  post_bias.add_((post.flatten(1) * mean).sum(1));
  post.mul_(deviation.view({1, -1, 1, 1}));
  config["scaling_factor"] = 1.0;
}

std::filesystem::path AutoencoderTask::write(const std::filesystem::path& folder) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> kept;
  for (const Trainable& p : groups_[0].parameters) kept.push_back(p.tensor.clone());
  normalise_latents(datasets::Dataset::open(config_.resolve(config_.data), "train"));
  write_component(folder / "vae", networks_.checkpoint.parts.at("vae").config, *networks_.vae,
                  config_.save_dtype);
  for (size_t i = 0; i < kept.size(); ++i)
    groups_[0].parameters[i].tensor.copy_(kept[i]);  // training goes on
  return folder / "vae";
}

std::unique_ptr<Task> make_autoencoder_task(const TrainConfig& config, const std::filesystem::path&) {
  return std::make_unique<AutoencoderTask>(config, autoencoder_networks(config, device_of(config)));
}

}  // namespace limn::training
