// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/text_to_image.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include "limn/base/error.h"
#include "limn/pipelines/pixels.h"

namespace limn::pipelines {
namespace {

class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - start_).count();
    start_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// @return  [1, tokens, dim]
at::Tensor encode_prompt(const models::Model& model, const std::string& prompt, const char* field,
                         int64_t clip_skip, std::vector<std::string>& warnings) {
  const auto padded = model.tokenizer.encode_padded(prompt);
  if (!padded.dropped.empty())
    warnings.push_back(std::string(field) + ": CLIP reads at most " +
                       std::to_string(model.tokenizer.max_length() - 2) + " tokens; left out: \"" +
                       padded.dropped + "\"");
  const at::Tensor ids = at::tensor(padded.ids, at::kLong).unsqueeze(0).to(model.loaded_as.device);
  return model.text_encoder->forward(ids, clip_skip);
}

std::vector<int64_t> latent_shape(const models::Model& model, const GenerateArgs& args) {
  return {static_cast<int64_t>(args.seeds.size()), model.vae->config().latent_channels,
          args.height / model.factor(), args.width / model.factor()};
}

/// The latents a run starts from, noised to the level of its first step.
at::Tensor initial_latents(const models::Model& model, const schedulers::Scheduler& scheduler,
                           const GenerateArgs& args, const schedulers::NoiseSource& noise,
                           size_t first_step) {
  const std::vector<int64_t> shape = latent_shape(model, args);
  if (args.init_latents.defined() && args.init_latents.sizes() != at::IntArrayRef(shape))
    throw Error(
        ErrorCode::InvalidArgument, "init_latents",
        "expected " + c10::str(at::IntArrayRef(shape)) + ", found " + c10::str(args.init_latents.sizes()));
  if (!args.init_image)
    return (args.init_latents.defined() ? args.init_latents : noise.draw(shape)) *
           scheduler.init_noise_sigma();

  const at::Tensor pixels = to_pixels(resize_lanczos(to_rgb(*args.init_image), static_cast<int>(args.width),
                                                     static_cast<int>(args.height)))
                                .to(model.vae->parameters_options());
  const models::DiagonalGaussian posterior = model.vae->encode(pixels);
  const at::Tensor draw = noise.draw(shape).to(posterior.mean.options());  // each generator's first draw
  const at::Tensor original = model.vae->scale(posterior.sample(draw)).to(at::kCPU, at::kFloat);
  return scheduler.add_noise(original, args.init_latents.defined() ? args.init_latents : noise.draw(shape),
                             first_step);
}

}  // namespace

size_t first_step_of(double strength, int64_t num_inference_steps, const schedulers::Scheduler& scheduler) {
  const auto steps = std::min(static_cast<int64_t>(static_cast<double>(num_inference_steps) * strength),
                              num_inference_steps);
  return static_cast<size_t>((num_inference_steps - steps) * scheduler.order());
}

Generated generate_latents(const models::Model& model, schedulers::Scheduler& scheduler,
                           const GenerateArgs& args) {
  Generated out;
  Stopwatch watch;
  const size_t first_step =
      args.init_image ? first_step_of(args.strength, args.num_inference_steps, scheduler) : 0;
  if (first_step >= scheduler.timesteps().size())
    throw Error(ErrorCode::InvalidArgument, "strength",
                std::to_string(args.strength) + " of " + std::to_string(args.num_inference_steps) +
                    " steps leaves no step to do",
                "raise strength or steps");

  const bool guided = args.guidance_scale > 1.0;
  const at::Tensor positive = encode_prompt(model, args.prompt, "prompt", args.clip_skip, out.warnings);
  const at::Tensor negative =  // diffusers skips no layer here
      guided ? encode_prompt(model, args.negative_prompt, "negative_prompt", 0, out.warnings) : at::Tensor();
  if (!guided && !args.negative_prompt.empty())
    out.warnings.push_back("negative_prompt: has no effect at guidance_scale ≤ 1");
  out.encode_seconds = watch.lap();

  const auto noise = schedulers::NoiseSource::seeded(args.seeds);
  const auto batch = static_cast<int64_t>(args.seeds.size());
  const GuidedDenoiser denoiser(*model.unet, positive, negative, args.guidance_scale, batch);
  out.latents =
      denoise(initial_latents(model, scheduler, args, noise, first_step), {.denoiser = denoiser,
                                                                           .scheduler = scheduler,
                                                                           .noise = noise,
                                                                           .first_step = first_step,
                                                                           .stop = args.stop,
                                                                           .on_step = args.on_step});
  out.denoise_seconds = watch.lap();
  return out;
}

}  // namespace limn::pipelines
