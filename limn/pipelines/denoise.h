// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stop_token>

#include "limn/models/unet_2d_condition/unet_2d_condition.h"
#include "limn/schedulers/scheduler.h"

namespace limn::pipelines {

/// Where a run is, after each model call.
struct Step {
  size_t index;               // 0-based, of `count`
  size_t count;               // model calls of the whole run
  const at::Tensor& latents;  // [batch, channels, h, w]
};

/// Both halves of classifier-free guidance as one model: one batch of twice the pictures.
/// Source: Ho & Salimans 2022, eq. 6, with w + 1 = guidance_scale.
class GuidedDenoiser {
 public:
  /// @param positive, negative  [1 or batch, tokens, dim]; negative undefined: no guidance
  GuidedDenoiser(const models::UNet2DConditionModel& unet, at::Tensor positive, at::Tensor negative,
                 double guidance_scale, int64_t batch);

  /// @param input  [batch, channels, h, w]
  /// @return       the guided model output, float32 [batch, channels, h, w]
  at::Tensor forward(const at::Tensor& input, double timestep) const;

 private:
  const models::UNet2DConditionModel& unet_;
  at::Tensor context_;  // [batch or 2 batch, tokens, dim]
  double guidance_scale_;
  bool guided_;
};

struct DenoiseArgs {
  const GuidedDenoiser& denoiser;
  schedulers::Scheduler& scheduler;
  const schedulers::NoiseSource& noise;
  size_t first_step = 0;  // > 0 when starting from a picture
  std::stop_token stop;
  std::function<void(const Step&)> on_step;
};

/// @param latents  float32 [batch, channels, h, w], noised to the first step's level
/// @return         the clean latents
/// @throws Error{Cancelled} between steps, once stop is requested
at::Tensor denoise(at::Tensor latents, const DenoiseArgs& args);

}  // namespace limn::pipelines
