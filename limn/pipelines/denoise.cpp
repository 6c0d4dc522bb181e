// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/denoise.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include "limn/base/error.h"

namespace limn::pipelines {

GuidedDenoiser::GuidedDenoiser(const models::UNet2DConditionModel& unet, at::Tensor positive,
                               at::Tensor negative, double guidance_scale, int64_t batch)
    : unet_(unet), guidance_scale_(guidance_scale), guided_(negative.defined()) {
  const auto repeated = [batch](const at::Tensor& x) { return x.expand({batch, x.size(1), x.size(2)}); };
  context_ = guided_ ? at::cat({repeated(negative), repeated(positive)}, 0) : repeated(positive).contiguous();
}

at::Tensor GuidedDenoiser::forward(const at::Tensor& input, double timestep) const {
  const at::Tensor sample = (guided_ ? at::cat({input, input}, 0) : input).to(context_.options());
  const at::Tensor t = at::full({1}, timestep, context_.options().dtype(at::kFloat));
  const at::Tensor output = unet_.forward(sample, t, {.encoder_hidden_states = context_}).to(input.options());
  if (!guided_) return output;
  const auto halves = output.chunk(2, 0);  // unconditional, conditional
  return halves[0] + guidance_scale_ * (halves[1] - halves[0]);
}

at::Tensor denoise(at::Tensor latents, const DenoiseArgs& args) {
  const auto& timesteps = args.scheduler.timesteps();
  for (size_t i = args.first_step; i < timesteps.size(); ++i) {
    if (args.stop.stop_requested()) throw Error(ErrorCode::Cancelled, "denoise", "stopped by the caller");

    const at::Tensor input = args.scheduler.scale_model_input(latents, i);
    const at::Tensor output = args.denoiser.forward(input, timesteps[i]);
    latents = args.scheduler.step(output, i, latents, args.noise);
    if (args.on_step) args.on_step({i - args.first_step, timesteps.size() - args.first_step, latents});
  }
  return latents;
}

}  // namespace limn::pipelines
