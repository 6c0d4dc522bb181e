// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stop_token>

#include "limn/pipelines/denoiser.h"

namespace limn::pipelines {

/// Where a run is, after each model call.
struct Step {
  size_t index;               // 0-based, of `count`
  size_t count;               // model calls of the whole run; may grow where the sampler chooses its steps
  const at::Tensor& latents;  // [batch, channels, h, w]
};

/// Answers for the model. A run depends on its answers alone, so one with the same answers ends in the same bits.
/// @param input  what the model is asked with, float32 [batch, channels, h, w]
/// @param ask    asks the model
using AnswerModel =
    std::function<Prediction(const at::Tensor& input, const std::function<Prediction()>& ask)>;

struct DenoiseArgs {
  GuidedDenoiser& denoiser;
  schedulers::Scheduler& scheduler;
  const schedulers::NoiseSource& noise;
  size_t first_step = 0;        // > 0 when starting from a picture
  size_t last_step = SIZE_MAX;  // not done any more; less than all when another model takes over
  size_t steps_before = 0;      // of another model in the same run: they count for what goes by the step
  /// Changes what the model sees of the latents at call i; the sampler goes on from the latents themselves.
  std::function<at::Tensor(const at::Tensor& latents, size_t i)> before_model;
  /// Changes the clean picture that the model's answer amounts to.
  std::function<at::Tensor(const at::Tensor& denoised)> change_denoised;
  schedulers::Prediction prediction = schedulers::Prediction::Epsilon;  // of the model, for change_denoised
  /// Changes the latents after each step; `next` is the index of the timestep they are at, or the number of timesteps.
  std::function<at::Tensor(const at::Tensor& latents, size_t next)> after_step;
  /// Empty: the model itself. Not with Shortcuts::step_cache, whose answers hang on those before.
  AnswerModel answer;
  std::stop_token stop;
  std::function<void(const Step&)> on_step;
};

/// @param latents  float32 [batch, channels, h, w], noised to the first step's level
/// @return         the clean latents, or those at the level of `last_step`
/// @throws Error{Cancelled} between steps, once stop is requested
at::Tensor denoise(at::Tensor latents, const DenoiseArgs& args);

}  // namespace limn::pipelines
