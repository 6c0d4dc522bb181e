// SPDX-License-Identifier: Apache-2.0
// AUTOMATIC1111's API: what makes pictures, and tells how far they are.
#include "limn/server/routes/sdapi.h"

#include <algorithm>
#include <iterator>

#include "limn/base/error.h"
#include "limn/engine/styles.h"
#include "limn/server/base64.h"
#include "limn/server/blob_store.h"
#include "limn/server/job_store.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/sdapi_answer.h"
#include "limn/server/routes/wait.h"
#include "limn/server/settings.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

constexpr std::string_view kJson = "application/json";

json::string_view key_of(std::string_view name) { return {name.data(), name.size()}; }

json::value error_body(int, const Problem& problem) {
  std::string text = problem.where.empty() ? problem.message : problem.where + ": " + problem.message;
  if (!problem.hint.empty()) text += " (" + problem.hint + ")";
  return {{"error", problem.code}, {"detail", text}, {"body", ""}, {"errors", text}};
}

Job submit_request(Services& services, const Client& client, const SdapiRequest& request) {
  Submission submission;
  submission.fields = request.fields;
  submission.origin = {{"api", "sdapi"}, {"batches", request.batches}, {"task", request.task}};
  submission.warnings = request.warnings;
  return submit(services, client, std::move(submission));
}

SdapiRequest read_request(Services& services, const Call& call, SdapiTask task) {
  const SdapiContext context = sdapi_context(services, call.client);
  const auto read = [&] { return read_sdapi_request(task, call.json.get_object(), context); };
  return task == SdapiTask::TextToImage ? read() : with_inputs_stored(services, read);
}

/// Makes the pictures and answers with them; of a job that was interrupted there are none.
HttpResponse make(Services& services, const Call& call, SdapiTask task) {
  const SdapiRequest request = read_request(services, call, task);
  const Job accepted = submit_request(services, call.client, request);
  const Job job = wait_for_job(services, accepted.id, call.http.gone);
  if (job.state == JobState::Failed) throw error_of(job);
  json::array images;
  std::vector<json::object> records;
  for (const GalleryPicture& picture : pictures_of(services, job)) {
    if (request.sends_pictures) images.emplace_back(encode_base64(services.blobs.get(picture.id)));
    records.push_back(picture.record);
  }
  return json_answer({{"images", std::move(images)},
                      {"parameters", request.parameters},
                      {"info", limn::to_text(sdapi_info(request, job, records))}});
}

HttpResponse text_to_image(Services& services, const Call& call) {
  return make(services, call, SdapiTask::TextToImage);
}
HttpResponse image_to_image(Services& services, const Call& call) {
  return make(services, call, SdapiTask::ImageToImage);
}

/// The client's jobs of this API that have not ended, those that run first.
std::vector<Job> present_jobs(const Services& services, const Client& client) {
  std::vector<Job> out = services.jobs.list(
      {.owner = client.owner, .states = {JobState::Running, JobState::Queued}, .limit = 1000});
  std::erase_if(out, [](const Job& job) {
    const json::value* api = job.origin.if_contains("api");
    return !api || *api != json::value("sdapi") || has_ended(job.state);
  });
  std::ranges::stable_sort(out, std::ranges::greater(),
                           [](const Job& job) { return job.state == JobState::Running; });
  return out;
}

std::optional<std::string> preview_of(const Services& services, const Job& job) {
  if (job.state != JobState::Running) return {};
  const std::optional<std::string> jpeg = services.jobs.preview(job.id);
  return jpeg ? std::optional(encode_base64(*jpeg)) : std::nullopt;
}

Time now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

HttpResponse progress(Services& services, const Call& call) {
  const std::vector<Job> jobs = present_jobs(services, call.client);
  const bool skips_picture = boolean_parameter(call, "skip_current_image", false);
  const auto preview = jobs.empty() || skips_picture ? std::nullopt : preview_of(services, jobs.front());
  return json_answer(sdapi_progress(jobs, preview, now()));
}

