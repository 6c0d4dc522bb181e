// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/resolve.h"

#include <chrono>
#include <ctime>
#include <random>

#include <ATen/Context.h>

#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/engine/engine.h"
#include "limn/weights/tensor.h"

namespace limn::engine {
namespace {

constexpr int64_t kMostPixelsPerBatch = int64_t{1} << 28;

std::string now_utc() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

uint64_t random_seed() { return std::random_device{}(); }

int64_t side_of(std::optional<int64_t> asked, int64_t fallback, int64_t factor, const char* field) {
  const int64_t side = asked.value_or(fallback);
  if (side % factor != 0)
    throw Error(ErrorCode::InvalidArgument, field,
                "expected a multiple of " + std::to_string(factor) + ", found " + std::to_string(side),
                "nearest: " + std::to_string(std::max(side / factor, int64_t{1}) * factor));
  return side;
}

const schedulers::SchedulerEntry* find_class(const std::string& name) {
  for (const schedulers::SchedulerEntry& entry : schedulers::all())
    if (entry.class_name == name) return &entry;
  return nullptr;
}

/// What diffusers' StableDiffusionPipeline sets when it is made, whatever the configuration says.
void set_as_pipeline_does(const schedulers::SchedulerEntry& entry, json::object& config) {
  for (std::string_view field : entry.fields) {
    if (field == "clip_sample") config[field] = false;
    if (field == "steps_offset") config[field] = 1;
  }
}

/// The scheduler's row and configuration: the request's, else the model's own.
void resolve_scheduler(const GenerateRequest& request, const models::Checkpoint& checkpoint, Run& run) {
  const json::object& own = checkpoint.scheduler_config;
  run.scheduler_where = (checkpoint.path / "scheduler" / "scheduler_config.json").string();
  const std::string own_class = Fields(own, run.scheduler_where).string("_class_name", "");
  if (request.scheduler.empty()) {
    run.scheduler = find_class(own_class);
    if (!run.scheduler)
      throw Error(ErrorCode::Unsupported, run.scheduler_where + ": _class_name",
                  "no scheduler '" + own_class + "'",
                  "choose one with --scheduler: " + names_of(schedulers::all()));
  } else {
    run.scheduler = &find_named(schedulers::all(), request.scheduler, "scheduler");
  }
  const schedulers::ScheduleEntry* schedule =
      request.schedule.empty() ? nullptr
                               : &find_named(schedulers::all_schedules(), request.schedule, "schedule");
  run.scheduler_config = schedulers::config_for(*run.scheduler, own, schedule);
  set_as_pipeline_does(*run.scheduler, run.scheduler_config);
}

void resolve_sizes(const GenerateRequest& request, const models::Model& model, Run& run) {
  const int64_t factor = model.factor(), native = model.native_size();
  int64_t width = native, height = native;
  if (run.args.init_image) {  // the picture's own size, as diffusers takes it
    width = std::max(run.args.init_image->width / factor, int64_t{1}) * factor;
    height = std::max(run.args.init_image->height / factor, int64_t{1}) * factor;
  }
  run.args.width = side_of(request.width, width, factor, "width");
  run.args.height = side_of(request.height, height, factor, "height");
  if (run.args.width * run.args.height > kMostPixelsPerBatch)
    throw Error(ErrorCode::InvalidArgument, "width, height",
                "a picture of that many pixels is over the limit");
}

void resolve_inputs(const GenerateRequest& request, Run& run) {
  if (!request.init_image.empty()) {
    const auto file = MappedFile::open(request.init_image);
    run.args.init_image = decode_image(file->bytes(), request.init_image.string());
    run.args.strength = request.strength;
    run.record.strength = request.strength;
    run.record.init_image_sha256 = sha256(file->bytes());
  }
  if (!request.init_latents.empty()) {
    const auto tensors = weights::load_tensors(request.init_latents);
    const auto found = tensors.find("latents");
    if (found == tensors.end())
      throw Error(ErrorCode::BadFile, request.init_latents.string(), "has no tensor 'latents'");
    if (!found->second.is_floating_point())
      throw Error(ErrorCode::BadFile, request.init_latents.string() + ": latents", "expected floating point");
    run.args.init_latents = found->second.to(at::kFloat).contiguous();
    run.record.init_latents_sha256 = sha256_of_file(request.init_latents);
  }
}

}  // namespace

models::LoadOptions load_options_of(const GenerateRequest& request) {
  struct Name {
    std::string_view name;
    at::ScalarType type;
  };
  static constexpr Name kTypes[] = {
      {"auto", at::kFloat}, {"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf}};
  if (request.compat != "diffusers")
    throw Error(ErrorCode::Unsupported, "compat", "no '" + request.compat + "'", "known: diffusers");
  models::LoadOptions options;
  options.dtype = find_named(std::span<const Name>(kTypes), request.dtype, "dtype").type;
  try {
    options.device = at::Device(request.device);
  } catch (const c10::Error&) {
    throw Error(ErrorCode::InvalidArgument, "device", "no '" + request.device + "'",
                "known: cpu, cuda, cuda:N");
  }
  if (!options.device.is_cpu() && !options.device.is_cuda())
    throw Error(ErrorCode::InvalidArgument, "device", "no '" + request.device + "'",
                "known: cpu, cuda, cuda:N");
  if (options.device.is_cuda() && !at::hasCUDA())
    throw Error(ErrorCode::Unsupported, "device", "this LibTorch sees no CUDA device", "use --device cpu");
  return options;
}

Run resolve(const GenerateRequest& request, const LoadedModel& loaded) {
  const models::Model& model = *loaded.model;
  Run run;
  run.count = request.count;
  run.hashes = loaded.hashes;
  run.warnings = model.checkpoint.warnings;
  resolve_inputs(request, run);
  resolve_sizes(request, model, run);
  resolve_scheduler(request, model.checkpoint, run);
  run.settings = {.num_inference_steps = request.steps.value_or(model.defaults.num_inference_steps),
                  .eta = request.eta};

  pipelines::GenerateArgs& args = run.args;
  args.prompt = request.prompt;
  args.negative_prompt = request.negative_prompt;
  args.num_inference_steps = run.settings.num_inference_steps;
  args.guidance_scale = request.guidance_scale.value_or(model.defaults.guidance_scale);
  args.clip_skip = request.clip_skip;
  const int64_t layers = model.text_encoder->config().num_hidden_layers;
  if (args.clip_skip > layers)
    throw Error(ErrorCode::InvalidArgument, "clip_skip",
                "expected 0 to " + std::to_string(layers) + ", the text encoder's layers, found " +
                    std::to_string(args.clip_skip));
  const uint64_t seed = request.seed ? *request.seed : random_seed();
  if (seed > UINT64_MAX - static_cast<uint64_t>(request.count - 1))
    throw Error(ErrorCode::InvalidArgument, "seed", "seed + count passes 18446744073709551615");
  for (int64_t i = 0; i < request.count; ++i) args.seeds.push_back(seed + static_cast<uint64_t>(i));
  if (args.init_latents.defined() && args.init_latents.dim() == 4 &&
      args.init_latents.size(0) != request.count)
    throw Error(ErrorCode::InvalidArgument, "init_latents",
                "has " + std::to_string(args.init_latents.size(0)) + " pictures, count is " +
                    std::to_string(request.count));

  provenance::GenerationRecord& record = run.record;
  record.prompt = args.prompt;
  record.negative_prompt = args.negative_prompt;
  record.steps = args.num_inference_steps;
  record.scheduler = run.scheduler->name;
  record.scheduler_class = run.scheduler->class_name;
  record.scheduler_config = run.scheduler_config;
  record.schedule = request.schedule;
  record.guidance_scale = args.guidance_scale;
  record.width = args.width;
  record.height = args.height;
  record.model = loaded.name;
  record.loras = loaded.loras;
  for (const provenance::LoraFile& lora : loaded.loras)
    if (lora.weight == 0) run.warnings.push_back("lora: " + lora.file + " has weight 0 and changes nothing");
  if (args.clip_skip > 0) record.clip_skip = args.clip_skip;
  if (request.eta > 0) record.eta = request.eta;
  record.dtype = c10::toString(model.loaded_as.dtype) == std::string("Float") ? "float32" : request.dtype;
  record.device = model.loaded_as.device.str();
  record.limn_version = version();
  record.compat = request.compat;
  return run;
}

pipelines::GenerateArgs Run::args_of(int64_t first, int64_t batch) const {
  pipelines::GenerateArgs out = args;
  out.seeds.assign(args.seeds.begin() + first, args.seeds.begin() + first + batch);
  if (args.init_latents.defined() && args.init_latents.dim() == 4)
    out.init_latents = args.init_latents.slice(0, first, first + batch);
  return out;
}

std::unique_ptr<schedulers::Scheduler> Run::make_scheduler() const {
  return scheduler->make(scheduler_config, settings, scheduler_where);
}

provenance::GenerationRecord Run::record_of(int64_t picture,
                                            const std::vector<std::string>& more_warnings) const {
  provenance::GenerationRecord out = record;
  out.seed = args.seeds[static_cast<size_t>(picture)];
  out.created = now_utc();
  out.model_hash = hashes.get().model;
  out.weights = hashes.get().files;
  out.warnings = warnings;
  out.warnings.insert(out.warnings.end(), more_warnings.begin(), more_warnings.end());
  return out;
}

}  // namespace limn::engine
