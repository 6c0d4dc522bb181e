// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/denoise.h"

#include <algorithm>

#include "limn/base/error.h"

namespace limn::pipelines {

at::Tensor denoise(at::Tensor latents, const DenoiseArgs& args) {
  const auto& timesteps = args.scheduler.timesteps();  // may grow: a sampler that chooses its steps
  for (size_t i = args.first_step; i < std::min(timesteps.size(), args.last_step); ++i) {
    if (args.stop.stop_requested()) throw Error(ErrorCode::Cancelled, "denoise", "stopped by the caller");

    const at::Tensor input = args.scheduler.scale_model_input(latents, i);
    const double progress = static_cast<double>(i) / static_cast<double>(timesteps.size());
    const Prediction output = args.denoiser.predict(input, latents, timesteps[i], progress, i);
    if (args.scheduler.reads_unconditional())
      args.scheduler.set_unconditional(output.unconditional.defined() ? output.unconditional : output.guided);
    latents = args.scheduler.step(output.guided, i, latents, args.noise);
    if (args.after_step) latents = args.after_step(latents, i + 1);
    if (args.on_step)
      args.on_step(
          {i - args.first_step, std::min(timesteps.size(), args.last_step) - args.first_step, latents});
  }
  return latents;
}

}  // namespace limn::pipelines
