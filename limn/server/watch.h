// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "limn/image/image.h"
#include "limn/server/event_bus.h"
#include "limn/server/job_store.h"
#include "limn/server/job_tape.h"
#include "limn/server/services.h"
#include "limn/server/settings.h"

namespace limn::server {

/// How long a worker has a job without reporting; it reports every third of that.
inline std::chrono::milliseconds lease_of(const Services& services) {
  return std::chrono::seconds(services.settings.lease);
}

/// Stands between a job in work and the stores, in a thread of its own, so that neither loading nor a slow disk is in the
/// other's way: keeps the lease, tells progress and previews, saves the checkpoint, and hears what whoever sent the job does.
class Watch {
 public:
  /// @param tape  of the job; outlives this, as does all else
  Watch(Services& services, const Job& job, JobTape& tape);
  ~Watch();

  /// Requested when the work is to end: given up, paused, or no longer this worker's.
  std::stop_token stop_token() const { return stop_.get_token(); }
  void request_stop() { stop_.request_stop(); }

  // From the engine's thread; neither waits for anything.
  void show(const JobProgress& progress);
  void show(Image preview);

  /// Ends the thread, after which the job is the caller's alone. @param save_rest  of the checkpoint
  /// @return how the job stands
  Standing end(bool save_rest);

 private:
  using Clock = std::chrono::steady_clock;
  enum class Saving { Due, Rest };

  void run();
  Clock::time_point due() const;  // under the lock
  void tell(std::unique_lock<std::mutex>& lock);
  void report(const JobProgress& progress);
  void save(Saving saving);
  void note(const Standing& standing);

  Services& services_;
  const Job& job_;
  JobTape& tape_;
  std::stop_source stop_;

  /// Outlives the object where a publisher is about to ring it.
  struct Bell {
    std::mutex mutex;
    std::condition_variable rung;
    bool asked = false;  // somebody did something to the job
  };
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  // Under the bell's lock.
  JobProgress progress_, told_;
  std::optional<Image> preview_;
  bool ending_ = false;

  // Of the thread.
  Clock::time_point told_at_, saved_at_;
  Clock::time_point held_until_;   // as far as this end knows
  Clock::time_point quiet_until_;  // after a try that failed

  Standing standing_{.held = true};
  std::unique_ptr<EventBus::Subscription> ears_;
  std::thread thread_;
};

/// Smaller, so that no side is over `side`; as it is where none is.
Image fitted(const Image& image, int side);

}  // namespace limn::server
