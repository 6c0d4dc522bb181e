// SPDX-License-Identifier: Apache-2.0
// OpenAI's API for pictures, and its list of models.
#include "limn/server/routes/openai.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/engine/catalog.h"
#include "limn/server/base64.h"
#include "limn/server/blob_store.h"
#include "limn/server/catalogue.h"
#include "limn/server/event_bus.h"
#include "limn/server/job_store.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/routes/sdapi_answer.h"
#include "limn/server/routes/wait.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

constexpr std::string_view kJson = "application/json", kForm = "multipart/form-data",
                           kEvents = "text/event-stream";

std::span<const std::byte> bytes_in(const std::string& text) { return std::as_bytes(std::span(text)); }

/// OpenAI's name of what a problem is about.
json::value parameter_of_problem(const Problem& problem) {
  struct Name {
    std::string_view ours, theirs;
  };
  constexpr Name kNames[] = {{"count", "n"},
                             {"width", "size"},
                             {"height", "size"},
                             {"width, height", "size"},
                             {"init_image", "image"}};
  for (const Name& name : kNames)
    if (name.ours == problem.where) return json::string_view(name.theirs.data(), name.theirs.size());
  return problem.where.empty() ? json::value(nullptr) : json::value(problem.where);
}

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

json::value error_body(int status, const Problem& problem) {
  const std::string_view type = type_of(status);
  const bool no_model = problem.code == "not_found" && problem.where == "model";
  return json::object{
      {"error",
       {{"message", problem.hint.empty() ? problem.message : problem.message + " (" + problem.hint + ")"},
        {"type", json::string_view(type.data(), type.size())},
        {"param", parameter_of_problem(problem)},
        {"code", no_model ? "model_not_found" : problem.code}}}};
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Tokens of the prompt; of pictures there are none.
json::object usage_of(const Services& services, const json::object& fields) {
  const json::value *prompt = fields.if_contains("prompt"), *model = fields.if_contains("model");
  const std::string name = model ? std::string(model->get_string()) : "";
  const std::filesystem::path path =
      name.empty() ? "" : services.catalogue.get(name, "checkpoint", "model").path;
  const int64_t tokens = prompt ? engine::prompt_length(prompt->get_string(), path).tokens : 0;
  return {{"input_tokens", tokens},
          {"output_tokens", 0},
          {"total_tokens", tokens},
          {"input_tokens_details", {{"text_tokens", tokens}, {"image_tokens", 0}}},
          {"output_tokens_details", {{"text_tokens", 0}, {"image_tokens", 0}}}};
}

std::string size_of(const GalleryPicture& picture) {
  return std::to_string(picture.width) + "x" + std::to_string(picture.height);
}

/// One call: the job that it is, and how it is answered.
struct Work {
  OpenAiTask task;
  OpenAiRequest request;
  json::object usage;
  std::string base;  // of addresses of pictures
  Job job;
};

std::string encoded_picture(const Services& services, const OpenAiRequest& request,
                            const GalleryPicture& picture) {
  return encode_base64(in_format(services.blobs.get(picture.id), request.format, request.compression));
}

json::object answer_of(const Services& services, const Work& work, const Job& job) {
  json::array data;
  std::string size;
  for (const GalleryPicture& picture : pictures_of(services, job)) {
    if (size.empty()) size = size_of(picture);
    if (work.request.wants_url)
      data.push_back(json::object{{"url", work.base + picture.id + "/file?format=" + work.request.format}});
    else
      data.push_back(json::object{{"b64_json", encoded_picture(services, work.request, picture)}});
  }
  json::object out{{"created", unix_seconds()},
                   {"data", std::move(data)},
                   {"output_format", work.request.format},
                   {"size", size},
                   {"quality", "auto"},
                   {"background", "opaque"},
                   {"usage", work.usage}};
  if (!job.warnings.empty()) out["warnings"] = json::array(job.warnings.begin(), job.warnings.end());
  return out;
}

/// Tells a job's partial pictures and its end.
class ImageStream {
 public:
  ImageStream(Services& services, const Work& work, BodyStream& to)
      : services_(services), work_(work), to_(to) {}

  void run(std::stop_token gone) {
    const std::string& id = work_.job.id;
    const auto ears = services_.bus.subscribe([&](const Event& event) { return event.job == id; });
    std::stop_source over;
    const auto end = [&over] { over.request_stop(); };
    const std::stop_callback when_gone(gone, end), when_closing(services_.closing, end);
    bool is_there = to_.write(": accepted\n\n");
    for (;;) {
      const std::optional<Job> job = services_.jobs.find(id);
      if (!job) return;
      if (has_ended(job->state)) return finish(*job);
      is_there = is_there && !gone.stop_requested() && tell_partial(*job) && tell_life();
      if (!is_there) return services_.jobs.cancel(id), void();
      if (services_.closing.stop_requested())
        return tell_error(Error(ErrorCode::Busy, "", "the server closes; the job goes on when it is back"));
      ears->next(kBetweenLooks, over.get_token());
    }
  }

 private:
  static constexpr std::chrono::milliseconds kBetweenLooks{1000};  // where an event is lost
  static constexpr std::chrono::seconds kSilence{15};
  using Clock = std::chrono::steady_clock;

  bool tell(const std::string& kind, json::object event) {
    last_ = Clock::now();
    const std::string type =
        (work_.task == OpenAiTask::Generate ? "image_generation." : "image_edit.") + kind;
    event["type"] = type;
    event["created_at"] = unix_seconds();
    event["quality"] = "auto";
    event["background"] = "opaque";
    event["output_format"] = work_.request.format;
    return to_.write("event: " + type + "\ndata: " + limn::to_text(event) + "\n\n");
  }

  bool tell_life() {
    if (Clock::now() < last_ + kSilence) return true;
    last_ = Clock::now();
    return to_.write(": still here\n\n");
  }

  bool tell_partial(const Job& job) {
    if (!is_partial_due(sent_, work_.request.partial_images, done_share(job))) return true;
    const std::optional<std::string> jpeg = services_.jobs.preview(job.id);
    if (!jpeg || *jpeg == last_preview_) return true;
    last_preview_ = *jpeg;
    const Image image = decode_image(bytes_in(*jpeg), "preview");
    const std::string file = encode_image(image, work_.request.format, {});
    return tell("partial_image",
                {{"b64_json", encode_base64(file)},
                 {"partial_image_index", sent_++},
                 {"size", std::to_string(image.width) + "x" + std::to_string(image.height)}});
  }

  void tell_error(const Error& error) {
    const Status& status = status_of(error.code());
    const json::value body = error_body(
        status.http_status, {std::string(status.name), error.where(), error.problem(), error.hint()});
    to_.write("event: error\ndata: " + limn::to_text(body) + "\n\n");
  }

  void finish(const Job& job) {
    if (job.state != JobState::Done) return tell_error(error_of(job));
    for (const GalleryPicture& picture : pictures_of(services_, job)) {
      json::object event{{"b64_json", encoded_picture(services_, work_.request, picture)},
                         {"size", size_of(picture)},
                         {"usage", work_.usage}};
      if (!job.warnings.empty()) event["warnings"] = json::array(job.warnings.begin(), job.warnings.end());
      if (!tell("completed", std::move(event))) return;
    }
  }

  Services& services_;
  const Work& work_;
  BodyStream& to_;
  Clock::time_point last_ = Clock::now();
  int64_t sent_ = 0;
  std::string last_preview_;
};

/// The address below which the client reaches the pictures: by the name that it called the server by.
std::string base_of(const HttpRequest& http) {
  return std::string(http.secure ? "https://" : "http://") + http.header("host") + "/api/v1/pictures/";
}

OpenAiRequest read_request(Services& services, OpenAiTask task, const OpenAiForm& form) {
  const auto find_model = [&](const std::string& name) -> std::optional<std::string> {
    const auto entry = services.catalogue.find(name, "checkpoint");
    return entry ? std::optional(entry->name) : std::nullopt;
  };
  const auto read = [&] { return read_openai_request(task, form, find_model); };
  return task == OpenAiTask::Generate ? read() : with_inputs_stored(services, read);
}

HttpResponse make(Services& services, const Call& call, OpenAiTask task, const OpenAiForm& form) {
  Work work{.task = task, .request = {}, .usage = {}, .base = base_of(call.http), .job = {}};
  work.request = read_request(services, task, form);
  work.usage = usage_of(services, work.request.fields);
  Submission submission;
  submission.fields = work.request.fields;
  submission.origin = {{"api", "openai"}};
  submission.warnings = work.request.warnings;
  work.job = submit(services, call.client, std::move(submission));
  if (!work.request.streams) {
    const Job job = wait_for_job(services, work.job.id, call.http.gone);
    if (job.state != JobState::Done) throw error_of(job);
    return json_answer(answer_of(services, work, job));
  }
  HttpResponse out;
  out.content_type = kEvents;
  out.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
  out.stream = [&services, work = std::move(work), gone = call.http.gone](BodyStream& to) {
    ImageStream(services, work, to).run(gone);
  };
  return out;
}

HttpResponse generate(Services& services, const Call& call) {
  return make(services, call, OpenAiTask::Generate, {call.json.get_object(), {}, {}});
}

OpenAiForm form_of(const Call& call) {
  return read_openai_form(parse_multipart(call.http.body, call.http.header("content-type")));
}

HttpResponse edit(Services& services, const Call& call) {
  return make(services, call, OpenAiTask::Edit, form_of(call));
}
HttpResponse vary(Services& services, const Call& call) {
  return make(services, call, OpenAiTask::Vary, form_of(call));
}

json::object model_object(const CatalogueEntry& entry) {
  return {{"id", entry.name}, {"object", "model"}, {"created", 0}, {"owned_by", "limn"}};
}

HttpResponse list_models(Services& services, const Call&) {
  json::array data;
  for (const CatalogueEntry& entry : services.catalogue.list())
    if (entry.kind == "checkpoint" && entry.can_run) data.push_back(model_object(entry));
  return json_answer({{"object", "list"}, {"data", data}});
}

HttpResponse get_model(Services& services, const Call& call) {
  return json_answer(model_object(services.catalogue.get(call.at("id"), "checkpoint", "model")));
}

}  // namespace

