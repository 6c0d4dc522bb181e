// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "limn/image/image.h"
#include "limn/models/model.h"
#include "limn/pipelines/denoise.h"

namespace limn::pipelines {

/// What is drawn: one prompt, one picture a seed, all in one batch.
struct GenerateArgs {
  std::string prompt, negative_prompt;
  int64_t width = 512, height = 512;  // pixels, multiples of the model's factor
  int64_t num_inference_steps = 50;   // the scheduler was made for
  double guidance_scale = 7.5;        // ≤ 1: no classifier-free guidance
  int64_t clip_skip = 0;              // as diffusers counts it
  std::vector<uint64_t> seeds;        // a picture each
  at::Tensor init_latents;            // [pictures, channels, h, w], instead of unit noise; may be undefined
  std::optional<Image> init_image;    // image to image: RGB, any size
  double strength = 0.8;              // of the change to init_image, 0 to 1
  std::stop_token stop;
  std::function<void(const Step&)> on_step;
};

struct Generated {
  at::Tensor latents;  // float32 [pictures, channels, h, w], the denoiser's scale
  std::vector<std::string> warnings;
  double encode_seconds = 0, denoise_seconds = 0;
};

/// Text to image, and image to image when init_image is given; equal to diffusers' StableDiffusionPipeline
/// and StableDiffusionImg2ImgPipeline with a list of CPU generators, one a seed.
/// @param scheduler  made for this run
/// @throws Error{Cancelled}; Error{InvalidArgument} for latents of another shape or a strength that leaves no
/// step
Generated generate_latents(const models::Model& model, schedulers::Scheduler& scheduler,
                           const GenerateArgs& args);

/// Step of the schedule at which image to image starts (diffusers' get_timesteps), in model calls.
size_t first_step_of(double strength, int64_t num_inference_steps, const schedulers::Scheduler& scheduler);

}  // namespace limn::pipelines
