// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/engine.h"

#include <chrono>
#include <random>

#include <ATen/Parallel.h>
#include <ATen/ops/isfinite.h>
#include <c10/core/InferenceMode.h>

#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/engine/model_cache.h"
#include "limn/engine/plan.h"
#include "limn/engine/resolve.h"
#include "limn/engine/torch_errors.h"
#include "limn/engine/wording.h"
#include "limn/nn/arena.h"
#include "limn/nn/fast_path.h"
#include "limn/pipelines/decode.h"
#include "limn/pipelines/pixels.h"
#include "limn/pipelines/text_to_image.h"

namespace limn::engine {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool all_finite(const at::Tensor& x) { return at::isfinite(x).all().item<bool>(); }

Latents to_latents(const at::Tensor& latents) {
  const at::Tensor flat = latents.contiguous();
  return {flat.sizes().vec(), {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()}};
}

/// A run as a plan has it, which says so in its warnings.
Run resolve_within(const MemoryPlan& plan, GenerateRequest request, const LoadedModel& loaded) {
  request.vae_tile = plan.vae_tile;
  Run run = resolve(request, loaded);
  run.args.guidance.in_turn = plan.in_turn;
  run.warnings.insert(run.warnings.end(), plan.warnings.begin(), plan.warnings.end());
  return run;
}

/// What a run leaves in the arena goes back to the system.
struct TrimmedAfterwards {
  ~TrimmedAfterwards() { nn::trim_arena(); }
};

}  // namespace

struct Engine::State {
  ModelCache models, refiners;

  pipelines::Generated run_batch(const GenerateRequest& request, const models::Model& model, const Run& run,
                                 pipelines::GenerateArgs args, const models::LoadOptions& options);
  std::vector<Picture> generate(const GenerateRequest& request, const models::LoadOptions& options,
                                std::stop_token stop, const OnProgress& report);
};

Engine::Engine(int threads) : state_(std::make_unique<State>()) {
  if (threads > 0) at::set_num_threads(threads);
}

Engine::~Engine() = default;

std::string_view version() { return LIMN_VERSION; }

std::string Picture::encode(std::string_view format) const {
  return encode_image(image, format, provenance::stamp(record));
}

std::vector<Picture> Engine::generate(const GenerateRequest& asked, std::stop_token stop,
                                      const OnProgress& on_progress) {
  const TrimmedAfterwards trimmed;
  const std::vector<GenerateRequest> requests = with_choices(with_styles(asked));
  std::vector<Picture> pictures;
  for (const GenerateRequest& request : requests)
    for (Picture& picture : generate_as_worded(request, stop, on_progress))
      pictures.push_back(std::move(picture));
  return pictures;
}

std::vector<Picture> Engine::generate_as_worded(const GenerateRequest& request, std::stop_token stop,
                                                const OnProgress& on_progress) {
  const OnProgress report = on_progress ? on_progress : [](const Progress&) {};
  const c10::InferenceMode inference;
  const nn::PlainPath plain(request.plain);
  models::LoadOptions options = load_options_of(request);
  try {
    try {
      return state_->generate(request, options, stop, report);
    } catch (const NotFinite& problem) {
      if (options.dtype == at::kFloat)
        throw Error(ErrorCode::BadFile, problem.where, "the model made numbers that are not finite");
      options.dtype = at::kFloat;
    }
    auto pictures = state_->generate(request, options, stop, report);
    for (Picture& picture : pictures)
      picture.record.warnings.push_back("dtype: " + request.dtype +
                                        " gave numbers that are not finite; done again in float32");
    return pictures;
  } catch (...) {
    rethrow_as_error("generate");
  }
}

