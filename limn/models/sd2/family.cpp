// SPDX-License-Identifier: Apache-2.0
#include "limn/models/derive_config.h"
#include "limn/models/open_clip.h"
#include "limn/models/sd2/sd2.h"

namespace limn::models::sd2 {
namespace {

constexpr int64_t kUnusedLayers = 1;  // the file has 24 layers, the model uses the states after the 23rd
constexpr int64_t kSampleSizeOfV = 96;

/// Models that predict v were trained at 768 pixels, the others at 512.
void adjust(const weights::Index&, Checkpoint& checkpoint) {
  const json::value* prediction = checkpoint.scheduler_config.if_contains("prediction_type");
  if (prediction && *prediction == "v_prediction")
    checkpoint.parts.at("unet").config["sample_size"] = kSampleSizeOfV;
}

}  // namespace

Family family() {
  return {
      .name = "sd2",
      .title = "Stable Diffusion 2.x",
      .pipeline_class = "StableDiffusionPipeline",
      .latent = {.channels = 4, .downscale = 8, .scale = 0.18215, .shift = 0},
      .native_size = 768,
      .scheduler_config =
          R"({"_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
        "num_train_timesteps": 1000, "prediction_type": "v_prediction", "set_alpha_to_one": false,
        "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null})",
      .parts = {{"unet",
                 "UNet2DConditionModel",
                 {"model.diffusion_model."},
                 [](const weights::Index& ldm) { return unet_config(ldm, {.head_channels = 64}); },
                 unet_to_diffusers,
                 unet_to_ldm},
                {"vae",
                 "AutoencoderKL",
                 {"first_stage_model.", "vae."},
                 [](const weights::Index& ldm) { return vae_config(ldm, {.sample_size = 768}); },
                 vae_to_diffusers,
                 vae_to_ldm},
                {"text_encoder",
                 "CLIPTextModel",
                 {"cond_stage_model.model."},
                 [](const weights::Index& ldm) { return open_clip_text_config(ldm, kUnusedLayers, false); },
                 [](const weights::Index& ldm, const json::object&, std::vector<std::string>& unexpected) {
                   return open_clip_to_diffusers(ldm.tensors, kUnusedLayers, false, unexpected);
                 },
                 [](const Part& part, std::vector<std::string>& unexpected) {
                   return diffusers_to_open_clip(part.tensors.tensors, unexpected);
                 }}},
      .padding = text::Padding::Zero,
      .adjust = adjust,
  };
}

}  // namespace limn::models::sd2
