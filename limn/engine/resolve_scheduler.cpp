// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include <boost/json/value_from.hpp>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/engine/compat.h"
#include "limn/engine/resolve.h"
#include "limn/schedulers/aliases.h"
#include "limn/schedulers/level_schedule.h"

namespace limn::engine {
namespace {

using schedulers::SchedulerEntry;

constexpr std::string_view kFlow = "FlowMatch", kEdm = "EDM";  // how such classes' names begin
constexpr std::string_view kSigmaSchedule = "sigma_schedule";

/// diffusers' classes, and InvokeAI's names of them, that limn has under another name or not at all.
struct OtherClass {
  std::string_view name, equal, instead;
};
constexpr std::string_view kInsteadOfSinglestep =
    "dpmpp_2m, or dpmpp_2s_ancestral with --eta 0, which is its kin";
constexpr OtherClass kOtherClasses[] = {
    {"DDIMParallelScheduler", "DDIMScheduler", ""},
    {"DDPMParallelScheduler", "DDPMScheduler", ""},
    {"DPMSolverSinglestepScheduler", "", kInsteadOfSinglestep},
    {"dpmpp_2s", "", kInsteadOfSinglestep},
    {"dpmpp_2s_k", "", kInsteadOfSinglestep},
    {"SASolverScheduler", "", "dpmpp_2m_sde"},
    {"IPNDMScheduler", "", "pndm"},
};

const SchedulerEntry* find_class(std::string_view name) {
  for (const OtherClass& other : kOtherClasses) {
    if (other.name != name) continue;
    if (other.equal.empty())
      throw Error(ErrorCode::Unsupported, "scheduler", "limn has no " + std::string(name),
                  "use " + std::string(other.instead));
    name = other.equal;
  }
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

bool reads(const SchedulerEntry& entry, std::string_view field) {
  return std::ranges::find(entry.fields, field) != entry.fields.end();
}

/// The ends and the shape of the levels, and their precision.
void set_range(const GenerateRequest& request, const SchedulerEntry& entry, json::object& config) {
  const auto set = [&](std::string_view field, std::optional<double> value) {
    if (!value) return;
    if (!reads(entry, field))
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
  // Not all of diffusers' classes read it.
  if (const json::value* own = model.checkpoint.scheduler_config.if_contains("rescale_betas_zero_snr"))
    config["rescale_betas_zero_snr"] = *own;
}

/// The row that --schedule names. Models with Karras' preconditioning have levels of their own kind: of diffusers' fields
/// the two that its EDM classes know.
const schedulers::ScheduleEntry* find_schedule(const std::string& name, bool preconditioned) {
  if (name.empty()) return nullptr;
  const auto& entry = find_named(schedulers::all_schedules(), name, "schedule");
  if (!preconditioned || entry.field == kSigmaSchedule) return &entry;
  if (name == "karras" || name == "exponential")
    return &find_named(schedulers::all_schedules(), "k_" + name, "schedule");
  throw Error(ErrorCode::InvalidArgument, "schedule",
              name + " does not go with a model that has Karras' preconditioning",
              "use karras, exponential, or one that A1111 and ComfyUI know: docs/schedulers.md");
}

/// What a model with Karras' preconditioning asks of its scheduler.
void set_preconditioning(const json::object& own, const SchedulerEntry& entry, json::object& config) {
  constexpr double kSigmaDataOfEdm = 0.5;  // the default of diffusers' EDM classes
  if (!reads(entry, "sigma_data")) {
    std::vector<SchedulerEntry> takers;
    std::ranges::copy_if(schedulers::all(), std::back_inserter(takers),
                         [](const SchedulerEntry& row) { return reads(row, "sigma_data"); });
    throw Error(ErrorCode::InvalidArgument, "scheduler",
                std::string(entry.name) + " does not go with a model that has Karras' preconditioning",
                "schedulers that take it: " + names_of(std::span<const SchedulerEntry>(takers)));
  }
  const json::value* value = own.if_contains("sigma_data");
  config["sigma_data"] = value ? *value : json::value(kSigmaDataOfEdm);
}

/// What the other program's sampler is of ours.
void set_alias(const schedulers::SamplerAlias& alias, json::object& config) {
  if (alias.settings.empty()) return;
  const json::value settings = parse_json(alias.settings, "alias");
  for (const auto& [field, value] : settings.as_object()) config[field] = value;
}

/// How the other program's noise hangs together, and where its levels end.
void set_noise(const Compat& compat, const SchedulerEntry& entry, json::object& config) {
  if (compat.brownian_of_run && reads(entry, "noise_range")) config["noise_range"] = "run";
  if (compat.zero_snr_alpha > 0 && config.contains("rescale_betas_zero_snr"))
    config["zero_snr_alpha"] = compat.zero_snr_alpha;
}

/// A list of levels in the place of a schedule.
void set_sigmas(const GenerateRequest& request, const Compat& compat, const SchedulerEntry& entry,
                json::object& config) {
  const std::vector<double>& sigmas = request.sigmas;
  if (sigmas.empty()) return;
  for (const auto& [field, given] :
       {std::pair("schedule", !request.schedule.empty()),
        std::pair("sigma_min", request.sigma_min.has_value()),
        std::pair("sigma_max", request.sigma_max.has_value()), std::pair("rho", request.rho.has_value())})
    if (given)
      throw Error(ErrorCode::InvalidArgument, field,
                  "does not go with sigmas, which has the levels themselves");
  if (!reads(entry, "sigmas")) {
    std::vector<SchedulerEntry> takers;
    std::ranges::copy_if(schedulers::all(), std::back_inserter(takers),
                         [](const SchedulerEntry& row) { return reads(row, "sigmas"); });
    throw Error(ErrorCode::InvalidArgument, "sigmas",
                std::string(entry.name) + " goes by timesteps or levels of its own, not by a list",
                "schedulers that take one: " + names_of(std::span<const SchedulerEntry>(takers)));
  }
  for (size_t i = 0; i < sigmas.size(); ++i)
    if ((sigmas[i] == 0 && (i == 0 || i + 1 < sigmas.size())) || (i > 0 && sigmas[i] >= sigmas[i - 1]))
      throw Error(ErrorCode::InvalidArgument, "sigmas",
                  "expected levels above 0, each below the one before, and at most a final 0; found " +
                      std::to_string(sigmas[i]) + " at place " + std::to_string(i));
  config["sigmas"] = json::value_from(sigmas);
  // diffusers' Euler with a list of levels: as for a grid of its own.
  const json::value* spacing = config.if_contains("timestep_spacing");
  if (compat.dialect.empty() && spacing && *spacing == "leading") config["init_noise"] = "variance";
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
  const bool preconditioned = own.contains("sigma_data") || own_class.starts_with(kEdm);

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
    set_alias(*alias->sampler, out.config);
    set_levels(*alias, compat, model, out.config);
    out.alias = alias->sampler;
  } else {
    out.entry = name.empty() ? find_class(own_class)
                             : (ours ? try_find_named(schedulers::all(), name) : find_class(name));
    if (!out.entry && name.empty())
      throw Error(ErrorCode::Unsupported, out.where + ": _class_name", "no scheduler '" + own_class + "'",
                  "choose one with --scheduler: " + names_of(schedulers::all()));
    if (!out.entry) refuse(name);
    out.config = schedulers::config_for(*out.entry, own, find_schedule(request.schedule, preconditioned));
    set_as_pipeline_does(model, *out.entry, out.config);
  }
  if (flows && !out.entry->class_name.starts_with(kFlow))
    throw Error(ErrorCode::InvalidArgument, "scheduler",
                std::string(out.entry->name) + " does not go with a model that was trained by flow matching",
                "use flow_match_euler or flow_match_heun");
  if (preconditioned) set_preconditioning(own, *out.entry, out.config);
  set_noise(compat, *out.entry, out.config);
  set_sigmas(request, compat, *out.entry, out.config);
  set_prediction(request.prediction, out.config);
  set_range(request, *out.entry, out.config);
  return out;
}

}  // namespace limn::engine
