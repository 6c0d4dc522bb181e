// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/denoise.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "limn/base/error.h"

namespace limn::pipelines {

namespace {

/// How latents are mixed at a model call: signal · x₀ + noise · ε. v is Salimans & Ho 2022, eq. 11.
struct Mixture {
  double signal, noise;

  at::Tensor denoised(const at::Tensor& output, const at::Tensor& latents,
                      schedulers::Prediction prediction) const {
    const double length = std::hypot(signal, noise);
    switch (prediction) {
      case schedulers::Prediction::Epsilon:
        return (latents - noise * output) / signal;
      case schedulers::Prediction::VPrediction:
        return latents * (signal / length / length) - output * (noise / length);
      default:
        return output;
    }
  }

  /// The model's output that amounts to x₀.
  at::Tensor output(const at::Tensor& denoised, const at::Tensor& latents,
                    schedulers::Prediction prediction) const {
    const double length = std::hypot(signal, noise);
    switch (prediction) {
      case schedulers::Prediction::Epsilon:
        return (latents - signal * denoised) / noise;
      case schedulers::Prediction::VPrediction:
        return (latents * (signal / length / length) - denoised) / (noise / length);
      default:
        return denoised;
    }
  }
};

Mixture mixture_at(const schedulers::Scheduler& scheduler, size_t i) {
  const at::Tensor one = at::ones({1}), none = at::zeros({1});
  return {scheduler.add_noise(one, none, i).item<double>(), scheduler.add_noise(none, one, i).item<double>()};
}

}  // namespace

at::Tensor denoise(at::Tensor latents, const DenoiseArgs& args) {
  const auto& timesteps = args.scheduler.timesteps();  // may grow: a sampler that chooses its steps
  for (size_t i = args.first_step; i < std::min(timesteps.size(), args.last_step); ++i) {
    if (args.stop.stop_requested()) throw Error(ErrorCode::Cancelled, "denoise", "stopped by the caller");

    const at::Tensor seen = args.before_model ? args.before_model(latents, i) : latents;
    const at::Tensor input = args.scheduler.scale_model_input(seen, i);
    const Mixture mixture = mixture_at(args.scheduler, i);
    const auto ask = [&] {
      Prediction made =
          args.denoiser.predict(input, seen,
                                {.timestep = timesteps[i],
                                 .sigma = mixture.noise / mixture.signal,
                                 .progress = static_cast<double>(i) / static_cast<double>(timesteps.size()),
                                 .step = i - args.first_step + args.steps_before});
      if (!args.scheduler.reads_unconditional()) made.unconditional.reset();
      return made;
    };
    Prediction output = args.answer ? args.answer(input, ask) : ask();
    if (args.change_denoised) {
      const at::Tensor denoised =
          args.change_denoised(mixture.denoised(output.guided, seen, args.prediction));
      output.guided = mixture.output(denoised, latents, args.prediction);
      if (output.unconditional.defined())
        output.unconditional = mixture.output(mixture.denoised(output.unconditional, seen, args.prediction),
                                              latents, args.prediction);
    }
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
