// SPDX-License-Identifier: Apache-2.0
#include "limn/server/watch.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "limn/server/log.h"

namespace limn::server {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kBetweenReports{200};  // at least
constexpr milliseconds kBetweenSaves{2'000};  // at least
constexpr milliseconds kFirstSave{500};       // a run that is lost before has cost nobody much
constexpr milliseconds kBetweenTries{1'000};  // after one that failed
constexpr int kPreviewSide = 512, kSmallestSide = 64;
constexpr size_t kMostPreviewBytes = 32'000;

std::string encode_preview(Image image) {
  image = to_rgb(fitted(image, kPreviewSide));
  for (int quality = 80;; quality = 60) {
    std::string jpeg = encode_image(image, "jpeg", {}, quality);
    if (jpeg.size() <= kMostPreviewBytes) return jpeg;
    if (quality == 60)
      image = fitted(image, std::max(kSmallestSide, std::max(image.width, image.height) * 3 / 4));
  }
}

}  // namespace

Image fitted(const Image& image, int side) {
  const int longer = std::max(image.width, image.height);
  if (longer <= side) return image;
  const auto shrunk = [&](int length) {
    return std::max(1, static_cast<int>(std::lround(static_cast<double>(length) * side / longer)));
  };
  return resize_lanczos(image, shrunk(image.width), shrunk(image.height));
}

Watch::Watch(Services& services, const Job& job, JobTape& tape)
    : services_(services),
      job_(job),
      tape_(tape),
      told_at_(Clock::now()),
      saved_at_(told_at_ - kBetweenSaves + kFirstSave),
      held_until_(told_at_ + lease_of(services)) {
  ears_ = services.bus.subscribe([bell = bell_, id = job.id](const Event& event) {
    if (event.kind != Event::Kind::State || !(event.job == id || event.job.empty())) return false;
    const std::scoped_lock lock(bell->mutex);
    bell->asked = true;
    bell->rung.notify_one();
    return false;  // that is all there is to hear
  });
  thread_ = std::thread([this] { run(); });
}

Watch::~Watch() { end(false); }

void Watch::show(const JobProgress& progress) {
  const std::scoped_lock lock(bell_->mutex);
  progress_ = progress;
  bell_->rung.notify_one();
}

void Watch::show(Image preview) {
  const std::scoped_lock lock(bell_->mutex);
  preview_ = std::move(preview);
  bell_->rung.notify_one();
}

Standing Watch::end(bool save_rest) {
  if (!thread_.joinable()) return standing_;
  {
    const std::scoped_lock lock(bell_->mutex);
    ending_ = true;
    bell_->rung.notify_one();
  }
  thread_.join();
  ears_.reset();
  if (save_rest && standing_.held) save(Saving::Rest);
  return standing_;
}

Watch::Clock::time_point Watch::due() const {
  auto at = told_at_ + lease_of(services_) / 3;
  if (progress_ != told_) at = told_at_ + kBetweenReports;
  if (bell_->asked || preview_) at = told_at_;
  return std::max(at, quiet_until_);
}

void Watch::run() {
  std::unique_lock lock(bell_->mutex);
  while (!ending_) {
    if (Clock::now() < due()) {
      bell_->rung.wait_until(lock, due());
      continue;
    }
    try {
      tell(lock);
    } catch (const std::exception& error) {
      // The store cannot be reached now. The lease outlives some tries; then somebody else may have the job.
      services_.log.warning("store", {{"job", job_.id}, {"error", error.what()}});
      if (Clock::now() >= held_until_) note({});
      quiet_until_ = Clock::now() + kBetweenTries;
      if (!lock.owns_lock()) lock.lock();
    }
  }
}

void Watch::tell(std::unique_lock<std::mutex>& lock) {
  const JobProgress progress = progress_;
  std::optional<Image> preview = std::exchange(preview_, {});
  const bool reports =
      bell_->asked || progress != told_ || Clock::now() >= told_at_ + lease_of(services_) / 3;
  bell_->asked = false;
  lock.unlock();
  if (reports) report(progress);
  if (preview && standing_.held) services_.jobs.set_preview(job_, encode_preview(std::move(*preview)));
  save(Saving::Due);
  lock.lock();
  if (!reports) return;
  told_ = progress;
  told_at_ = Clock::now();
}

void Watch::report(const JobProgress& progress) {
  const auto now = Clock::now();
  note(services_.jobs.report(job_, progress, lease_of(services_)));
  if (standing_.held) held_until_ = now + lease_of(services_);
}

void Watch::save(Saving saving) {
  if (saving == Saving::Due && (!standing_.held || Clock::now() < saved_at_ + kBetweenSaves)) return;
  const JobTape::Unsaved unsaved = tape_.unsaved();
  if (unsaved.answers == 0 && !unsaved.starts_over) return;
  if (unsaved.starts_over) note(services_.jobs.drop_checkpoint(job_));
  if (unsaved.answers > 0) note(services_.jobs.save(job_, std::vector{services_.blobs.put(unsaved.bytes)}));
  if (!standing_.held) return;  // the next worker may have put the same bytes; purge takes what nobody needs
  tape_.drop(unsaved);
  saved_at_ = Clock::now();
}

void Watch::note(const Standing& standing) {
  standing_ = standing;
  if (!standing.held || standing.cancel_requested || standing.paused) stop_.request_stop();
}

}  // namespace limn::server
