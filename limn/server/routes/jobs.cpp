// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "limn/base/error.h"
#include "limn/server/job_store.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

constexpr int64_t kMostListed = 1000;

Job job_of(const Services& services, const Call& call) {
  return visible_job(services, call.client, call.at("id"));
}

void check_priority(const Call& call, int64_t priority) {
  if (priority > 0 && call.client.role < Role::Manage)
    throw Error(ErrorCode::Refused, "priority", "above 0 is for the role manage", "0 is the usual one");
}

HttpResponse submit_job(Services& services, const Call& call) {
  const json::object& body = call.json.get_object();
  Submission submission;
  submission.fields = body.at("request").get_object();
  submission.origin = {{"api", "native"}};
  submission.key = call.http.header("idempotency-key");
  if (const json::value* priority = body.if_contains("priority"))
    submission.priority = priority->to_number<int64_t>();
  check_priority(call, submission.priority);
  const Job job = submit(services, call.client, std::move(submission));
  HttpResponse out = json_answer(to_json(services, job), 202);
  out.headers.emplace_back("Location", "/api/v1/jobs/" + job.id);
  return out;
}

std::vector<JobState> states_of(const std::string& text) {
  std::vector<JobState> out;
  for (size_t start = 0, end; start < text.size(); start = end + 1) {
    end = std::min(text.find(',', start), text.size());
    const std::optional<JobState> state = job_state_of(text.substr(start, end - start));
    if (!state)
      throw Error(ErrorCode::InvalidArgument, "state", "no '" + text.substr(start, end - start) + "'",
                  "known: queued, running, done, failed, cancelled");
    out.push_back(*state);
  }
  return out;
}

HttpResponse list_jobs(Services& services, const Call& call) {
  const std::vector<Job> jobs =
      services.jobs.list({.owner = visible_owner(call.client),
                          .states = states_of(text_parameter(call, "state")),
                          .before = text_parameter(call, "before"),
                          .limit = integer_parameter(call, "limit", 100, 1, kMostListed)});
  return json_answer(json::object{{"jobs", to_json(services, jobs)}});
}

HttpResponse get_job(Services& services, const Call& call) {
  return json_answer(to_json(services, job_of(services, call)));
}

HttpResponse cancel_job(Services& services, const Call& call) {
  return json_answer(to_json(services, services.jobs.cancel(job_of(services, call).id)));
}

HttpResponse pause_job(Services& services, const Call& call) {
  return json_answer(to_json(services, services.jobs.set_paused(job_of(services, call).id, true)));
}

HttpResponse resume_job(Services& services, const Call& call) {
  return json_answer(to_json(services, services.jobs.set_paused(job_of(services, call).id, false)));
}

HttpResponse change_job(Services& services, const Call& call) {
  Job job = job_of(services, call);
  const json::object& body = call.json.get_object();
  const json::value* priority = body.if_contains("priority");
  const json::value* before = body.if_contains("before");
  if (priority) check_priority(call, priority->to_number<int64_t>());
  if (before && !before->get_string().empty())  // before a job that the client may see
    visible_job(services, call.client, std::string(before->get_string()));
  if (priority) job = services.jobs.set_priority(job.id, priority->to_number<int64_t>());
  if (before) job = services.jobs.move(job.id, std::string(before->get_string()));
  return json_answer(to_json(services, job));
}

HttpResponse get_preview(Services& services, const Call& call) {
  const std::optional<std::string> jpeg = services.jobs.preview(job_of(services, call).id);
  if (!jpeg)
    throw Error(ErrorCode::NotFound, "preview", "there is none now", "a job has one while it is denoised");
  HttpResponse out;
  out.content_type = "image/jpeg";
  out.headers.emplace_back("Cache-Control", "no-store");
  out.body = *jpeg;
  return out;
}

HttpResponse get_queue(Services& services, const Call&) { return json_answer(queue_json(services)); }

HttpResponse pause_queue(Services& services, const Call&) {
  services.jobs.set_queue_paused(true);
  return json_answer(queue_json(services));
}

