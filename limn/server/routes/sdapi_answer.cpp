// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/sdapi_answer.h"

#include <algorithm>
#include <ctime>

#include "limn/provenance/record.h"

namespace limn::server {
namespace {

constexpr size_t kShortHash = 10;
constexpr double kBusy = 0.01;  // what A1111 starts to count at

/// "20300102030405", UTC.
std::string timestamp(std::optional<Time> time) {
  if (!time) return "0";
  const std::time_t seconds = std::chrono::system_clock::to_time_t(*time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d%H%M%S", &utc);
  return text;
}

/// The request as the record has it: what was asked for, with names of files.
template <typename Value>
Value asked(const provenance::GenerationRecord& record, std::string_view field, Value fallback) {
  const json::value* value = record.request.if_contains(json::string_view(field.data(), field.size()));
  if (!value) return fallback;
  if constexpr (std::is_same_v<Value, std::string>)
    return value->is_string() ? std::string(value->get_string()) : fallback;
  else
    return value->is_number() ? value->to_number<Value>() : fallback;
}

/// The prompt with the tags of its LoRAs where it is the client's otherwise; A1111 tells it so.
std::string prompt_of(const SdapiRequest& request, const provenance::GenerationRecord& record) {
  const json::value* sent = request.fields.if_contains("prompt");
  return sent && sent->is_string() && std::string_view(sent->get_string()) == record.prompt ? request.prompt
                                                                                            : record.prompt;
}

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::object extra_params(const Job& job, const provenance::GenerationRecord& record) {
  json::object out;
  if (!record.a1111_schedule.empty()) out["Schedule type"] = record.a1111_schedule;
  if (asked<std::string>(record, "noise", "") == "philox") out["RNG"] = "NV";
  if (!job.warnings.empty()) out["warnings"] = json::array(job.warnings.begin(), job.warnings.end());
  return out;
}

}  // namespace

json::object sdapi_info(const SdapiRequest& request, const Job& job, std::span<const json::object> records) {
  json::array prompts, negatives, seeds, subseeds, infotexts;
  provenance::GenerationRecord first;
  for (const json::object& object : records) {
    const provenance::GenerationRecord record = provenance::record_from_json(object);
    if (seeds.empty()) first = record;
    prompts.emplace_back(prompt_of(request, record));
    negatives.emplace_back(record.negative_prompt);
    seeds.emplace_back(record.seed);
    subseeds.push_back(record.variation_seed ? json::value(*record.variation_seed) : json::value(-1));
    infotexts.emplace_back(provenance::parameters_text(record));
  }
  const auto front = [](const json::array& list, json::value fallback) {
    return list.empty() ? fallback : list.front();
  };
  const json::value* resize = first.request.if_contains("seed_resize");
  const bool has_resize = resize && resize->is_array() && resize->get_array().size() == 2;
  return {
      {"prompt", front(prompts, json::value(request.prompt))},
      {"all_prompts", prompts},
      {"negative_prompt", front(negatives, "")},
      {"all_negative_prompts", negatives},
      {"seed", front(seeds, -1)},
      {"all_seeds", seeds},
      {"subseed", front(subseeds, -1)},
      {"all_subseeds", subseeds},
      {"subseed_strength", asked(first, "variation_strength", 0.0)},
      {"width", first.width},
      {"height", first.height},
      {"sampler_name", first.a1111_sampler.empty() ? first.scheduler : first.a1111_sampler},
      {"cfg_scale", first.guidance_scale},
      {"steps", first.steps},
      {"batch_size", request.batch_size},
      {"restore_faces", false},
      {"face_restoration_model", nullptr},
      {"sd_model_name", first.model},
      {"sd_model_hash", first.model_hash.substr(0, kShortHash)},
      {"sd_vae_name", text_or_null(asked<std::string>(first, "vae", ""))},
      {"sd_vae_hash", nullptr},
      {"seed_resize_from_w", has_resize ? resize->get_array()[0] : json::value(-1)},
      {"seed_resize_from_h", has_resize ? resize->get_array()[1] : json::value(-1)},
      {"denoising_strength", first.strength ? json::value(*first.strength)
                             : first.request.contains("hires_scale")
                                 ? json::value(asked(first, "hires_strength", 0.7))
                                 : json::value(nullptr)},
      {"extra_generation_params", extra_params(job, first)},
      {"index_of_first_image", 0},
      {"infotexts", infotexts},
      {"styles", json::array(request.styles.begin(), request.styles.end())},
      {"job_timestamp", timestamp(job.started)},
      {"clip_skip", std::max<int64_t>(asked<int64_t>(first, "clip_skip", 1), 1)},
      {"is_using_inpainting_conditioning", false},
      {"version", "limn " + first.limn_version},
  };
}

double done_share(const Job& job) {
  const JobProgress& progress = job.progress;
  if (progress.stage == "decode") return 1;
  if (progress.stage != "denoise" || progress.total <= 0) return 0;
  return std::clamp(static_cast<double>(progress.done) / static_cast<double>(progress.total), 0.0, 1.0);
}

namespace {

/// As A1111 reckons it: what is left takes as long as what is done.
double seconds_left(const Job& job, Time now) {
  const double share = done_share(job);
  if (!job.started || share <= 0) return 0;
  const double passed = std::chrono::duration<double>(now - *job.started).count();
  return std::max(passed * (1 - share) / share, 0.0);
}

}  // namespace

json::object sdapi_progress(std::span<const Job> jobs, const std::optional<std::string>& preview, Time now) {
  const auto running = std::ranges::find(jobs, JobState::Running, &Job::state);
  const bool runs = running != jobs.end();
  int64_t batches = 0, batch = 0, steps = 0, step = 0;
  if (runs) {
    const json::value* told = running->origin.if_contains("batches");
    batches = told && told->is_int64() ? std::max<int64_t>(told->get_int64(), 1) : 1;
    if (running->progress.stage == "denoise") steps = running->progress.total / batches;
    batch = steps > 0 ? std::min(running->progress.done / steps, batches - 1) : 0;
    step = steps > 0 ? std::min(running->progress.done - batch * steps, steps) : 0;
  } else if (!jobs.empty()) {
    batches = 1;
  }
  const json::object state{
      {"skipped", false},
      {"interrupted", runs && running->cancel_requested},
      {"stopping_generation", false},
      {"job", jobs.empty() ? json::value("") : json::value((runs ? *running : jobs.front()).id)},
      {"job_count", batches},
      {"job_timestamp", timestamp(runs ? running->started : std::nullopt)},
      {"job_no", batch},
      {"sampling_step", step},
      {"sampling_steps", steps}};
  return {{"progress", jobs.empty() ? 0.0
                       : runs       ? std::min(kBusy + done_share(*running), 1.0)
                                    : kBusy},
          {"eta_relative", runs ? seconds_left(*running, now) : 0.0},
          {"state", state},
          {"current_image", preview ? json::value(*preview) : json::value(nullptr)},
          {"textinfo", jobs.empty() || runs ? json::value(nullptr) : json::value("waiting in the queue")}};
}

}  // namespace limn::server
