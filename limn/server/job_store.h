// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "limn/server/database.h"
#include "limn/server/event_bus.h"
#include "limn/server/job.h"

namespace limn::server {

struct QueueLimits {
  int64_t waiting = 10'000;  // jobs that wait, of all; several servers at once may pass it by a few
  int64_t waiting_of_owner = 1'000;
  int64_t strikes = 5;  // claims in a row without a further checkpoint, after which a job has failed
};

/// A finished picture as the queue hands it in.
struct NewPicture {
  std::string id;      // SHA-256 of the file's bytes, under which the blob store has it
  std::string format;  // "png"
  int64_t width = 0, height = 0, bytes = 0;
  std::string thumbnail;  // blob
  json::object record;    // provenance::to_json
};

/// Of a request, for NewJob::fingerprint: equal ones have the same, whatever the order of their keys.
std::string fingerprint_of(const json::object& request);

/// What a worker is told when it reports.
struct Standing {
  bool held = false;  // it still has the job; else it must drop the work at once and write nothing more
  bool cancel_requested = false;
  bool paused = false;  // it must put the job back, with its checkpoint
};

/// The queue: every accepted job, what became of it, and who works on it. Every change is one transaction, told on the bus
/// after it is on disk. Safe to share, between processes too where the database is a server; times are those of its clock.
/// Whatever takes an id throws Error{NotFound} when there is no such job.
class JobStore {
 public:
  JobStore(Database& database, EventBus& bus, QueueLimits limits = {});

  /// Accepts a job; on return it is on disk. A key that the owner has used before gives the job of then.
  /// @throws Error{Busy} when the queue is full, Error{InvalidArgument} when the key was used for another request
  Job submit(const NewJob& job);

  std::optional<Job> find(std::string_view id) const;
  /// Where a waiting job is in the queue, from 1, if nothing else happens; 0: it does not wait, or is paused.
  int64_t place(const Job& job) const;
  std::vector<int64_t> places(std::span<const Job> jobs) const;  // of many for little more than of one
  struct Query {
    std::string owner;             // empty: of all
    std::vector<JobState> states;  // empty: all
    std::string
        before;  // the id of the last job of the page before; of an ended job: ids older than this one
    int64_t limit = 100;  // at most 1000
  };
  /// The running, the waiting in the order of the queue, the paused, then the ended, newest first.
  std::vector<Job> list(const Query& query) const;
  struct Counts {
    int64_t queued = 0, running = 0, done = 0, failed = 0, cancelled = 0;
  };
  Counts counts() const;

  // What whoever sent it may do. All are no-ops on a job that has ended. @return the job as it is then
  /// A waiting job ends at once; of a running one its worker is told.
  Job cancel(std::string_view id);
  Job set_paused(std::string_view id, bool paused);
  /// @param priority  −100 to 100
  Job set_priority(std::string_view id, int64_t priority);
  /// Puts a waiting job in front of another of the same owner and priority, or behind all. Nothing when it runs already.
  /// @throws Error{InvalidArgument} when the other does not wait, or is of another owner or priority: those take turns
  Job move(std::string_view id, const std::string& before);
  void set_queue_paused(bool paused);
  bool queue_paused() const;

  // What a worker does. `job` is what claim() gave; where its attempt is not the last one, or the job does not run, a call
  // changes nothing. Blobs that were handed in then are left to PictureStore::purge: the job's new worker may have put
  // the same, so nobody may remove them at once.
  /// The next job for a worker: highest priority first, then the owner who was served longest ago, then the position.
  /// Where several claim at the same moment, an owner may come a turn early.
  std::optional<Job> claim(const std::string& worker, std::chrono::milliseconds lease);
  /// Prolongs the lease and tells the progress.
  Standing report(const Job& job, const JobProgress& progress, std::chrono::milliseconds lease);
  /// Adds blobs to the checkpoint, and clears the strikes.
  Standing save(const Job& job, std::span<const std::string> blobs);
  /// Forgets the checkpoint, which cannot be used: a blob of it is lost, or the model has changed.
  Standing drop_checkpoint(const Job& job);
  /// Hands in the pictures and ends the job, both or neither; also when it was to be cancelled. false: no longer held.
  bool finish(const Job& job, std::span<const NewPicture> pictures, std::span<const std::string> warnings);
  bool fail(const Job& job, const JobError& error);
  bool end_cancelled(const Job& job);
  /// To the queue, at its old position and with its checkpoint: paused, or the worker stops. One that was to be cancelled is.
  bool put_back(const Job& job);

  /// Gives back jobs whose lease is over, or all running ones where no other process can have any (SQLite at start). Those
  /// that were to be cancelled are; those with too many strikes have failed.
  /// @return how many
  int64_t recover(bool all = false);

  /// The latest rough picture of a running job, a JPEG of at most 32 kB; kept until it ends. With SQLite in memory only.
  void set_preview(const Job& job, std::string jpeg);
  std::optional<std::string> preview(std::string_view id) const;

 private:
  using Transaction = Database::Transaction;

  Job update(std::string_view id, const std::function<bool(Transaction&, const Job&)>& work);
  bool end(const Job& job, JobState state, const JobError& error,
           const std::function<void(Transaction&)>& also = {});
  std::vector<std::string> active(const Query& query) const;
  std::vector<std::string> ended(const Query& query, const std::string& before, size_t limit) const;
  void release_all(std::span<const NewPicture> pictures);
  void tell(const std::string& id, const std::string& owner, JobState state);

  Database& database_;
  EventBus& bus_;
  QueueLimits limits_;
  mutable std::mutex previews_lock_;
  std::map<std::string, std::string, std::less<>> previews_;  // with SQLite, whose only process this is
};

}  // namespace limn::server