std::string in_format(const std::string& png, const std::string& format, int compression) {
  if (format == "png") return png;
  const PictureTurn turn;
  const std::vector<TextEntry> texts = image_texts(bytes_in(png), "picture");
  return encode_image(decode_image(bytes_in(png), "picture"), format, texts, std::max(compression, 1));
}

bool is_partial_due(int64_t sent, int64_t wanted, double done_share) {
  return sent < wanted && done_share * static_cast<double>(wanted + 1) >= static_cast<double>(sent + 1);
}

std::vector<Route> openai_routes() {
  const auto route = [](std::string_view method, std::string_view path, std::string_view name,
                        std::string_view help, std::vector<Answer> answers,
                        HttpResponse (*handle)(Services&, const Call&)) {
    return Route{.method = method,
                 .path = path,
                 .name = name,
                 .tag = "openai",
                 .help = help,
                 .answers = std::move(answers),
                 .handle = handle,
                 .error_body = error_body};
  };
  const auto making = [&](std::string_view path, std::string_view name, std::string_view help,
                          std::string_view takes, std::string_view schema,
                          HttpResponse (*handle)(Services&, const Call&)) {
    Route out = route("POST", path, name, help,
                      {{200, kJson, "OpenAiImages", "the pictures"},
                       {200, kEvents, "OpenAiEvent",
                        "with stream: partial pictures, then the pictures, as server-sent events"}},
                      handle);
    out.takes = takes;
    out.takes_schema = schema;
    return out;
  };
  return {
      making("/v1/images/generations", "openai_generate",
             "Pictures from words, as OpenAI's clients ask for them. limn's own fields (seed, steps, …) may "
             "be added.",
             kJson, "OpenAiGeneration", generate),
      making("/v1/images/edits", "openai_edit",
             "A picture changed by words; with a mask where that is transparent alone.", kForm, "OpenAiEdit",
             edit),
      making("/v1/images/variations", "openai_vary", "Pictures like a picture.", kForm, "OpenAiVariation",
             vary),
      route("GET", "/v1/models", "openai_list_models", "The checkpoints that run.",
            {{200, kJson, "OpenAiModels", "the models"}}, list_models),
      route("GET", "/v1/models/{id}", "openai_get_model", "One of them.",
            {{200, kJson, "OpenAiModel", "the model"}}, get_model),
  };
}

}  // namespace limn::server
