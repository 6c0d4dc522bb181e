// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "limn/models/autoencoder_kl/autoencoder_kl.h"
#include "limn/models/model.h"
#include "limn/training/config.h"
#include "limn/training/optimizer.h"

namespace limn::training {

/// The modules of a model in training, and what else its folder holds. Modules are shared with preview(), so that
/// pictures are drawn with the weights of the moment.
struct Networks {
  models::Checkpoint
      checkpoint;  // configurations, scheduler, tokenizer; the tensors' part is filled by write()
  std::shared_ptr<models::UNet2DConditionModel> unet;
  std::shared_ptr<text::CLIPTextModel> text_encoder;
  std::shared_ptr<models::AutoencoderKL> vae;
  std::optional<text::CLIPTokenizer> tokenizer;

  /// The same modules as a model to draw with.
  std::shared_ptr<const models::Model> model() const;
  /// Writes a diffusers folder, replacing what write() put there before.
  /// @param dtype  of the weights: float32, float16, bfloat16
  void write(const std::filesystem::path& folder, const std::string& dtype) const;
};

/// Modules of an existing model, float32, their own memory where `trained`.
Networks load_networks(const std::filesystem::path& model, at::Device device);
/// A new U-Net and text encoder over a trained autoencoder, as the configuration's [model] says.
/// @param scratch  folder for the tokenizer's files
Networks new_networks(const TrainConfig& config, const std::filesystem::path& scratch, at::Device device);
/// An autoencoder alone: a new one from a config.json, or a folder's.
Networks autoencoder_networks(const TrainConfig& config, at::Device device);

/// Fills a module's parameters as PyTorch initialises the layers (He et al. 2015 with a = √5; norms to the identity),
/// CLIP's embeddings and projections as Radford et al. 2021 do. Depends on seed and names alone.
void initialise(nn::Module& module, const std::string& part, uint64_t seed);

/// Makes all parameters of a module leaves that require gradients, in their own memory.
/// @param channels_last  convolution kernels with channels innermost
std::vector<Trainable> make_trainable(nn::Module& module, const std::string& part, bool channels_last);

/// Writes one component's folder: config.json and diffusion_pytorch_model.safetensors.
void write_component(const std::filesystem::path& folder, const json::object& config, nn::Module& module,
                     const std::string& dtype);

/// A low-rank branch beside each Linear and Conv2d that `rank_of` gives a rank.
/// @param rank_of  0 leaves the layer alone
/// @return         down and up of each, as "PART.MODULE.lora_down" and ".lora_up"; up starts at zero
std::vector<Trainable> attach_low_rank(
    nn::Module& module, const std::string& part, uint64_t seed, double alpha,
    const std::function<int64_t(const std::string& name, bool convolution)>& rank_of);

}  // namespace limn::training
