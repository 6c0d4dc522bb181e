// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/wait.h"

#include "limn/server/event_bus.h"
#include "limn/server/job_store.h"

namespace limn::server {
namespace {

// An event may be lost on its way from another process.
constexpr std::chrono::milliseconds kBetweenLooks{1000};

}  // namespace

Job wait_for_job(Services& services, const std::string& id, std::stop_token gone) {
  const auto ears = services.bus.subscribe(
      [&](const Event& event) { return event.kind == Event::Kind::State && event.job == id; });
  std::stop_source over;
  const auto end = [&over] { over.request_stop(); };
  const std::stop_callback when_gone(gone, end), when_closing(services.closing, end);
  for (;;) {
    const std::optional<Job> job = services.jobs.find(id);
    if (!job) throw Error(ErrorCode::NotFound, "job", "is no longer there");
    if (has_ended(job->state)) return *job;
    if (gone.stop_requested()) return services.jobs.cancel(id);
    if (services.closing.stop_requested())
      throw Error(ErrorCode::Busy, "job " + id, "the server closes; the job goes on when it is back",
                  "its pictures will be in the gallery");
    ears->next(kBetweenLooks, over.get_token());
  }
}

Error error_of(const Job& job) {
  if (job.state == JobState::Cancelled) return Error(ErrorCode::Cancelled, "", "was cancelled");
  for (const Status& status : all_statuses())
    if (status.name == job.error.code)
      return Error(status.code, job.error.where, job.error.message, job.error.hint);
  return Error(ErrorCode::Internal, job.error.where, job.error.message, job.error.hint);
}

std::vector<GalleryPicture> pictures_of(const Services& services, const Job& job) {
  std::vector<GalleryPicture> out;
  for (const std::string& id : job.pictures)
    if (auto picture = services.pictures.find(id, job.owner)) out.push_back(std::move(*picture));
  return out;
}

}  // namespace limn::server
