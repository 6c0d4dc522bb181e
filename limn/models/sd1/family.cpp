// SPDX-License-Identifier: Apache-2.0
#include "limn/models/derive_config.h"
#include "limn/models/sd1/sd1.h"

namespace limn::models::sd1 {

Family family() {
  return {
      .name = "sd1",
      .title = "Stable Diffusion 1.x",
      .pipeline_class = "StableDiffusionPipeline",
      .latent = {.channels = 4, .downscale = 8, .scale = 0.18215, .shift = 0},
      .native_size = 512,
      .scheduler_config =
          R"({"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
        "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null,
        "clip_sample": false})",
      .parts = {{"unet",
                 "UNet2DConditionModel",
                 {"model.diffusion_model."},
                 [](const weights::Index& ldm) { return unet_config(ldm, {}); },
                 unet_to_diffusers,
                 unet_to_ldm},
                {"vae",
                 "AutoencoderKL",
                 {"first_stage_model.", "vae."},
                 [](const weights::Index& ldm) { return vae_config(ldm, {}); },
                 vae_to_diffusers,
                 vae_to_ldm},
                {"text_encoder",
                 "CLIPTextModel",
                 {"cond_stage_model.transformer."},
                 clip_text_config,
                 clip_to_diffusers,
                 clip_to_ldm}},
  };
}

}  // namespace limn::models::sd1