/// One batch through all passes: the model, then the second pass of a large picture or the refiner.
pipelines::Generated Engine::State::run_batch(const GenerateRequest& request, const models::Model& model,
                                              const Run& run, pipelines::GenerateArgs args,
                                              const models::LoadOptions& options) {
  const auto first = run.scheduler.make();
  pipelines::Generated made = generate_latents(model, *first, args);
  const auto go_on = [&](const models::Model& with, schedulers::Scheduler& scheduler) {
    pipelines::Generated next = generate_latents(with, scheduler, args);
    next.warnings.insert(next.warnings.begin(), made.warnings.begin(), made.warnings.end());
    next.encode_seconds += made.encode_seconds;
    next.denoise_seconds += made.denoise_seconds;
    made = std::move(next);
  };
  if (run.hires) {
    const Hires& hires = *run.hires;
    args.start_latents = hires.upscaler->enlarge(*model.vae, made.latents, hires.height / model.factor(),
                                                 hires.width / model.factor(), args.stop);
    args.init_latents = at::Tensor();
    args.width = hires.width;
    args.height = hires.height;
    args.strength = hires.strength;
    args.last_steps = hires.last_steps;
    args.first_pass_steps = args.num_inference_steps * first->order();
    args.num_inference_steps = hires.scheduler.settings.num_inference_steps;
    go_on(model, *hires.scheduler.make());
  }
  if (!request.refiner.empty()) {
    const LoadedModel refiner = refiners.get({.model = request.refiner, .vae = {}}, options);
    args.start_latents = made.latents;
    args.init_image = {};
    args.init_latents = at::Tensor();
    args.denoising_start = request.refiner_start;
    args.denoising_end = {};
    go_on(*refiner.model, *choose_scheduler(request, *refiner.model, args.num_inference_steps).make());
  }
  return made;
}

std::vector<Picture> Engine::State::generate(const GenerateRequest& request,
                                             const models::LoadOptions& options, std::stop_token stop,
                                             const OnProgress& report) {
  report({.stage = Progress::Stage::Load});
  const auto started = std::chrono::steady_clock::now();
  std::optional<MemoryPlan> plan;
  if (request.memory_limit > 0) plan = plan_memory(request);
  const LoadedModel loaded = models.get(model_choice_of(request), options);
  const models::Model& model = *loaded.model;
  const Run run = plan ? resolve_within(*plan, request, loaded) : resolve(request, loaded);
  const double load_seconds = seconds_since(started);

  const int64_t most = run.scheduler.entry->one_picture_a_batch ? 1
                       : plan                                   ? plan->pictures_at_once
                                                                : kMostPictures;
  const int64_t batches = (run.count + most - 1) / most;
  std::optional<pipelines::LatentPreview> preview;
  std::vector<Picture> pictures;
  for (int64_t first = 0; first < run.count; first += most) {
    const int64_t batch = std::min(most, run.count - first);
    pipelines::GenerateArgs args = run.args_of(first, batch);
    args.stop = stop;
    args.on_step = [&](const pipelines::Step& step) {
      const auto steps = static_cast<int64_t>(step.count);
      report({.stage = Progress::Stage::Denoise,
              .done = first / most * steps + static_cast<int64_t>(step.index) + 1,
              .total = steps * batches,
              .first_picture = first,
              .preview = [&](int64_t picture) {
                const at::Tensor latents = step.latents.slice(0, picture, picture + 1);
                const models::Autoencoder* vae = loaded.preview_vae     ? loaded.preview_vae.get()
                                                 : model.vae->encodes() ? nullptr
                                                                        : model.vae.get();
                if (vae)
                  return pipelines::to_image(pipelines::decode_latents(*vae, latents, run.decoding, stop));
                if (!preview) preview.emplace(*model.vae);
                return preview->render(latents);
              }});
    };

    const pipelines::Generated generated = run_batch(request, model, run, args, options);
    if (!all_finite(generated.latents)) throw NotFinite{"latents"};
    for (int64_t i = 0; i < batch; ++i) {
      report(
          {.stage = Progress::Stage::Decode, .done = first + i, .total = run.count, .first_picture = first});
      const auto decode_started = std::chrono::steady_clock::now();
      const at::Tensor latents = generated.latents.slice(0, i, i + 1);
      const at::Tensor pixels = pipelines::decode_latents(*model.vae, latents, run.decoding, stop);
      if (!all_finite(pixels)) throw NotFinite{"decoded picture"};
      Picture& picture = pictures.emplace_back();
      picture.image = pipelines::to_image(pixels);
      if (run.edit) picture.image = run.edit->finish(picture.image);
      picture.latents = to_latents(latents[0]);
      picture.record = run.record_of(first + i, generated.warnings);
      picture.timings = {load_seconds, generated.encode_seconds, generated.denoise_seconds,
                         seconds_since(decode_started)};
    }
  }
  return pictures;
}

}  // namespace limn::engine
