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
#include "limn/engine/tape.h"
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

/// Models that no one uses any more leave room, and what the run's tensors left goes back to the system.
struct TrimmedAfterwards {
  ModelCache& models;
  ~TrimmedAfterwards() {
    models.trim();
    nn::trim_arena();
  }
};

}  // namespace

struct Engine::State {
  int threads;
  std::shared_ptr<Models> shared;
  ModelCache& models;
  // Of the last VAE: how its latents look takes an encoding to learn.
  std::weak_ptr<const models::Autoencoder> previewed = {};
  std::optional<pipelines::LatentPreview> preview = {};

  const pipelines::LatentPreview& preview_of(const std::shared_ptr<const models::Autoencoder>& vae) {
    if (!preview || previewed.lock() != vae) preview.emplace(*vae);
    previewed = vae;
    return *preview;
  }
  pipelines::Generated run_batch(const GenerateRequest& request, const models::Model& model, const Run& run,
                                 pipelines::GenerateArgs args, const models::LoadOptions& options);
  std::vector<Picture> generate(const GenerateRequest& request, const models::LoadOptions& options,
                                std::stop_token stop, const OnProgress& report, TapeHead& tape);
  std::vector<Picture> generate_as_worded(const GenerateRequest& request, std::stop_token stop,
                                          const OnProgress& report, TapeHead& tape);
};

Models::Models(int64_t most_bytes) : cache_(std::make_unique<ModelCache>(most_bytes)) {}

Models::~Models() = default;

std::vector<ResidentModel> Models::resident() const { return cache_->resident(); }

void Models::load(const std::filesystem::path& path) {
  const c10::InferenceMode inference;
  GenerateRequest request;
  request.model = path;
  try {
    cache_->get(model_choice_of(request), load_options_of(request));
  } catch (...) {
    rethrow_as_error("load");
  }
  cache_->trim();
}

bool Models::unload(const std::filesystem::path& path) { return cache_->forget(path); }

Engine::Engine(int threads, std::shared_ptr<Models> models) {
  if (!models) models = std::make_shared<Models>();
  ModelCache& cache = *models->cache_;
  state_ = std::make_unique<State>(State{threads, std::move(models), cache});
}

Engine::~Engine() = default;

std::string_view version() { return LIMN_VERSION; }

std::string Picture::encode(std::string_view format) const {
  return encode_image(image, format, provenance::stamp(record));
}

std::vector<Picture> Engine::generate(const GenerateRequest& asked, std::stop_token stop,
                                      const OnProgress& on_progress, Tape* tape) {
  if (tape && !asked.seed)
    throw Error(ErrorCode::InvalidArgument, "seed", "is missing: a run with a tape must draw the same again");
  const OnProgress report = on_progress ? on_progress : [](const Progress&) {};
  if (state_->threads > 0) at::set_num_threads(state_->threads);
  TapeHead head(asked.step_cache > 1 ? nullptr : tape);
  const TrimmedAfterwards trimmed{state_->models};
  const std::vector<GenerateRequest> requests = with_choices(with_styles(asked));
  std::vector<Picture> pictures;
  for (const GenerateRequest& request : requests)
    for (Picture& picture : state_->generate_as_worded(request, stop, report, head))
      pictures.push_back(std::move(picture));
  return pictures;
}

std::vector<Picture> Engine::State::generate_as_worded(const GenerateRequest& request, std::stop_token stop,
                                                       const OnProgress& report, TapeHead& tape) {
  const c10::InferenceMode inference;
  const nn::PlainPath plain(request.plain);
  models::LoadOptions options = load_options_of(request);
  const auto generate_in_float32 = [&] {
    options.dtype = at::kFloat;
    auto pictures = generate(request, options, stop, report, tape);
    for (Picture& picture : pictures)
      picture.record.warnings.push_back("dtype: " + request.dtype +
                                        " gave numbers that are not finite; done again in float32");
    return pictures;
  };
  try {
    const auto begun_in = tape.begin_request();
    if (begun_in && request.dtype == "auto") options.dtype = *begun_in;  // whichever machine that was
    if (begun_in == at::kFloat && options.dtype != at::kFloat) return generate_in_float32();
    try {
      return generate(request, options, stop, report, tape);
    } catch (const NotFinite&) {
      if (options.dtype == at::kFloat) throw;
      tape.start_over();
    }
    return generate_in_float32();
  } catch (const NotFinite& problem) {
    throw Error(ErrorCode::BadFile, problem.where, "the model made numbers that are not finite");
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
    const LoadedModel refiner = models.get({.model = request.refiner, .vae = {}}, options);
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
                                             const OnProgress& report, TapeHead& tape) {
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
  std::vector<Picture> pictures;
  for (int64_t first = 0; first < run.count; first += most) {
    const int64_t batch = std::min(most, run.count - first);
    pipelines::GenerateArgs args = run.args_of(first, batch);
    args.stop = stop;
    if (tape.has_tape())
      args.answer = [&](const at::Tensor& input, const std::function<pipelines::Prediction()>& ask) {
        return tape.answer(options.dtype, input, ask);
      };
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
                return preview_of(model.vae).render(latents);
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
