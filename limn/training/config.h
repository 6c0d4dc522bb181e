// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

namespace limn::training {

/// Every setting of a training run. A plain value; names, ranges, units and help are in train_fields(), which the
/// reader of TOML files, `limn train --list-settings` and the documentation share.
struct TrainConfig {
  // [run]
  std::string task;
  int64_t seed = 0, samples = 0;
  std::string precision = "auto", device = "cpu";
  bool channels_last = true, gradient_checkpointing = false;
  // [model]
  std::string base, autoencoder, unet, text_encoder, vocabulary;
  bool train_text_encoder = false;
  int64_t max_tokens = 77;
  std::string save_dtype = "float16";
  // [data]
  std::string data;
  int64_t batch_size = 1, accumulation = 1;
  bool cache_latents = false, cache_text = false;
  double caption_dropout = 0.1, horizontal_flip = 0;
  // [objective]
  std::string prediction = "epsilon", weighting = "none", timesteps = "uniform";
  double snr_gamma = 5, p2_k = 1, p2_gamma = 1, logit_mean = 0, logit_std = 1, offset_noise = 0;
  bool zero_terminal_snr = false;
  // [optimizer]
  std::string optimizer = "adamw", schedule = "cosine";
  double learning_rate = 1e-4, text_encoder_learning_rate = -1, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.01, clip_norm = 1, last_factor = 0;
  int64_t warmup_steps = 0;
  // [ema]
  std::string ema = "none";
  double ema_decay = 0.9999, ema_sigma_rel = 0.05;
  // [autoencoder]
  int64_t crop = 0;
  double whole_after = 0.85, l2_weight = 0, gradient_weight = 0.5, frequency_weight = 0,
         perceptual_weight = 0;
  double kl_weight = 1e-6, adversarial_weight = 0, discriminator_learning_rate = 1e-4;
  std::string perceptual_network;
  int64_t discriminator_start = 0, discriminator_channels = 64;
  // [lora]
  int64_t rank = 4, conv_rank = 0;
  double alpha = 0;
  std::vector<std::string> lora_targets = {"to_q", "to_k", "to_v", "to_out.0"};
  std::string lora_layout = "diffusers";
  // [distillation]
  int64_t distillation_steps = 0;
  double distillation_guidance = 7.5;
  // [dreambooth]
  std::string class_data;
  double prior_weight = 1;
  // [textual_inversion]
  std::string token, initializer;
  int64_t vectors = 1;
  // [checkpoint]
  int64_t checkpoint_every = 10000, keep = 2;
  // [validation]
  int64_t validation_every = 0, validation_samples = 256;
  // [preview]
  std::vector<std::string> prompts;
  int64_t preview_every = 0, preview_steps = 25, preview_seed = 7;
  double preview_guidance = 4;
  int64_t memorisation_samples = 0;
  // [log]
  int64_t log_every = 50;  // optimizer steps

  std::filesystem::path file;  // it was read from; relative paths inside start there
  /// A path of the configuration, as seen from the working folder.
  std::filesystem::path resolve(const std::string& path) const;
};

enum class TrainFieldKind { Text, Path, Integer, Number, Boolean, Texts };

/// One setting, "optimizer.learning_rate".
struct TrainField {
  std::string_view name;
  TrainFieldKind kind;
  std::string_view help;
  double least = 0, most = 0;          // of a number, inclusive
  std::string (*choices)() = nullptr;  // of a text from a list
  std::string_view tasks = "";         // that use it, parted by spaces; empty: all
  bool may_change = false;             // between a checkpoint and its resumption
  json::value (*get)(const TrainConfig& config) = nullptr;
  void (*set)(TrainConfig& config, const json::value& value) = nullptr;
};
std::span<const TrainField> train_fields();

struct TaskEntry {
  std::string_view name;
  std::string_view help;
};
std::span<const TaskEntry> tasks();

/// Reads and checks a TOML file.
/// @throws Error{InvalidArgument} naming file, line and key: unknown (with the nearest known name), of a wrong type, out
///         of range, missing, or in contradiction to another
TrainConfig read_config(const std::filesystem::path& path);
TrainConfig parse_config(std::string_view toml, const std::filesystem::path& path);

/// The settings in effect, by name: what checkpoints and reports keep.
json::object to_json(const TrainConfig& config);

/// @throws Error{InvalidArgument} that lists settings which must not differ from those a checkpoint was made with
void check_resumable(const TrainConfig& config, const json::object& checkpoint);

}  // namespace limn::training
