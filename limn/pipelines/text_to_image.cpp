// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/text_to_image.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "limn/base/error.h"
#include "limn/pipelines/pixels.h"

namespace limn::pipelines {
namespace {

constexpr int64_t kInpaintingChannels = 5;  // mask and masked picture
constexpr double kTrainTimesteps = 1000;

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

/// One run: what the parts below share.
struct Job {
  const models::Model& model;
  schedulers::Scheduler& scheduler;
  const GenerateArgs& args;
  schedulers::NoiseSource noise;
  size_t first_step = 0, last_step = SIZE_MAX;

  std::vector<int64_t> latent_shape() const {
    return {static_cast<int64_t>(args.seeds.size()), model.vae->latent_channels(),
            args.height / model.factor(), args.width / model.factor()};
  }
  bool edits() const { return model.extra_channels() == model.vae->latent_channels(); }
  bool inpaints_with_channels() const { return model.extra_channels() == kInpaintingChannels; }
};

void check_latents(const char* name, const at::Tensor& latents, const std::vector<int64_t>& shape) {
  if (latents.defined() && latents.sizes() != at::IntArrayRef(shape))
    throw Error(ErrorCode::InvalidArgument, name,
                "expected " + c10::str(at::IntArrayRef(shape)) + ", found " + c10::str(latents.sizes()));
}

void check_inputs(const Job& job) {
  const GenerateArgs& args = job.args;
  check_latents("init_latents", args.init_latents, job.latent_shape());
  check_latents("start_latents", args.start_latents, job.latent_shape());
  if (args.inpainting && !args.init_image)
    throw Error(ErrorCode::InvalidArgument, "mask", "needs a picture to repaint", "give init_image");
  if (job.inpaints_with_channels() && !args.inpainting)
    throw Error(ErrorCode::InvalidArgument, "mask", "is missing: the model is made for inpainting",
                "give init_image and mask, or a model that makes whole pictures");
  if (job.edits() && !args.init_image)
    throw Error(ErrorCode::InvalidArgument, "init_image", "is missing: the model edits pictures");
  if (job.model.extra_channels() != 0 && !job.inpaints_with_channels() && !job.edits())
    throw Error(ErrorCode::Unsupported, "model",
                "its U-Net wants " + std::to_string(job.model.extra_channels()) +
                    " channels besides the latents, which limn cannot give");
}

/// Model calls before the noise level falls under a share of all: diffusers' denoising_end and denoising_start.
size_t calls_until(const schedulers::Scheduler& scheduler, double share) {
  const double cutoff = std::nearbyint(kTrainTimesteps - share * kTrainTimesteps);
  const auto& timesteps = scheduler.timesteps();
  auto left = static_cast<size_t>(
      std::count_if(timesteps.begin(), timesteps.end(), [&](double t) { return t < cutoff; }));
  // Of two calls a step, never between the two.
  if (scheduler.order() == 2 && left % 2 == 0 && left < timesteps.size() && left > 0) ++left;
  return timesteps.size() - left;
}

void find_steps(Job& job) {
  const GenerateArgs& args = job.args;
  if (args.denoising_start)
    job.first_step = calls_until(job.scheduler, *args.denoising_start);
  else if (args.last_steps)
    job.first_step =
        static_cast<size_t>((args.num_inference_steps - *args.last_steps) * job.scheduler.order());
  else if ((args.init_image && !job.edits()) || args.start_latents.defined())
    job.first_step = first_step_of(args.strength, args.num_inference_steps, job.scheduler, args.start_rule);
  if (args.denoising_end) job.last_step = calls_until(job.scheduler, *args.denoising_end);
  const size_t last = std::min(job.last_step, job.scheduler.timesteps().size());
  if (job.first_step < last) return;
  const bool by_strength = !args.denoising_start && !args.denoising_end;
  throw Error(ErrorCode::InvalidArgument, by_strength ? "strength" : "refiner_start",
              (by_strength ? std::to_string(args.strength) + " of " : "its share of ") +
                  std::to_string(args.num_inference_steps) + " steps leaves no step to do",
              by_strength ? "raise strength or steps" : "move it, or raise steps");
}

at::Tensor pixels_of(const Job& job, const Image& image) {
  return to_pixels(resize_lanczos(to_rgb(image), static_cast<int>(job.args.width),
                                  static_cast<int>(job.args.height)))
      .to(job.model.vae->parameters_options());
}

/// A picture's latents for each of the batch, drawn from the encoder's distribution with the batch's own generators.
at::Tensor drawn_latents(const Job& job, const at::Tensor& pixels) {
  const models::Autoencoder& vae = *job.model.vae;
  const models::DiagonalGaussian posterior = vae.encode(pixels);
  std::vector<int64_t> sizes = posterior.mean.sizes().vec();
  sizes[0] = static_cast<int64_t>(job.args.seeds.size());
  if (!posterior.logvar.defined() || job.args.encodes_mean)
    return vae.scale(posterior.mean.expand(sizes)).to(at::kCPU, at::kFloat);
  const at::Tensor draw = job.noise.draw(sizes).to(posterior.mean.options());
  return vae.scale(posterior.sample(draw)).to(at::kCPU, at::kFloat);
}

/// Where a run starts.
struct Start {
  at::Tensor latents;   // noised to the level of the first step
  at::Tensor original;  // the picture's own latents; undefined when they were not needed
  at::Tensor noise;     // unit noise
};

/// The mask as numbers, [1, 1, height, width], 0 to 1.
at::Tensor mask_values(const Image& mask) {
  Image rgb = to_rgb(mask);
  return (to_pixels(rgb).narrow(1, 0, 1) + 1) / 2;
}

at::Tensor to_latent_size(const Job& job, const at::Tensor& mask) {
  const auto shape = job.latent_shape();
  return at::upsample_nearest2d(mask, {shape[2], shape[3]});
}

at::Tensor cut_at_half(const at::Tensor& mask) { return (mask >= 0.5).to(at::kFloat); }

/// The picture's latents with noise, or nothing, under the mask.
at::Tensor with_content(const Job& job, const Start& start, const at::Tensor& mask) {
  switch (job.args.inpainting->content) {
    case MaskedContent::Noise:
      return (1 - mask) * start.original + mask * start.noise;
    case MaskedContent::Nothing:
      return (1 - mask) * start.original;
    default:
      return start.original;
  }
}

at::Tensor unit_noise(const Job& job) {
  if (job.args.init_latents.defined()) return job.args.init_latents;
  const NoiseRules& rules = job.args.noise;
  return schedulers::initial_noise(job.noise, job.args.seeds, rules.generator, rules.variation,
                                   job.latent_shape());
}

/// diffusers repaints from noise alone where nothing is to be kept of what was there.
bool forgets_picture(const Job& job) {
  return job.args.inpainting && job.args.strength == 1.0 && job.args.start_rule == StartRule::Diffusers;
}

/// The noise of a run from none, over what add_noise takes at the first step.
double first_noise(const Job& job) {
  const at::Tensor one = at::ones({1});
  return job.scheduler.init_noise_sigma() /
         job.scheduler.add_noise(at::zeros_like(one), one, 0).item<double>();
}

Start start_of(const Job& job) {
  const GenerateArgs& args = job.args;
  Start out;
  if (args.start_latents.defined()) {
    out.original = args.start_latents;
    if (args.denoising_start) {
      out.latents = args.start_latents;
      return out;
    }
  } else if (args.init_image && !job.edits() && !(forgets_picture(job) && job.inpaints_with_channels())) {
    out.original = drawn_latents(job, pixels_of(job, *args.init_image));  // each generator's first draw
  }
  out.noise = unit_noise(job);
  if (!out.original.defined() || forgets_picture(job)) {
    out.latents = out.noise * job.scheduler.init_noise_sigma();
    return out;
  }
  at::Tensor clean = out.original;
  if (args.inpainting)
    clean = with_content(job, out, to_latent_size(job, cut_at_half(mask_values(args.inpainting->mask))));
  // ComfyUI's whole schedules begin with as much noise as those without a picture.
  const bool begins = args.start_rule == StartRule::ComfyUi && job.first_step == 0;
  out.latents =
      job.scheduler.add_noise(clean, begins ? out.noise * first_noise(job) : out.noise, job.first_step);
  return out;
}

/// Channels beside the latents, for models that were trained to inpaint: mask, and the picture without what it covers.
at::Tensor inpainting_channels(const Job& job) {
  const at::Tensor mask = cut_at_half(mask_values(job.args.inpainting->mask));
  const at::Tensor pixels = pixels_of(job, *job.args.init_image);
  const at::Tensor masked = drawn_latents(job, pixels * (mask < 0.5).to(pixels.options()));
  at::Tensor small = to_latent_size(job, mask);
  return at::cat({small.expand({masked.size(0), 1, small.size(2), small.size(3)}), masked}, 1);
}

/// The mask's grey over the latents.
at::Tensor softened(const Job& job, const at::Tensor& mask) {
  const auto shape = job.latent_shape();
  return at::upsample_bilinear2d(mask, {shape[2], shape[3]}, false);
}

/// Keeps what the mask does not cover at the picture's own latents, noised to each step's level.
std::function<at::Tensor(const at::Tensor&, size_t)> keeper_of(const Job& job, const Start& start) {
  const MaskMode mode = job.args.inpainting->mode;
  const at::Tensor values = mask_values(job.args.inpainting->mask);
  const at::Tensor grey = to_latent_size(job, values);
  const at::Tensor fixed =
      mode == MaskMode::Soft ? softened(job, values) : to_latent_size(job, cut_at_half(values));
  return [&job, start, grey, fixed, mode](const at::Tensor& latents, size_t next) {
    const size_t count = job.scheduler.timesteps().size();
    const at::Tensor kept =
        next < count ? job.scheduler.add_noise(start.original, start.noise, next) : start.original;
    at::Tensor mask = fixed;
    if (mode ==
        MaskMode::
            Differential) {  // free as soon as the share of steps that is left has come down to the mask's grey
      const double left = static_cast<double>(count - next) / static_cast<double>(count - job.first_step);
      mask = (grey > left).to(at::kFloat);
    }
    return (1 - mask) * kept + mask * latents;
  };
}

/// Blends in the clean picture: A1111 rounds the mask, ComfyUI does not.
void blend_denoised(const Job& job, const Start& start, DenoiseArgs& run) {
  const Inpainting& inpainting = *job.args.inpainting;
  const auto shape = job.latent_shape();
  const at::Tensor values = mask_values(inpainting.mask);
  const bool comfy = inpainting.blend == BlendRule::InputAndDenoised;
  const at::Tensor mask = comfy || inpainting.mode == MaskMode::Soft
                              ? softened(job, values)
                              : at::_upsample_bicubic2d_aa(values, {shape[2], shape[3]}, false).round();
  run.prediction = job.args.levels.prediction;
  run.change_denoised = [mask, start](const at::Tensor& denoised) {
    return mask * denoised + (1 - mask) * start.original;
  };
  if (comfy)
    run.before_model = [&job, mask, start](const at::Tensor& latents, size_t i) {
      return mask * latents + (1 - mask) * job.scheduler.add_noise(start.original, start.noise, i);
    };
}

/// The texts with the channels that the model wants beside the latents.
std::vector<Branches> branches_of(const Job& job, const std::vector<EncodedPrompts>& prompts) {
  at::Tensor channels;
  if (job.inpaints_with_channels()) channels = inpainting_channels(job);
  if (job.edits()) {
    const at::Tensor mean = job.model.vae->encode(pixels_of(job, *job.args.init_image)).mean;
    channels =
        (job.model.edits_in_latent_scale() ? job.model.vae->scale(mean) : mean).to(at::kCPU, at::kFloat);
  }
  std::vector<Branches> out;
  for (const EncodedPrompts& entry : prompts) {
    Branches& branches = out.emplace_back();
    branches.until = entry.until;
    for (const ComposedConditioning& part : entry.positive)
      branches.positive.push_back({part.condition, part.weight, channels});
    if (!entry.negative) continue;
    branches.negative = Branch{*entry.negative, 1, channels};
    if (!job.edits()) continue;
    branches.image_only = branches.negative;
    branches.negative->channels = at::zeros_like(channels);
  }
  return out;
}

constexpr MaskModeEntry kMaskModes[] = {
    {"hard", "none of it: cut at mid grey", MaskMode::Hard},
    {"soft", "a share of the new picture, at each step and in the end", MaskMode::Soft},
    {"differential", "a share of the steps (Levin & Fried 2023)", MaskMode::Differential},
};

constexpr MaskedContentEntry kMaskedContents[] = {
    {"original", "what was there", MaskedContent::Original},
    {"fill", "colours from around", MaskedContent::Fill},
    {"noise", "noise", MaskedContent::Noise},
    {"nothing", "a flat field", MaskedContent::Nothing},
};

}  // namespace

std::span<const MaskModeEntry> mask_modes() { return kMaskModes; }
std::span<const MaskedContentEntry> masked_contents() { return kMaskedContents; }

size_t first_step_of(double strength, int64_t num_inference_steps, const schedulers::Scheduler& scheduler,
                     StartRule rule) {
  constexpr double kMostOfA1111 = 0.999;
  if (rule == StartRule::A1111) {  // one step more than the share, so that the first level is noised to
    const auto share =
        static_cast<int64_t>(std::min(strength, kMostOfA1111) * static_cast<double>(num_inference_steps));
    return static_cast<size_t>((num_inference_steps - share - 1) * scheduler.order());
  }
  const auto steps = std::min(static_cast<int64_t>(static_cast<double>(num_inference_steps) * strength),
                              num_inference_steps);
  return static_cast<size_t>((num_inference_steps - steps) * scheduler.order());
}

Generated generate_latents(const models::Model& model, schedulers::Scheduler& scheduler,
                           const GenerateArgs& args) {
  Generated out;
  Stopwatch watch;
  Job job{model, scheduler, args,
          schedulers::NoiseSource::seeded(args.seeds, args.noise.generator, args.noise.part)};
  LIMN_CHECK(!args.answer || args.shortcuts.step_cache <= 1, "answers that hang on those before");
  check_inputs(job);
  find_steps(job);

  // A U-Net that is told the guidance scale needs no second half.
  const bool guided =
      (args.guidance.is_on() || scheduler.reads_unconditional() || is_composed(args.prompts)) &&
      !model.unet->config().time_cond_proj_dim;
  const int64_t steps = args.last_steps.value_or(args.num_inference_steps);  // that were asked for
  const auto prompts = encode_prompts(
      model, args.prompts, args.sizes, args.width, args.height, guided,
      {.steps = steps * scheduler.order(), .first_pass_steps = args.first_pass_steps}, out.warnings);
  if (!guided && args.prompts.negative_prompt && !args.prompts.negative_prompt->empty())
    out.warnings.push_back(args.guidance.is_on()
                               ? "negative_prompt: has no effect on a latent consistency model"
                               : "negative_prompt: has no effect at guidance_scale ≤ 1");
  out.encode_seconds = watch.lap();

  if (job.first_step > 0) scheduler.begin_at(job.first_step);
  const Start start = start_of(job);
  GuidedDenoiser denoiser(*model.unet, branches_of(job, prompts), args.guidance, args.levels, args.tiling,
                          args.shortcuts);
  const schedulers::NoiseSource steps_noise =
      args.noise.seed_delta != 0 || args.noise.generator == schedulers::NoiseGenerator::Shared
          ? job.noise.reseeded(args.noise.seed_delta)
          : job.noise;
  DenoiseArgs run{.denoiser = denoiser,
                  .scheduler = scheduler,
                  .noise = steps_noise,
                  .first_step = job.first_step,
                  .last_step = job.last_step,
                  .answer = args.answer,
                  .stop = args.stop,
                  .on_step = args.on_step};
  if (args.denoising_start) run.steps_before = job.first_step;
  if (args.inpainting && start.original.defined()) {
    const bool by_samples =
        args.inpainting->blend == BlendRule::Samples || args.inpainting->mode == MaskMode::Differential;
    if (!by_samples)
      blend_denoised(job, start, run);
    else if (!job.inpaints_with_channels()) {
      run.after_step = keeper_of(job, start);
      // diffusers encodes the masked picture here, too: each generator moves on by as much.
      if (!args.encodes_mean) job.noise.draw(job.latent_shape());
    }
  }
  out.latents = denoise(start.latents, run);
  out.denoise_seconds = watch.lap();
  return out;
}

}  // namespace limn::pipelines