HttpResponse resume_queue(Services& services, const Call&) {
  services.jobs.set_queue_paused(false);
  return json_answer(queue_json(services));
}

const Answer kJob{200, "application/json", "Job", "the job as it is now"};
const Answer kQueue{200, "application/json", "Queue", "the queue as it is now"};

}  // namespace

std::vector<Route> job_routes() {
  return {
      {.method = "POST",
       .path = "/api/v1/jobs",
       .name = "submit_job",
       .tag = "jobs",
       .help = "Puts a request for pictures into the queue. Once this answers, it is kept on disk.",
       .parameters = {{"Idempotency-Key", R"({"type":"string","maxLength":255})",
                       "a text of the client's choice: the same one again gives the same job", false,
                       "header"}},
       .takes = "application/json",
       .takes_schema = "NewJob",
       .answers = {{202, "application/json", "Job", "accepted"}},
       .handle = submit_job},
      {.method = "GET",
       .path = "/api/v1/jobs",
       .name = "list_jobs",
       .tag = "jobs",
       .help = "Jobs: those that wait and run in the order of the queue, then those that have ended, newest "
               "first.",
       .parameters = {{"state", R"({"type":"string"})",
                       "queued, running, done, failed, cancelled: some, by commas"},
                      {"limit", R"({"type":"integer","minimum":1,"maximum":1000,"default":100})",
                       "how many at most"},
                      {"before", R"({"type":"string"})", "only those older than the job of this id"}},
       .answers = {{200, "application/json", "JobList", "the jobs"}},
       .handle = list_jobs},
      {.method = "GET",
       .path = "/api/v1/jobs/{id}",
       .name = "get_job",
       .tag = "jobs",
       .help = "One job.",
       .answers = {kJob},
       .handle = get_job},
      {.method = "PATCH",
       .path = "/api/v1/jobs/{id}",
       .name = "change_job",
       .tag = "jobs",
       .help = "Changes a waiting job's priority, or moves it before another one or to the end.",
       .takes = "application/json",
       .takes_schema = "JobChange",
       .answers = {kJob},
       .handle = change_job},
      {.method = "POST",
       .path = "/api/v1/jobs/{id}/cancel",
       .name = "cancel_job",
       .tag = "jobs",
       .help = "Gives a job up; one that runs stops at its next step. Without effect on one that has ended.",
       .answers = {kJob},
       .handle = cancel_job},
      {.method = "POST",
       .path = "/api/v1/jobs/{id}/pause",
       .name = "pause_job",
       .tag = "jobs",
       .help = "Holds a job back; one that runs stops at its next step and will go on from there.",
       .answers = {kJob},
       .handle = pause_job},
      {.method = "POST",
       .path = "/api/v1/jobs/{id}/resume",
       .name = "resume_job",
       .tag = "jobs",
       .help = "Lets a paused job go on.",
       .answers = {kJob},
       .handle = resume_job},
      {.method = "GET",
       .path = "/api/v1/jobs/{id}/preview",
       .name = "get_job_preview",
       .tag = "jobs",
       .help = "The latest rough picture of a running job.",
       .answers = {{200, "image/jpeg", "", "at most 512 pixels a side"}},
       .handle = get_preview},
      {.method = "GET",
       .path = "/api/v1/queue",
       .name = "get_queue",
       .tag = "queue",
       .help = "Whether the queue is paused, and how many jobs there are.",
       .answers = {kQueue},
       .handle = get_queue},
      {.method = "POST",
       .path = "/api/v1/queue/pause",
       .name = "pause_queue",
       .tag = "queue",
       .help = "Starts no more jobs. Those that run go on.",
       .role = Role::Manage,
       .answers = {kQueue},
       .handle = pause_queue},
      {.method = "POST",
       .path = "/api/v1/queue/resume",
       .name = "resume_queue",
       .tag = "queue",
       .help = "Starts jobs again.",
       .role = Role::Manage,
       .answers = {kQueue},
       .handle = resume_queue},
  };
}

}  // namespace limn::server
