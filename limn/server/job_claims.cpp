// SPDX-License-Identifier: Apache-2.0
// The half of JobStore that workers use.
#include <algorithm>

#include "limn/base/error.h"
#include "limn/server/job_rows.h"
#include "limn/server/job_store.h"
#include "limn/server/picture_store.h"
#include "limn/server/sql_values.h"

namespace limn::server {
namespace {

using Dialect = Database::Dialect;
using Transaction = Database::Transaction;

constexpr size_t kMostPreview = 32 * 1024;
constexpr int kMostTries = 20;

/// What keeps a worker that lost its job from writing: ?1 is the id, ?2 the attempt.
const std::string kHeld = " WHERE id = ?1 AND attempt = ?2 AND state = 'running'";

Standing standing_of(const std::vector<SqlRow>& rows) {
  if (rows.empty()) return {};
  return {true, integer_of(rows[0][0]) != 0, integer_of(rows[0][1]) != 0};
}

/// One row of `sql`, which is to be left to this transaction; nothing when there is none that no other has.
std::optional<SqlRow> take_free(Transaction& transaction, Dialect dialect, std::string sql,
                                std::vector<SqlValue> values) {
  if (dialect == Dialect::Postgres) sql += " FOR UPDATE SKIP LOCKED";
  auto rows = transaction.run(sql, std::move(values));
  if (rows.empty()) return std::nullopt;
  return std::move(rows[0]);
}

// A look for each owner until one has a job; with EXISTS, PostgreSQL would read all jobs of the priority.
constexpr const char* kOwnerToServe =
    "SELECT name FROM owners WHERE (SELECT 1 FROM jobs WHERE state = 'queued' AND paused = 0 "
    "AND priority = ?1 AND owner = owners.name LIMIT 1) = 1 ORDER BY last_served, name LIMIT 1";
constexpr const char* kJobOfOwner =
    "SELECT id FROM jobs WHERE state = 'queued' AND paused = 0 AND priority = ?1 AND owner = ?2 "
    "ORDER BY position, id LIMIT 1";

/// The id of the next job and its owner, both taken. An owner whom another claim serves right now has had its turn, so the
/// next one comes; where there is no other, it is waited for.
std::optional<std::pair<std::string, std::string>> take_next(Transaction& transaction, Dialect dialect) {
  for (int i = 0; i < kMostTries; ++i) {
    const auto highest = transaction.run(
        "SELECT priority FROM jobs WHERE state = 'queued' AND paused = 0 ORDER BY priority DESC LIMIT 1");
    if (highest.empty()) return std::nullopt;
    auto owner = take_free(transaction, dialect, kOwnerToServe, {highest[0][0]});
    if (!owner) {
      transaction.run(std::string(kOwnerToServe) + " FOR UPDATE", {highest[0][0]});
      owner = take_free(transaction, dialect, kOwnerToServe, {highest[0][0]});
    }
    if (!owner) continue;
    const auto job = take_free(transaction, dialect, kJobOfOwner, {highest[0][0], (*owner)[0]});
    if (job) return std::pair(text_of((*job)[0]), text_of((*owner)[0]));
  }
  return std::nullopt;
}

JobError lost_too_often(int64_t strikes) {
  return {"internal", "worker",
          "the worker was lost " + std::to_string(strikes) + " times in a row without getting further",
          "the request may need more memory than there is"};
}

}  // namespace

std::optional<Job> JobStore::claim(const std::string& worker, std::chrono::milliseconds lease) {
  // Whoever asks while nothing waits must not be in the way of those who write.
  const auto open = database_.read(
      "SELECT 1 FROM queue WHERE paused = 0 AND EXISTS (SELECT 1 FROM jobs WHERE state = 'queued' AND paused "
      "= 0)");
  if (open.empty()) return std::nullopt;
  std::optional<Job> job;
  database_.transact([&](Transaction& transaction) {
    job.reset();
    if (integer_of(transaction.run("SELECT paused FROM queue").at(0).at(0)) != 0) return;
    const auto next = take_next(transaction, database_.dialect());
    if (!next) return;
    transaction.run(
        "UPDATE owners SET last_served = (SELECT max(last_served) + 1 FROM owners) WHERE name = ?1",
        {next->second});
    transaction.run(
        "UPDATE jobs SET state = 'running', attempt = attempt + 1, worker = ?2, lease_until = limn_now() + "
        "?3, "
        "started = coalesce(started, limn_now()), stage = '', done = 0, total = 0, seconds_left = NULL WHERE "
        "id = ?1",
        {next->first, worker, int64_t{lease.count()}});
    job = take_job(transaction, database_.dialect(), next->first);
  });
  if (job) tell(job->id, job->owner, job->state);
  return job;
}

Standing JobStore::report(const Job& job, const JobProgress& progress, std::chrono::milliseconds lease) {
  Standing standing;
  database_.transact([&](Transaction& transaction) {
    standing =
        standing_of(transaction.run("UPDATE jobs SET lease_until = limn_now() + ?3, stage = ?4, done = ?5, "
                                    "total = ?6, seconds_left = ?7" +
                                        kHeld + " RETURNING cancel_requested, paused",
                                    {job.id, job.attempt, int64_t{lease.count()}, progress.stage,
                                     progress.done, progress.total, real_or_null(progress.seconds_left)}));
  });
  if (standing.held) bus_.publish({Event::Kind::Progress, job.id, job.owner});
  return standing;
}

Standing JobStore::save(const Job& job, std::span<const std::string> blobs) {
  const std::string saved = new_id();
  Standing standing;
  database_.transact([&](Transaction& transaction) {
    standing =
        standing_of(transaction.run("UPDATE jobs SET strikes = CASE ?3 WHEN 0 THEN strikes ELSE 0 END" +
                                        kHeld + " RETURNING cancel_requested, paused",
                                    {job.id, job.attempt, static_cast<int64_t>(blobs.size())}));
    if (!standing.held)
      for (const std::string& blob : blobs) release(transaction, blob);
    for (size_t i = 0; i < blobs.size() && standing.held; ++i)
      transaction.run(
          "INSERT INTO checkpoints (job, attempt, saved, number, blob) VALUES (?1, ?2, ?3, ?4, ?5) "
          "ON CONFLICT DO NOTHING",
          {job.id, job.attempt, saved, static_cast<int64_t>(i), blobs[i]});
  });
  return standing;
}

Standing JobStore::drop_checkpoint(const Job& job) {
  Standing standing;
  database_.transact([&](Transaction& transaction) {
    standing = standing_of(transaction.run(
        "UPDATE jobs SET stage = ''" + kHeld + " RETURNING cancel_requested, paused", {job.id, job.attempt}));
    if (standing.held) server::drop_checkpoint(transaction, job.id);
  });
  return standing;
}

bool JobStore::end(const Job& job, JobState state, const JobError& error,
                   const std::function<void(Transaction&)>& also) {
  bool held = false, tried = false;
  database_.transact([&](Transaction& transaction) {
    const std::vector<SqlValue> end = {job.id, job.attempt, std::string(name_of(state))};
    transaction.run(
        "UPDATE jobs SET state = ?3, error = ?4, paused = 0, ended = limn_now(), lease_until = NULL" + kHeld,
        {end[0], end[1], end[2], value_of(error)});
    held = transaction.changed() > 0;
    if (!held && tried)  // that it was committed, the lost connection did not tell
      held =
          !transaction.run("SELECT 1 FROM jobs WHERE id = ?1 AND attempt = ?2 AND state = ?3", end).empty();
    else if (held) {
      if (also) also(transaction);
      drop_work(transaction, database_.dialect(), job.id);
    }
    tried = true;
  });
  if (held) tell(job.id, job.owner, state);
  return held;
}

bool JobStore::finish(const Job& job, std::span<const NewPicture> pictures,
                      std::span<const std::string> warnings) {
  const bool held = end(job, JobState::Done, {}, [&](Transaction& transaction) {
    std::vector<std::string> all = job.warnings;
    for (const std::string& warning : warnings)
      if (std::ranges::find(all, warning) == all.end()) all.push_back(warning);
    transaction.run("UPDATE jobs SET warnings = ?2 WHERE id = ?1", {job.id, text_of_strings(all)});
    for (size_t i = 0; i < pictures.size(); ++i)
      add_picture(transaction, job, static_cast<int64_t>(i), pictures[i]);
  });
  if (!held) release_all(pictures);
  if (held && !pictures.empty()) bus_.publish({Event::Kind::Gallery, "", job.owner});
  return held;
}

void JobStore::release_all(std::span<const NewPicture> pictures) {
  database_.transact([&](Transaction& transaction) {
    for (const NewPicture& picture : pictures) {
      release(transaction, picture.id);
      release(transaction, picture.thumbnail);
    }
  });
}

bool JobStore::fail(const Job& job, const JobError& error) { return end(job, JobState::Failed, error); }

bool JobStore::end_cancelled(const Job& job) { return end(job, JobState::Cancelled, {}); }

bool JobStore::put_back(const Job& job) {
  std::optional<JobState> state;
  database_.transact([&](Transaction& transaction) {
    const auto rows = transaction.run(
        "UPDATE jobs SET state = CASE cancel_requested WHEN 1 THEN 'cancelled' ELSE 'queued' END, "
        "ended = CASE cancel_requested WHEN 1 THEN limn_now() END, lease_until = NULL" +
            kHeld + " RETURNING state",
        {job.id, job.attempt});
    if (rows.empty()) return;
    state = job_state_of(text_of(rows[0][0]));
    if (state == JobState::Cancelled) drop_work(transaction, database_.dialect(), job.id);
  });
  if (state) tell(job.id, job.owner, *state);
  return state.has_value();
}

int64_t JobStore::recover(bool all) {
  struct Recovered {
    std::string id, owner;
    JobState state;
  };
  std::vector<Recovered> recovered;
  const auto give_back = [&](Transaction& transaction, const SqlRow& row) {
    const int64_t strikes = integer_of(row[3]) + 1;
    const bool cancelled = integer_of(row[2]) != 0, failed = !cancelled && strikes >= limits_.strikes;
    const JobState state = cancelled ? JobState::Cancelled : failed ? JobState::Failed : JobState::Queued;
    recovered.push_back({text_of(row[0]), text_of(row[1]), state});
    transaction.run(
        "UPDATE jobs SET state = ?2, strikes = ?3, error = ?4, lease_until = NULL, "
        "ended = CASE ?2 WHEN 'queued' THEN NULL ELSE limn_now() END WHERE id = ?1",
        {row[0], std::string(name_of(state)), strikes,
         value_of(failed ? lost_too_often(strikes) : JobError())});
    if (has_ended(state)) drop_work(transaction, database_.dialect(), recovered.back().id);
  };
  std::string sql = "SELECT id, owner, cancel_requested, strikes FROM jobs WHERE state = 'running'";
  if (!all) sql += " AND lease_until < limn_now()";
  if (database_.read(sql).empty()) return 0;
  if (database_.dialect() == Dialect::Postgres) sql += " FOR UPDATE SKIP LOCKED";
  database_.transact([&](Transaction& transaction) {
    recovered.clear();
    for (const SqlRow& row : transaction.run(sql)) give_back(transaction, row);
  });
  for (const Recovered& job : recovered) tell(job.id, job.owner, job.state);
  return static_cast<int64_t>(recovered.size());
}

void JobStore::set_preview(const Job& job, std::string jpeg) {
  if (jpeg.size() > kMostPreview)
    throw Error(
        ErrorCode::InvalidArgument, "preview",
        "has " + std::to_string(jpeg.size()) + " bytes, the limit is " + std::to_string(kMostPreview));
  bool held = false;
  if (database_.dialect() == Dialect::Sqlite) {
    const std::lock_guard guard(previews_lock_);  // so that it cannot end between the question and the answer
    held = !database_.read("SELECT 1 FROM jobs" + kHeld, {job.id, job.attempt}).empty();
    if (held) previews_[job.id] = std::move(jpeg);
  } else {
    database_.transact([&](Transaction& transaction) {
      transaction.run("INSERT INTO previews (job, jpeg) SELECT id, ?3 FROM jobs" + kHeld +
                          " FOR SHARE ON CONFLICT (job) DO UPDATE SET jpeg = excluded.jpeg",
                      {job.id, job.attempt, Blob{jpeg}});
      held = transaction.changed() > 0;
    });
  }
  if (held) bus_.publish({Event::Kind::Preview, job.id, job.owner});
}

std::optional<std::string> JobStore::preview(std::string_view id) const {
  if (database_.dialect() == Dialect::Sqlite) {
    const std::lock_guard guard(previews_lock_);
    const auto found = previews_.find(id);
    return found == previews_.end() ? std::nullopt : std::optional(found->second);
  }
  const auto rows = database_.read("SELECT jpeg FROM previews WHERE job = ?1", {std::string(id)});
  if (rows.empty()) return std::nullopt;
  return std::get<Blob>(rows[0][0]).bytes;
}

}  // namespace limn::server
