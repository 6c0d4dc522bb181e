// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "limn/base/file.h"
#include "limn/provenance/record.h"

namespace limn::provenance::testing {

/// A record with every field set, none to its default.
inline GenerationRecord full_record() {
  GenerationRecord record;
  record.prompt = "a lighthouse in fog, (dusk:1.2)\nsecond line";
  record.negative_prompt = "blurry, low quality";
  record.steps = 20;
  record.scheduler = "dpmpp_2m";
  record.scheduler_class = "DPMSolverMultistepScheduler";
  record.schedule = "karras";
  record.a1111_sampler = "DPM++ 2M";
  record.a1111_schedule = "Karras";
  record.scheduler_config = {{"num_train_timesteps", 1000}, {"use_karras_sigmas", true}, {"beta_end", 0.012}};
  record.guidance_scale = 6.25;
  record.seed = UINT64_MAX;
  record.width = 512;
  record.height = 768;
  record.model = "sd-1.5, pruned: ema";
  record.model_hash = "0123456789" + std::string(54, 'f');
  record.clip_skip = 1;
  record.strength = 0.6;
  record.eta = 0.5;
  record.init_image_sha256 = std::string(64, 'a');
  record.init_latents_sha256 = std::string(64, 'b');
  record.variation_seed = 99;
  record.batch_index = 1;
  record.batch_size = 3;
  record.dtype = "float32";
  record.device = "cpu";
  record.limn_version = "0.1.0";
  record.weights = {{"unet.safetensors", std::string(64, 'c')}, {"vae.safetensors", std::string(64, 'd')}};
  record.loras = {{"ink.safetensors", 0.75, std::string(64, 'e')}};
  record.compat = "a1111";
  record.request = {{"prompt", "a lighthouse in fog"}, {"steps", 20}};
  record.created = "2030-01-02T03:04:05Z";
  record.warnings = {"clip_skip: 灯台"};
  return record;
}

}  // namespace limn::provenance::testing
