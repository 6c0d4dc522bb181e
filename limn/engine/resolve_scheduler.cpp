// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/engine/compat.h"
#include "limn/engine/resolve.h"
#include "limn/schedulers/aliases.h"
#include "limn/schedulers/level_schedule.h"

namespace limn::engine {
namespace {

using schedulers::SchedulerEntry;

constexpr std::string_view kFlow = "FlowMatch";  // how such classes' names begin

const SchedulerEntry* find_class(const std::string& name) {
  for (const SchedulerEntry& entry : schedulers::all())
    if (!name.empty() && entry.class_name == name) return &entry;
  return nullptr;
}

/// What diffusers' StableDiffusionPipeline sets when it is made, whatever the configuration says. Its XL, editing and
/// latent consistency pipelines set nothing.
void set_as_pipeline_does(const models::Model& model, const SchedulerEntry& entry, json::object& config) {
  constexpr int64_t kInpaintingChannels = 5;
  const bool inpaints = model.extra_channels() == kInpaintingChannels;
  if (model.is_xl() || model.unet->config().time_cond_proj_dim || (model.extra_channels() != 0 && !inpaints))
    return;
  for (std::string_view field : entry.fields) {
    if (field == "clip_sample") config[field] = false;
    if (field == "steps_offset") config[field] = 1;
    if (field == "skip_prk_steps" && inpaints) config[field] = true;
  }
}

void set_prediction(const std::string& prediction, json::object& config) {
  if (prediction.empty()) return;
  try {
    schedulers::prediction_of(prediction);
  } catch (const Error& error) {
    throw Error(ErrorCode::InvalidArgument, "prediction", error.problem(),
                "known: epsilon, v_prediction, sample");
  }
  config["prediction_type"] = prediction;
}

/// The ends and the shape of the levels, and their precision.
void set_range(const GenerateRequest& request, const SchedulerEntry& entry, json::object& config) {
  const auto set = [&](std::string_view field, std::optional<double> value) {
    if (!value) return;
    if (std::ranges::find(entry.fields, field) == entry.fields.end())
      throw Error(ErrorCode::InvalidArgument, std::string(field),
                  "does not go with the scheduler " + std::string(entry.name));
    config[field] = *value;
  };
  set("sigma_min", request.sigma_min);
  set("sigma_max", request.sigma_max);
  set("rho", request.rho);
  if (request.noise_levels == "float16") config["downcast_alphas_cumprod"] = true;
}

/// Another program's name for a sampler: first of the program whose conventions hold, then of any.
std::optional<schedulers::FoundAlias> find_in_dialects(std::string_view own, const std::string& sampler,
                                                       const std::string& schedule) {
  if (!own.empty())
    if (auto found = schedulers::find_alias(own, sampler, schedule)) return found;
  for (std::string_view dialect : {"a1111", "comfy", "sdcpp", "invokeai"})
    if (auto found = schedulers::find_alias(dialect, sampler, schedule)) return found;
  return {};
}

/// Levels as k-diffusion's users have them, in the place of diffusers' own.
void set_levels(const schedulers::FoundAlias& found, const Compat& compat, const models::Model& model,
                json::object& config) {
  if (found.sigma_schedule.empty()) return;
  std::string name = found.sigma_schedule;
  const bool has_xl_form = name == "align_your_steps" || name == "gits";
  if (model.is_xl() && has_xl_form) name += "_xl";
  config["sigma_schedule"] = name;
  config["init_noise"] = json::string_view(compat.init_noise.data(), compat.init_noise.size());
  if (found.sampler->discards_next_to_last) config["discard_next_to_last_sigma"] = true;
}

[[noreturn]] void refuse(const std::string& name) {
  throw Error(ErrorCode::InvalidArgument, "scheduler", "no '" + name + "'",
              "known: " + names_of(schedulers::all()) +
                  "; and the names of A1111, ComfyUI, stable-diffusion.cpp "
                  "and InvokeAI");
}

}  // namespace

SchedulerChoice choose_scheduler(const GenerateRequest& request, const models::Model& model, int64_t steps) {
  const models::Checkpoint& checkpoint = model.checkpoint;
  const json::object& own = checkpoint.scheduler_config;
  const Compat& compat = find_named(compats(), request.compat, "compat");
  SchedulerChoice out{};
  out.where = (checkpoint.path / "scheduler" / "scheduler_config.json").string();
  out.settings = {.num_inference_steps = steps, .eta = request.eta};
  const std::string own_class = Fields(own, out.where).string("_class_name", "");
  const bool flows = own_class.starts_with(kFlow);
  const bool preconditioned = own.contains("sigma_data");

  std::string name = request.scheduler;
  if (name.empty() && !preconditioned && !flows) name = compat.scheduler;
  const bool ours = try_find_named(schedulers::all(), name) != nullptr;
  const bool theirs_first = !compat.dialect.empty() && !name.empty();
  const auto alias =
      name.empty() || (ours && !theirs_first)
          ? std::optional<schedulers::FoundAlias>()
          : find_in_dialects(theirs_first ? compat.dialect : std::string_view(), name, request.schedule);
  if (alias) {
    out.entry = &find_named(schedulers::all(), alias->sampler->scheduler, "scheduler");
    out.config = schedulers::config_for(*out.entry, own);
    set_as_pipeline_does(model, *out.entry, out.config);
    set_levels(*alias, compat, model, out.config);
    out.note = alias->sampler->note;
  } else {
    out.entry = name.empty() ? find_class(own_class)
                             : (ours ? try_find_named(schedulers::all(), name) : find_class(name));
    if (!out.entry && name.empty())
      throw Error(ErrorCode::Unsupported, out.where + ": _class_name", "no scheduler '" + own_class + "'",
                  "choose one with --scheduler: " + names_of(schedulers::all()));
    if (!out.entry) refuse(name);
    const schedulers::ScheduleEntry* schedule =
        request.schedule.empty() ? nullptr
                                 : &find_named(schedulers::all_schedules(), request.schedule, "schedule");
    out.config = schedulers::config_for(*out.entry, own, schedule);
    set_as_pipeline_does(model, *out.entry, out.config);
  }
  if (flows && !out.entry->class_name.starts_with(kFlow))
    throw Error(ErrorCode::InvalidArgument, "scheduler",
                std::string(out.entry->name) + " does not go with a model that was trained by flow matching",
                "use flow_match_euler or flow_match_heun");
  set_prediction(request.prediction, out.config);
  set_range(request, *out.entry, out.config);
  return out;
}

}  // namespace limn::engine