/// The progress of one call, by the id that the client gave it.
HttpResponse task_progress(Services& services, const Call& call) {
  const json::object& body = call.json.get_object();
  const std::string task = body.contains("id_task") ? std::string(body.at("id_task").get_string()) : "";
  const auto live = body.if_contains("live_preview");
  const auto has_id = [&](const Job& job) {
    const json::value* id = job.origin.if_contains("task");
    return !task.empty() && id && id->is_string() && std::string_view(id->get_string()) == task;
  };
  const std::vector<Job> jobs = services.jobs.list({.owner = call.client.owner, .states = {}, .limit = 200});
  const auto job = std::ranges::find_if(jobs, has_id);
  const bool found = job != jobs.end(), runs = found && job->state == JobState::Running;
  const auto preview =
      runs && (!live || *live != json::value(false)) ? preview_of(services, *job) : std::nullopt;
  const json::object told =
      sdapi_progress(runs ? std::span(&*job, 1) : std::span<const Job>(), std::nullopt, now());
  return json_answer(
      {{"active", runs},
       {"queued", found && job->state == JobState::Queued},
       {"completed", found && has_ended(job->state)},
       {"progress", runs ? told.at("progress") : json::value(nullptr)},
       {"eta", runs ? told.at("eta_relative") : json::value(nullptr)},
       {"live_preview", preview ? json::value("data:image/jpeg;base64," + *preview) : json::value(nullptr)},
       {"id_live_preview", runs ? json::value(job->progress.done) : json::value(-1)},
       {"textinfo", found ? json::value(nullptr) : json::value("Waiting...")}});
}

/// Gives up what the client has in work: the job that runs, or else the first that waits.
void give_up_present(Services& services, const Client& client) {
  const std::vector<Job> jobs = present_jobs(services, client);
  if (!jobs.empty()) services.jobs.cancel(jobs.front().id);
}

HttpResponse interrupt(Services& services, const Call& call) {
  give_up_present(services, call.client);
  return json_answer(json::object());
}

HttpResponse skip(Services& services, const Call& call) {
  give_up_present(services, call.client);
  return json_answer(nullptr);
}

HttpResponse get_options(Services& services, const Call& call) {
  json::object out;
  for (const SdapiOption& option : picture_options())
    out[key_of(option.name)] = parse_json(option.fallback, "sdapi");
  for (const auto& [name, value] : services.sdapi_options.of(call.client.owner)) out[name] = value;
  const CatalogueEntry checkpoint = sdapi_checkpoint(services, call.client);
  out["sd_model_checkpoint"] = sdapi_title(checkpoint);
  out["sd_checkpoint_hash"] = checkpoint.sha256;
  out["samples_format"] = "png";
  return json_answer(out);
}

/// Takes every name, as clients send back all that they were told; keeps those that count for pictures.
HttpResponse set_options(Services& services, const Call& call) {
  const SdapiContext context = sdapi_context(services, call.client);
  json::object changes;
  for (const SdapiOption& option : picture_options()) {
    const json::value* value = call.json.get_object().if_contains(key_of(option.name));
    if (!value || value->is_null()) continue;
    SdapiRequest unused;
    option.apply(*value, context, unused);  // refuses what could not be done later
    changes[key_of(option.name)] = *value;
  }
  services.sdapi_options.set(call.client.owner, changes);
  return json_answer(nullptr);
}

HttpResponse unload(Services& services, const Call& call) {
  services.catalogue.unload(sdapi_checkpoint(services, call.client));
  return json_answer(json::object());
}

HttpResponse reload(Services& services, const Call& call) {
  services.catalogue.load(sdapi_checkpoint(services, call.client));
  return json_answer(json::object());
}

HttpResponse refresh(Services& services, const Call&) {
  services.catalogue.refresh();
  return json_answer(nullptr);
}

Route posting(std::string_view path, std::string_view name, std::string_view help, std::string_view schema,
              Answer answer, HttpResponse (*handle)(Services&, const Call&)) {
  Route route = sdapi_route("POST", path, name, help, answer, handle);
  route.takes = kJson;
  route.takes_schema = schema;
  return route;
}

Route managing(Route route) {
  route.role = Role::Manage;
  return route;
}

}  // namespace

Route sdapi_route(std::string_view method, std::string_view path, std::string_view name,
                  std::string_view help, Answer answer, HttpResponse (*handle)(Services&, const Call&)) {
  return {.method = method,
          .path = path,
          .name = name,
          .tag = "sdapi",
          .help = help,
          .answers = {answer},
          .handle = handle,
          .error_body = error_body};
}

SdapiContext sdapi_context(const Services& services, const Client& client) {
  SdapiContext out;
  out.find_model = [&catalogue = services.catalogue](const std::string& title,
                                                     std::string_view kind) -> std::optional<std::string> {
    const SdapiTitle parts = split_sdapi_title(title);
    if (const auto entry = catalogue.find(parts.name, kind)) return entry->name;
    const auto entry = catalogue.find_hash(parts.hash.empty() ? parts.name : parts.hash, kind);
    return entry ? std::optional(entry->name) : std::nullopt;
  };
  for (const engine::StyleText& style : engine::styles_of(services.settings.styles_file))
    out.styles.push_back(style.name);
  out.options = services.sdapi_options.of(client.owner);
  return out;
}

