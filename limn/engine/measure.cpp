// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/measure.h"

#include <chrono>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <sys/resource.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/engine/resolve.h"
#include "limn/engine/torch_errors.h"
#include "limn/nn/fast_path.h"
#include "limn/pipelines/decode.h"
#include "limn/pipelines/denoiser.h"

namespace limn::engine {

/// A loaded model with a request that is resolved for it.
struct MeasuredModel {
  const models::Model& model;
  const Run& run;
  std::stop_token stop;

  bool guided() const { return run.args.guidance.is_on(); }
  bool edits() const { return model.extra_channels() == model.vae->latent_channels(); }
  std::vector<pipelines::EncodedPrompts> encode() const;
  at::Tensor latents() const;
};

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Waits for the device, and refuses to time arithmetic on infinities, which may take another time than numbers.
void finish(const at::Tensor& result) {
  if (!at::isfinite(result.flatten()[0]).item<bool>())
    throw Error(ErrorCode::BadFile, "model", "the model made numbers that are not finite",
                "measure it in float32");
}

/// The U-Net with the texts of the request; zeros for what an inpainting or editing model sees of a picture.
pipelines::GuidedDenoiser denoiser_of(const MeasuredModel& m) {
  at::Tensor channels;
  if (const int64_t extra = m.model.extra_channels()) {
    const at::Tensor latents = m.latents();
    channels = at::zeros({1, extra, latents.size(2), latents.size(3)});
  }
  std::vector<pipelines::Branches> branches;
  for (const pipelines::EncodedPrompts& entry : m.encode()) {
    pipelines::Branches& now = branches.emplace_back();
    now.until = entry.until;
    for (const pipelines::ComposedConditioning& part : entry.positive)
      now.positive.push_back({part.condition, part.weight, channels});
    if (entry.negative) now.negative = pipelines::Branch{*entry.negative, 1, channels};
    if (m.edits()) now.image_only = now.negative;
  }
  return {*m.model.unet, std::move(branches), m.run.args.guidance, m.run.args.levels, m.run.args.tiling};
}

std::function<void(int64_t)> text(const MeasuredModel& m) {
  return [&m](int64_t) { finish(m.encode().front().positive.front().condition.hidden_states); };
}

std::function<void(int64_t)> step(const MeasuredModel& m) {
  const auto scheduler = m.run.scheduler.make();
  return [denoiser = denoiser_of(m), latents = m.latents(), timesteps = scheduler->timesteps(),
          sigma = scheduler->init_noise_sigma()](int64_t n) mutable {
    const size_t i = static_cast<size_t>(n) % timesteps.size();
    const double progress = static_cast<double>(i) / static_cast<double>(timesteps.size());
    finish(denoiser
               .predict(latents, latents,
                        {.timestep = timesteps[i], .sigma = sigma, .progress = progress, .step = i})
               .guided);
  };
}

std::function<void(int64_t)> decode(const MeasuredModel& m) {
  return [&m, latents = m.latents()](int64_t) {
    finish(pipelines::decode_latents(*m.model.vae, latents, m.run.decoding, m.stop));
  };
}

constexpr MeasuredPart kParts[] = {
    {"text", "the prompt and, with guidance, the negative prompt through the text encoders", text},
    {"step", "one call of the U-Net, both halves of guidance", step},
    {"decode", "one picture's latents to pixels", decode},
};

int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

Measurement measure_parts(const GenerateRequest& request, const MeasureSettings& settings,
                          const std::vector<const MeasuredPart*>& parts, std::stop_token stop) {
  const auto started = std::chrono::steady_clock::now();
  ModelCache models;
  const LoadedModel loaded = models.get(model_choice_of(request), load_options_of(request));
  const Run run = resolve(request, loaded);
  Measurement out;
  out.load_seconds = seconds_since(started);
  loaded.hashes.wait();  // computed beside the arithmetic otherwise

  const MeasuredModel measured{*loaded.model, run, stop};
  out.model = loaded.name;
  out.dtype = run.record.dtype;
  out.device = run.record.device;
  out.width = run.args.width;
  out.height = run.args.height;
  out.branches = !measured.guided() ? 1 : measured.edits() ? 3 : 2;
  out.threads = at::get_num_threads();
  for (const MeasuredPart* part : parts) {
    PartTimes& times = out.parts.emplace_back(PartTimes{std::string(part->name), {}, {}});
    const auto work = part->begin(measured);
    for (int64_t n = 0; n <= settings.repeats; ++n) {
      if (stop.stop_requested()) throw Error(ErrorCode::Cancelled, "measure", "stopped by the caller");
      const auto begun = std::chrono::steady_clock::now();
      const int64_t faults = page_faults();
      work(n);
      if (n == 0) continue;
      times.seconds.push_back(seconds_since(begun));
      times.page_faults.push_back(page_faults() - faults);
    }
  }
  return out;
}

}  // namespace

std::vector<pipelines::EncodedPrompts> MeasuredModel::encode() const {
  const pipelines::GenerateArgs& args = run.args;
  std::vector<std::string> ignored;
  return pipelines::encode_prompts(model, args.prompts, args.sizes, args.width, args.height, guided(),
                                   {args.num_inference_steps}, ignored);
}

at::Tensor MeasuredModel::latents() const {
  return at::randn(
      {1, model.vae->latent_channels(), run.args.height / model.factor(), run.args.width / model.factor()},
      at::detail::createCPUGenerator(0));
}

std::span<const MeasuredPart> measured_parts() { return kParts; }

Measurement measure(const GenerateRequest& request, const MeasureSettings& settings, std::stop_token stop) {
  std::vector<const MeasuredPart*> parts;
  for (const std::string& name : settings.parts)
    parts.push_back(&find_named(measured_parts(), name, "parts"));
  if (parts.empty())
    for (const MeasuredPart& part : kParts) parts.push_back(&part);
  if (settings.threads > 0) at::set_num_threads(settings.threads);
  const c10::InferenceMode inference;
  const nn::PlainPath plain(request.plain);
  try {
    return measure_parts(request, settings, parts, stop);
  } catch (...) {
    rethrow_as_error("measure");
  }
}

}  // namespace limn::engine
