// SPDX-License-Identifier: Apache-2.0
#include "limn/server/worker.h"

#include <algorithm>
#include <thread>

#include "limn/base/error.h"
#include "limn/engine/engine.h"
#include "limn/server/blob_store.h"
#include "limn/server/estimate.h"
#include "limn/server/event_bus.h"
#include "limn/server/job_store.h"
#include "limn/server/job_tape.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/router.h"
#include "limn/server/settings.h"
#include "limn/server/submit.h"
#include "limn/server/watch.h"

namespace limn::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPoll{1'000};  // where the bus brings no news
constexpr milliseconds kBetweenRecoveries{10'000};
constexpr milliseconds kBetweenPreviews{200};
constexpr int kPreviewShare = 20;  // of the time, previews take one part in so many at most
constexpr int kThumbnailSide = 320, kThumbnailQuality = 85;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Threads for arithmetic, of each worker.
int threads_of(const Settings& settings) {
  if (settings.threads > 0) return static_cast<int>(settings.threads);
  const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
  return settings.workers > 1 ? static_cast<int>(std::max<int64_t>(cores / settings.workers, 1)) : 0;
}

std::string_view name_of(engine::Progress::Stage stage) {
  switch (stage) {
    case engine::Progress::Stage::Load:
      return "load";
    case engine::Progress::Stage::Denoise:
      return "denoise";
    default:
      return "decode";
  }
}

/// How often the engine counts steps anew; 0: that cannot be known beforehand.
int64_t passes_of(const engine::GenerateRequest& request) {
  const int64_t passes = 1 + (request.hires_scale > 1 ? 1 : 0) + (request.refiner.empty() ? 0 : 1);
  const bool in_one_go = request.count == 1 || (passes == 1 && request.wildcards.empty());
  return in_one_go ? passes : 0;
}

/// What decides how long decoding takes.
std::string decoder_of(const json::object& request) {
  json::array out;
  for (const char* field : {"model", "vae", "width", "height", "hires_scale"}) {
    const json::value* value = request.if_contains(field);
    out.push_back(value ? *value : nullptr);
  }
  return limn::to_text(out);
}

/// Rough pictures, as often as they are worth while.
class Previews {
 public:
  bool is_due() const { return Clock::now() >= next_; }
  Image make(const engine::Progress& progress) {
    const auto began = Clock::now();
    Image image = progress.preview(0);
    const auto ended = Clock::now();
    next_ =
        std::max<Clock::time_point>(began + kBetweenPreviews, ended + (kPreviewShare - 1) * (ended - began));
    return image;
  }

 private:
  Clock::time_point next_{};
};

void append_new(std::vector<std::string>& to, const std::vector<std::string>& from) {
  for (const std::string& text : from)
    if (std::ranges::find(to, text) == to.end()) to.push_back(text);
}

void replace(std::string& text, const std::string& what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

/// In the record that a picture keeps, pictures it was made from have the names that clients know them by.
void name_inputs(const json::object& asked, json::object& request) {
  for (const char* field : {"init_image", "mask"})
    if (const json::value* input = asked.if_contains(field)) request[field] = *input;
}

/// In the gallery's, models have them too: below folders, a file's name alone does not find it again.
void name_models(const json::object& asked, json::object& request) {
  for (const char* field : {"model", "vae", "refiner", "preview_vae", "lora"})
    if (const json::value* name = asked.if_contains(field)) request[field] = *name;
}

}  // namespace

struct Worker::State {
  Services& services;
  const std::shared_ptr<engine::Models> models;
  const std::string name;
  std::unique_ptr<engine::Engine> engine;            // made in the thread that works
  std::pair<std::string, double> decoded_last = {};  // by what decoder, and how long a picture took

  void run_job(const Job& job, const std::stop_token& stop);
  std::vector<engine::Picture> draw(const Job& job, JobTape& tape, Watch& watch);
  void hand_in(const Job& job, std::vector<engine::Picture> pictures, Watch& watch);
  void give_up(const Job& job, const Error& error, Watch& watch, const std::stop_token& stop);
  NewPicture keep(const Job& job, engine::Picture& picture) const;
  JobError told(const Job& job, const Error& error) const;
  void note_end(const Job& job, std::string_view how);
};

/// Asks the model, or the checkpoint for as far as it goes.
std::vector<engine::Picture> Worker::State::draw(const Job& job, JobTape& tape, Watch& watch) {
  const engine::GenerateRequest request = engine::request_from_json(engine_fields(services, job.request));
  const std::string decoder = decoder_of(job.request);
  Estimate estimate(passes_of(request), request.count,
                    decoded_last.first == decoder ? std::optional(decoded_last.second) : std::nullopt);
  Previews previews;
  const auto on_progress = [&](const engine::Progress& progress) {
    if (progress.stage == engine::Progress::Stage::Denoise && !tape.plays())
      estimate.note_step(progress.done, progress.total, Clock::now());
    if (progress.stage == engine::Progress::Stage::Decode) estimate.note_decode(progress.done, Clock::now());
    watch.show(JobProgress{.stage = std::string(name_of(progress.stage)),
                           .done = progress.done,
                           .total = progress.total,
                           .seconds_left = estimate.seconds_left()});
    if (progress.preview && !tape.plays() && previews.is_due()) watch.show(previews.make(progress));
  };
  std::vector<engine::Picture> pictures;
  try {
    pictures = engine->generate(request, watch.stop_token(), on_progress, &tape);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadFile || !error.where().starts_with("tape")) throw;
    services.log.warning("checkpoint", {{"job", job.id}, {"error", error.what()}});
    tape.clear();
    pictures = engine->generate(request, watch.stop_token(), on_progress, &tape);
  }
  decoded_last = {decoder, pictures.back().timings.decode};
  return pictures;
}

NewPicture Worker::State::keep(const Job& job, engine::Picture& picture) const {
  name_inputs(job.request, picture.record.request);
  const std::string png = picture.encode("png");
  const std::string thumbnail =
      encode_image(to_rgb(fitted(picture.image, kThumbnailSide)), "jpeg", {}, kThumbnailQuality);
  name_models(job.request, picture.record.request);
  return {.id = services.blobs.put(png),
          .format = "png",
          .width = picture.image.width,
          .height = picture.image.height,
          .bytes = static_cast<int64_t>(png.size()),
          .thumbnail = services.blobs.put(thumbnail),
          .record = provenance::to_json(picture.record)};
}

void Worker::State::hand_in(const Job& job, std::vector<engine::Picture> pictures, Watch& watch) {
  std::vector<NewPicture> kept;
  std::vector<std::string> warnings;
  for (engine::Picture& picture : pictures) {
    append_new(warnings, picture.record.warnings);
    kept.push_back(keep(job, picture));
  }
  if (!watch.end(false).held || !services.jobs.finish(job, kept, warnings)) return note_end(job, "lost");
  services.metrics.add("limn_pictures_total", {}, static_cast<double>(kept.size()));
  note_end(job, "done");
}

void Worker::State::give_up(const Job& job, const Error& error, Watch& watch, const std::stop_token& stop) {
  const bool stopped = error.code() == ErrorCode::Cancelled;
  const Standing standing = watch.end(stopped);
  const auto note = [&](bool held, std::string_view how) { note_end(job, held ? how : "lost"); };
  if (!standing.held) return note(false, "");
  if (stopped && standing.cancel_requested) return note(services.jobs.end_cancelled(job), "cancelled");
  if (stopped && (standing.paused || stop.stop_requested()))
    return note(services.jobs.put_back(job), "put_back");
  services.log.warning("job_failed", {{"job", job.id}, {"error", error.what()}});
  note(services.jobs.fail(job, told(job, error)), "failed");
}

JobError Worker::State::told(const Job& job, const Error& error) const {
  const auto clean = [&](std::string text) {
    for (const char* field : {"init_image", "mask"})
      if (const json::value* id = job.request.if_contains(field)) {
        const std::string name(id->as_string()), blob = name.substr(name.find(':') + 1);
        if (services.blobs.has(blob)) replace(text, services.blobs.file(blob).string(), name);
      }
    return without_paths(std::move(text), services.settings);
  };
  return {std::string(status_of(error.code()).name), clean(error.where()), clean(error.problem()),
          clean(error.hint())};
}

void Worker::State::note_end(const Job& job, std::string_view how) {
  services.metrics.add("limn_runs_total", {{"end", how}});
  services.log.info("run", {{"job", job.id},
                            {"worker", name},
                            {"attempt", job.attempt},
                            {"end", json::string_view(how.data(), how.size())}});
}

void Worker::State::run_job(const Job& job, const std::stop_token& stop) {
  const auto began = Clock::now();
  if (!engine) engine = std::make_unique<engine::Engine>(threads_of(services.settings), models);
  JobTape tape(services.blobs, job);
  Watch watch(services, job, tape);
  const std::stop_callback when_stopped(stop, [&watch] { watch.request_stop(); });
  std::vector<engine::Picture> pictures;
  try {
    pictures = draw(job, tape, watch);
  } catch (const Error& error) {
    give_up(job, error, watch, stop);
  }
  // What goes wrong here is the stores' fault, not the job's: it is taken up again when its lease is over.
  if (!pictures.empty()) hand_in(job, std::move(pictures), watch);
  services.metrics.observe("limn_run_seconds", {}, seconds_since(began));
}

Worker::Worker(Services& services, std::shared_ptr<engine::Models> models, std::string name)
    : state_(std::make_unique<State>(State{services, std::move(models), std::move(name), {}})) {
  services.metrics.describe("limn_runs_total", Metrics::Kind::Counter,
                            "Jobs that a worker took up, by how that ended.");
  services.metrics.describe("limn_pictures_total", Metrics::Kind::Counter, "Pictures that were made.");
  services.metrics.describe("limn_run_seconds", Metrics::Kind::Histogram, "How long a worker had a job.",
                            {0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000});
}

Worker::~Worker() = default;

bool Worker::run_one(const std::stop_token& stop) {
  const std::optional<Job> job = state_->services.jobs.claim(state_->name, lease_of(state_->services));
  if (job) state_->run_job(*job, stop);
  return job.has_value();
}

void Worker::run(const std::stop_token& stop) {
  Services& services = state_->services;
  const auto ears = services.bus.subscribe([](const Event& event) {
    return event.kind == Event::Kind::State || event.kind == Event::Kind::Queue;
  });
  auto recover_at = Clock::now();
  while (!stop.stop_requested()) {
    try {
      if (Clock::now() >= recover_at) {
        recover_at = Clock::now() + kBetweenRecoveries;
        services.jobs.recover();
      }
      if (run_one(stop)) continue;
    } catch (const std::exception& error) {
      services.log.error("worker", {{"worker", state_->name}, {"error", error.what()}});
    }
    ears->next(kPoll, stop);
    while (ears->next(milliseconds(0))) continue;  // one look at the queue is enough for all of them
  }
}

}  // namespace limn::server
