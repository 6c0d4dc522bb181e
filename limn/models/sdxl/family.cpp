// SPDX-License-Identifier: Apache-2.0
#include <boost/json/value_from.hpp>

#include "limn/models/derive_config.h"
#include "limn/models/open_clip.h"
#include "limn/models/scalars.h"
#include "limn/models/sdxl/sdxl.h"
#include "limn/weights/tensor.h"

namespace limn::models::sdxl {
namespace {

constexpr std::string_view kScheduler =
    R"({"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", "beta_end": 0.012,
  "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
  "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
  "sample_max_value": 1.0, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1,
  "timestep_spacing": "leading", "trained_betas": null, "use_karras_sigmas": false})";
/// Playground v2.5 (Li et al. 2024): Karras' preconditioning.
constexpr std::string_view kPlaygroundScheduler =
    R"({"_class_name": "EDMDPMSolverMultistepScheduler", "algorithm_type": "dpmsolver++",
  "dynamic_thresholding_ratio": 0.995, "euler_at_final": false, "final_sigmas_type": "zero",
  "lower_order_final": true, "num_train_timesteps": 1000, "prediction_type": "epsilon", "rho": 7.0,
  "sample_max_value": 1.0, "sigma_data": 0.5, "sigma_max": 80.0, "sigma_min": 0.002, "solver_order": 2,
  "solver_type": "midpoint", "thresholding": false})";
/// CosXL: v-prediction with Karras' preconditioning, sigma_data 1.
constexpr std::string_view kCosXLScheduler =
    R"({"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction", "sigma_data": 1.0,
  "sigma_max": 120.0, "sigma_min": 0.002, "sigma_schedule": "exponential"})";
constexpr double kPlaygroundScale = 0.5;

json::object parsed(std::string_view text) { return parse_json(text, "scheduler").as_object(); }

json::value values_of(const weights::TensorEntry& entry) {
  const at::Tensor flat = weights::to_tensor(entry).to(at::kDouble).flatten().contiguous();
  return json::value_from(
      std::vector<double>(flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()));
}

/// What marker tensors ask for: ComfyUI's and diffusers' conventions.
void adjust(const weights::Index& file, Checkpoint& checkpoint) {
  json::object& scheduler = checkpoint.scheduler_config;
  if (const auto* mean = file.find("edm_mean"), *deviation = file.find("edm_std"); mean && deviation) {
    json::object& vae = checkpoint.parts.at("vae").config;
    vae["latents_mean"] = values_of(*mean);
    vae["latents_std"] = values_of(*deviation);
    vae["scaling_factor"] = kPlaygroundScale;
    scheduler = parsed(kPlaygroundScheduler);
  } else if (const auto* most = file.find("edm_vpred.sigma_max")) {
    scheduler = parsed(kCosXLScheduler);
    if (const auto value = scalar(*most)) scheduler["sigma_max"] = *value;
    if (const auto* least = file.find("edm_vpred.sigma_min"))
      if (const auto value = scalar(*least)) scheduler["sigma_min"] = *value;
  }
  if (file.has("ztsnr")) {  // Lin et al. 2023: needs v-prediction and a grid that starts at the last timestep
    scheduler["rescale_betas_zero_snr"] = true;
    scheduler["timestep_spacing"] = "trailing";
  }
}

SingleFilePart unet_part() {
  return {
      "unet",
      "UNet2DConditionModel",
      {"model.diffusion_model."},
      [](const weights::Index& ldm) { return unet_config(ldm, {.head_channels = 64, .sample_size = 128}); },
      unet_to_diffusers,
      unet_to_ldm};
}

SingleFilePart vae_part() {
  return {"vae",
          "AutoencoderKL",
          {"first_stage_model.", "vae."},
          [](const weights::Index& ldm) {
            return vae_config(ldm, {.scaling_factor = 0.13025, .sample_size = 1024, .force_upcast = true});
          },
          vae_to_diffusers,
          vae_to_ldm};
}

SingleFilePart clip_l_part() {
  return {"text_encoder",   "CLIPTextModel",   {"conditioner.embedders.0.transformer."},
          clip_text_config, clip_to_diffusers, clip_to_ldm};
}

/// OpenCLIP ViT-bigG with its projection. @param prefix  base: second embedder; refiner: first
SingleFilePart big_g_part(std::string_view prefix) {
  return {"text_encoder_2",
          "CLIPTextModelWithProjection",
          {prefix},
          [](const weights::Index& ldm) { return open_clip_text_config(ldm, 0, true); },
          [](const weights::Index& ldm, const json::object&, std::vector<std::string>& unexpected) {
            return open_clip_to_diffusers(ldm.tensors, 0, true, unexpected);
          },
          [](const Part& part, std::vector<std::string>& unexpected) {
            return diffusers_to_open_clip(part.tensors.tensors, unexpected);
          }};
}

Family base(std::string_view name, std::string_view title) {
  return {.name = name,
          .title = title,
          .pipeline_class = "StableDiffusionXLPipeline",
          .latent = {.channels = 4, .downscale = 8, .scale = 0.13025, .shift = 0},
          .native_size = 1024,
          .scheduler_config = kScheduler,
          .parts = {unet_part(), vae_part(), clip_l_part(), big_g_part("conditioner.embedders.1.model.")},
          .adjust = adjust};
}

Family refiner() {
  Family family = base("sdxl-refiner", "Stable Diffusion XL refiner");
  family.pipeline_class = "StableDiffusionXLImg2ImgPipeline";
  family.parts = {unet_part(), vae_part(), big_g_part("conditioner.embedders.0.model.")};
  family.requires_aesthetics_score = true;
  return family;
}

}  // namespace

std::vector<Family> families() {
  return {base("sdxl", "Stable Diffusion XL"),
          refiner(),
          base("ssd-1b", "SSD-1B"),
          base("segmind-vega", "Segmind Vega"),
          base("koala-700m", "KOALA 700M"),
          base("koala-1b", "KOALA 1B")};
}

}  // namespace limn::models::sdxl