std::string sdapi_model_name(const CatalogueEntry& entry) {
  const std::string file = entry.name.substr(entry.name.rfind('/') + 1);
  for (std::string_view ending : {".safetensors", ".ckpt", ".pt", ".bin"})
    if (file.ends_with(ending)) return file.substr(0, file.size() - ending.size());
  return file;
}

std::string sdapi_title(const CatalogueEntry& entry) {
  constexpr size_t kShortHash = 10;
  return entry.sha256.empty() ? entry.name : entry.name + " [" + entry.sha256.substr(0, kShortHash) + "]";
}

CatalogueEntry sdapi_checkpoint(const Services& services, const Client& client) {
  const SdapiContext context = sdapi_context(services, client);
  if (const json::value* title = context.options.if_contains("sd_model_checkpoint"))
    if (const auto name = context.find_model(std::string(title->get_string()), "checkpoint"))
      return services.catalogue.get(*name, "checkpoint", "sd_model_checkpoint");
  return services.catalogue.list().front();
}

std::vector<Route> sdapi_work_routes() {
  const Answer null{200, kJson, "SdapiNull", "done"}, done{200, kJson, "SdapiObject", "done"};
  Route progress_route =
      sdapi_route("GET", "/sdapi/v1/progress", "sdapi_progress",
                  "How far the client's calls are. Idle: progress 0 and state.job_count 0.",
                  {200, kJson, "SdapiProgress", "the progress"}, progress);
  progress_route.parameters = {
      {"skip_current_image", R"({"type":"boolean","default":false})", "leaves the preview out"}};
  return {
      posting("/sdapi/v1/txt2img", "sdapi_txt2img",
              "Pictures from words. Answers when they are made; a client that goes before gives them up.",
              "SdapiTextToImage", {200, kJson, "SdapiImages", "the pictures"}, text_to_image),
      posting("/sdapi/v1/img2img", "sdapi_img2img",
              "Pictures from a picture and words, or parts of one repainted.", "SdapiImageToImage",
              {200, kJson, "SdapiImages", "the pictures"}, image_to_image),
      std::move(progress_route),
      posting("/internal/progress", "sdapi_task_progress", "How far the call with this force_task_id is.",
              "SdapiTask", {200, kJson, "SdapiTaskProgress", "the progress"}, task_progress),
      sdapi_route("POST", "/sdapi/v1/interrupt", "sdapi_interrupt", "Gives up what the client has in work.",
                  done, interrupt),
      sdapi_route("POST", "/sdapi/v1/skip", "sdapi_skip",
                  "The same: limn keeps no part of a call's pictures.", null, skip),
      sdapi_route("GET", "/sdapi/v1/options", "sdapi_get_options", "The options that count, for this client.",
                  {200, kJson, "SdapiOptions", "the options"}, get_options),
      posting("/sdapi/v1/options", "sdapi_set_options",
              "Sets options for the client's later calls, until the server ends. Names that do not count are "
              "passed over.",
              "SdapiOptions", null, set_options),
      managing(sdapi_route("POST", "/sdapi/v1/unload-checkpoint", "sdapi_unload",
                           "Takes the client's model out of memory.", done, unload)),
      managing(sdapi_route("POST", "/sdapi/v1/reload-checkpoint", "sdapi_reload", "Loads the client's model.",
                           done, reload)),
      managing(sdapi_route("POST", "/sdapi/v1/refresh-checkpoints", "sdapi_refresh_checkpoints",
                           "Looks for models again.", null, refresh)),
      managing(sdapi_route("POST", "/sdapi/v1/refresh-vae", "sdapi_refresh_vae", "Looks for models again.",
                           null, refresh)),
      managing(sdapi_route("POST", "/sdapi/v1/refresh-loras", "sdapi_refresh_loras",
                           "Looks for models again.", null, refresh)),
  };
}

std::vector<Route> sdapi_routes() {
  std::vector<Route> out;
  for (auto* routes : {sdapi_work_routes, sdapi_list_routes, sdapi_tool_routes})
    std::ranges::move(routes(), std::back_inserter(out));
  return out;
}

}  // namespace limn::server
