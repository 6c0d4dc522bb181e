// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "limn/models/autoencoder.h"
#include "limn/models/checkpoint.h"
#include "limn/models/unet_2d_condition/unet_2d_condition.h"
#include "limn/nn/load_parameters.h"
#include "limn/text/clip_text_model.h"
#include "limn/text/clip_tokenizer.h"
#include "limn/text/vocabulary.h"

namespace limn::models {

struct LoadOptions {
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  /// Models whose parameters take more bytes than this in `dtype` keep the 16-bit weights of linear layers and convolutions
  /// as they lie in the file, and widen each at its use: the same numbers in half of the memory. Absent: all models where
  /// limn's kernels read the weights, which lose no time by it, else those of more than 6 GiB.
  std::optional<int64_t> most_widened = {};
};

/// What a request gets when it does not say: from limn.json in the model's folder, else diffusers' defaults.
struct RequestDefaults {
  int64_t num_inference_steps = 50;
  double guidance_scale = 7.5;
};

/// @param folder  of the model. @throws Error{BadFile}
RequestDefaults read_defaults(const std::filesystem::path& folder);

/// When the weights of a model with so many parameters get the type that is computed in.
nn::Widening widening_of(int64_t parameters, at::ScalarType dtype, const LoadOptions& options);

/// A loaded text-to-picture model. Immutable; safe to share between threads.
struct Model {
  Checkpoint checkpoint;
  RequestDefaults defaults;
  LoadOptions loaded_as;
  text::CLIPTokenizer tokenizer;                            // of text_encoder
  std::shared_ptr<const text::CLIPTextModel> text_encoder;  // null in Stable Diffusion XL's refiner
  std::shared_ptr<const UNet2DConditionModel> unet;
  std::shared_ptr<const Autoencoder> vae;  // float32 where its config says force_upcast
  // Stable Diffusion XL's second encoder, OpenCLIP ViT-bigG with its projection; else null.
  std::optional<text::CLIPTokenizer> tokenizer_2;
  std::shared_ptr<const text::CLIPTextModel> text_encoder_2;
  std::optional<text::Vocabulary> vocabulary;  // of a small model, whose folder says what it knows

  int64_t native_size() const;  // pixels of the side it was trained at
  int64_t factor() const { return vae->factor(); }
  /// Channels of the U-Net's input beyond the noisy latents: 5 to inpaint (mask, masked picture), 4 to edit by
  /// instruction (picture), 0 else.
  int64_t extra_channels() const { return unet->config().in_channels - vae->latent_channels(); }
  bool is_xl() const { return text_encoder_2 != nullptr; }
  /// Of models that edit by instruction: whether the picture comes in the denoiser's scale (CosXL-Edit) or the
  /// autoencoder's (Brooks et al. 2023).
  bool edits_in_latent_scale() const;
};

/// A VAE alone. @throws Error{BadFile}, Error{Unsupported}
std::shared_ptr<const Autoencoder> load_vae(const Part& part, const LoadOptions& options);

/// Loads every part. @throws Error{BadFile}, Error{Unsupported}
std::shared_ptr<const Model> load_model(Checkpoint checkpoint, const LoadOptions& options);

}  // namespace limn::models
