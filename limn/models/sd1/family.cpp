// SPDX-License-Identifier: Apache-2.0
#include "limn/models/key_map.h"
#include "limn/models/sd1/sd1.h"

namespace limn::models::sd1 {
namespace {

/// One row a part: how its configuration is derived and its keys are named.
struct PartRow {
  std::string_view name;
  json::object (*config)(const weights::Index& ldm);
  KeyMap (*key_map)(const json::object& config, const std::string& where);
};
constexpr PartRow kParts[] = {
    {"unet", unet_config, unet_key_map},
    {"vae", vae_config, vae_key_map},
    {"text_encoder", text_encoder_config,
     [](const json::object&, const std::string&) { return clip_text_key_map(); }},
};

std::map<std::string, Part> split(const weights::Index& file, std::vector<std::string>& warnings) {
  std::map<std::string, Part> parts;
  std::map<std::string, weights::Index> ldm = split_by_prefix(file, warnings);
  std::vector<std::string> unexpected;
  for (const PartRow& row : kParts) {
    const std::string name(row.name);
    weights::Index& tensors = ldm.at(name);
    tensors.metadata = file.metadata;
    Part& part = parts[name];
    part.config = row.config(tensors);
    std::vector<std::string> unmapped;
    auto renamed = row.key_map(part.config, file.origin).to_diffusers(tensors.tensors, unmapped);
    for (const std::string& key : unmapped) unexpected.push_back(prefix_of(name) + key);
    part.tensors = std::move(tensors);
    part.tensors.tensors = std::move(renamed);
  }
  refuse_unexpected(file.origin, unexpected);
  return parts;
}

std::map<std::string, weights::TensorEntry> join(const std::map<std::string, Part>& parts) {
  std::map<std::string, weights::TensorEntry> file;
  for (const auto& [name, part] : parts) {
    std::vector<std::string> unexpected;
    const std::string prefix = prefix_of(name), where = part.tensors.origin;
    for (const PartRow& row : kParts)
      if (row.name == name)
        for (auto& [key, entry] : row.key_map(part.config, where).to_ldm(part.tensors.tensors, unexpected))
          file[prefix + key] = entry;
    refuse_unexpected(where, unexpected);
  }
  return file;
}

}  // namespace

Family family() {
  return {
      .name = "sd1",
      .title = "Stable Diffusion 1.x",
      .pipeline_class = "StableDiffusionPipeline",
      .prediction = "epsilon",
      .latent = {.channels = 4, .downscale = 8, .scale = 0.18215, .shift = 0},
      .native_size = 512,
      .scheduler_config =
          R"({"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
        "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null,
        "clip_sample": false})",
      .split = split,
      .join = join,
  };
}

}  // namespace limn::models::sd1
