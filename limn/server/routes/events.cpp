// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "limn/base/error.h"
#include "limn/server/event_bus.h"
#include "limn/server/job_store.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kBetween{100};         // at least, between two events of a job
constexpr milliseconds kBetweenPlaces{1000};  // at least, between two looks at the places of waiting jobs
constexpr milliseconds kSilence{15'000};      // at most, before a sign of life
constexpr size_t kMostPlaces = 50;            // waiting jobs of a client that are told their place anew
constexpr int64_t kMostInSnapshot = 1000;

/// Where events go: one of the two protocols.
struct Sink {
  std::function<bool(std::string_view event, const json::object& data)> tell;  // false: the client has gone
  std::function<bool()> live;
};

/// Follows the bus for one client, and tells what it may see, neither too often nor out of date.
class Feed {
 public:
  Feed(Services& services, std::string owner, std::string job, Sink sink)
      : services_(services), owner_(std::move(owner)), job_(std::move(job)), sink_(std::move(sink)) {}

  /// Until `gone`, the server's end, or, of a single job, its end.
  void run(std::stop_token gone, bool until_end) {
    std::stop_source over;
    const auto end = [&over] { over.request_stop(); };
    const std::stop_callback when_gone(gone, end), when_closing(services_.closing, end);
    // First the ears, then the snapshot: nothing falls between.
    const auto ears = services_.bus.subscribe(
        [owner = owner_, job = job_](const Event& event) { return concerns(event, owner, job); });
    if (!snapshot()) return;
    while (!over.stop_requested() && !(until_end && ended_)) {
      if (const auto event = ears->next(wait(), over.get_token())) note(*event);
      if (!tell_due()) return;
    }
  }

 private:
  struct Told {
    Clock::time_point at{};  // when last
    bool due = false;
    int64_t place = 0;
  };

  static bool concerns(const Event& event, const std::string& owner, const std::string& job) {
    if (!owner.empty() && !event.owner.empty() && event.owner != owner) return false;
    return job.empty() || event.job == job || event.kind == Event::Kind::Queue;
  }

  bool tell(std::string_view event, const json::object& data) {
    last_ = Clock::now();
    return sink_.tell(event, data);
  }

  bool tell_job(const Job& job) { return tell_job(job, to_json(services_, job)); }

  bool tell_job(const Job& job, const json::object& data) {
    ended_ = ended_ || (job.id == job_ && has_ended(job.state));
    if (has_ended(job.state))
      told_.erase(job.id);
    else
      told_[job.id] = {Clock::now(), false, data.at("place").to_number<int64_t>()};
    return tell("job", data);
  }

  bool snapshot() {
    if (!job_.empty()) {
      const std::optional<Job> job = services_.jobs.find(job_);
      return !job || tell_job(*job);
    }
    const std::vector<Job> jobs = services_.jobs.list(
        {.owner = owner_, .states = {JobState::Queued, JobState::Running}, .limit = kMostInSnapshot});
    const json::array data = to_json(services_, jobs);
    for (size_t i = 0; i < jobs.size(); ++i)
      if (!tell_job(jobs[i], data[i].get_object())) return false;
    return tell("queue", queue_json(services_));
  }

  milliseconds wait() const {
    const auto now = Clock::now();
    auto until = last_ + kSilence;
    for (const auto& [id, told] : told_)
      if (told.due) until = std::min(until, told.at + kBetween);
    if (places_due_) until = std::min(until, places_at_ + kBetweenPlaces);
    return std::max(std::chrono::ceil<milliseconds>(until - now), milliseconds(0));
  }

  void note(const Event& event) {
    switch (event.kind) {
      case Event::Kind::State:
      case Event::Kind::Progress:
        told_[event.job].due = true;
        break;
      case Event::Kind::Preview:
        previews_[event.job] = true;
        break;
      case Event::Kind::Queue:
        queue_due_ = true;
        break;
      case Event::Kind::Gallery:
        gallery_due_ = true;
    }
    if (event.kind == Event::Kind::State || event.kind == Event::Kind::Queue) places_due_ = true;
  }

  bool tell_due() {
    const auto now = Clock::now();
    std::vector<std::string> due;
    for (const auto& [id, told] : told_)
      if (told.due && now >= told.at + kBetween) due.push_back(id);
    for (const std::string& id : due) {
      told_[id].due = false;
      const std::optional<Job> job = services_.jobs.find(id);
      if (job && !tell_job(*job)) return false;
    }
    for (const auto& [id, is_new] : std::exchange(previews_, {}))
      if (!tell("preview", {{"job", id}, {"version", ++version_}})) return false;
    if (std::exchange(queue_due_, false) && job_.empty() && !tell("queue", queue_json(services_)))
      return false;
    if (std::exchange(gallery_due_, false) && job_.empty() && !tell("gallery", {})) return false;
    if (places_due_ && now >= places_at_ + kBetweenPlaces && !tell_places()) return false;
    if (now >= last_ + kSilence) {
      last_ = now;
      return sink_.live();
    }
    return true;
  }

  /// Jobs that wait behind another one are not told when that one leaves: their place has changed all the same.
  bool tell_places() {
    places_due_ = false;
    places_at_ = Clock::now();
    std::vector<Job> waiting;
    for (const auto& [id, told] : told_)
      if (told.place > 0 && waiting.size() < kMostPlaces)
        if (auto job = services_.jobs.find(id)) waiting.push_back(std::move(*job));
    const json::array data = to_json(services_, waiting);
    for (size_t i = 0; i < waiting.size(); ++i)
      if (data[i].at("place").to_number<int64_t>() != told_[waiting[i].id].place &&
          !tell_job(waiting[i], data[i].get_object()))
        return false;
    return true;
  }

  Services& services_;
  const std::string owner_, job_;  // empty: all
  Sink sink_;
  std::map<std::string, Told> told_;  // jobs that have not ended
  std::map<std::string, bool> previews_;
  Clock::time_point last_ = Clock::now(), places_at_{};
  bool queue_due_ = false, gallery_due_ = false, places_due_ = false, ended_ = false;
  int64_t version_ = 0;
};

HttpResponse as_stream(Services& services, const Call& call, const std::string& job, bool until_end) {
  HttpResponse out;
  out.content_type = "text/event-stream";
  out.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
  out.stream = [&services, owner = visible_owner(call.client), job, until_end,
                gone = call.http.gone](BodyStream& to) {
    const Sink sink{
        [&to](std::string_view event, const json::object& data) {
          return to.write("event: " + std::string(event) + "\ndata: " + limn::to_text(data) + "\n\n");
        },
        [&to] { return to.write(": still here\n\n"); }};
    if (to.write("retry: 2000\n\n")) Feed(services, owner, job, sink).run(gone, until_end);
  };
  return out;
}

HttpResponse follow_job(Services& services, const Call& call) {
  return as_stream(services, call, visible_job(services, call.client, call.at("id")).id, true);
}

/// The job that the query names, or empty for all.
std::string wanted_job(const Services& services, const Call& call) {
  const std::string id = text_parameter(call, "job");
  return id.empty() ? id : visible_job(services, call.client, id).id;
}

HttpResponse follow_all(Services& services, const Call& call) {
  return as_stream(services, call, wanted_job(services, call), false);
}

HttpResponse follow_by_websocket(Services& services, const Call& call) {
  const std::string job = wanted_job(services, call);
  HttpResponse out;
  out.status = 101;
  out.messages = [&services, owner = visible_owner(call.client), job,
                  gone = call.http.gone](MessageStream& to) {
    const auto send = [&to](std::string_view event, const json::object& data) {
      return to.send(limn::to_text(
          json::object{{"event", json::string_view(event.data(), event.size())}, {"data", data}}));
    };
    Feed(services, owner, job, {send, [&send] { return send("live", {}); }}).run(gone, false);
  };
  return out;
}

constexpr std::string_view kEvents =
    "job (data: Job; first every job that waits or runs, then each change), preview ({job, version}), queue "
    "(Queue), "
    "gallery ({})";

}  // namespace

std::vector<Route> event_routes() {
  const Parameter job{"job", R"({"type":"string"})", "only of the job of this id"};
  return {
      {.method = "GET",
       .path = "/api/v1/jobs/{id}/events",
       .name = "follow_job",
       .tag = "events",
       .help = "What becomes of one job, as server-sent events job and preview. Ends with the job.",
       .answers = {{200, "text/event-stream", "", kEvents}},
       .handle = follow_job},
      {.method = "GET",
       .path = "/api/v1/events",
       .name = "follow_jobs",
       .tag = "events",
       .help = "What becomes of all jobs that the client may see, as server-sent events.",
       .parameters = {job},
       .answers = {{200, "text/event-stream", "", kEvents}},
       .handle = follow_all},
      {.method = "GET",
       .path = "/api/v1/events/ws",
       .name = "follow_jobs_by_websocket",
       .tag = "events",
       .help = "The same by WebSocket: one JSON text {event, data} a message, and \"live\" where there is "
               "nothing to tell.",
       .parameters = {job},
       .answers = {{101, "", "", "the connection is a WebSocket from here on"},
                   {426, "application/json", "Error", "the call was none to upgrade"}},
       .handle = follow_by_websocket},
  };
}

}  // namespace limn::server
