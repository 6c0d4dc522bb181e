// SPDX-License-Identifier: Apache-2.0
#include "limn/server/job_store.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/server/blob_store.h"
#include "limn/server/job_rows.h"
#include "limn/server/sql_values.h"
#include "limn/server/turns.h"

namespace limn::server {
namespace {

using Dialect = Database::Dialect;
using Transaction = Database::Transaction;

constexpr size_t kLongestName = 255;  // bytes of an owner or a key
constexpr int64_t kMostListed = 1000;
// Word for word the conditions of the indexes, which SQLite would not use else.
constexpr std::string_view kClaimable = "state = 'queued' AND paused = 0";
constexpr std::string_view kEnded = "state IN ('done', 'failed', 'cancelled')";

/// The same text for equal values, whatever the order of their keys.
std::string canonical(const json::value& value) {
  std::string out;
  if (const json::object* object = value.if_object()) {
    std::map<std::string_view, const json::value*> sorted;
    for (const auto& [key, item] : *object) sorted.emplace(std::string_view(key.data(), key.size()), &item);
    for (const auto& [key, item] : sorted)
      out += (out.empty() ? "{" : ",") + to_text(json::string_view(key.data(), key.size())) + ":" +
             canonical(*item);
    return (out.empty() ? "{" : out) + "}";
  }
  if (const json::array* array = value.if_array()) {
    for (const json::value& item : *array) out += (out.empty() ? "[" : ",") + canonical(item);
    return (out.empty() ? "[" : out) + "]";
  }
  return to_text(value);
}

void check(const NewJob& job) {
  if (job.owner.empty() || job.owner.size() > kLongestName)
    throw Error(ErrorCode::InvalidArgument, "owner",
                "expected 1 to " + std::to_string(kLongestName) + " bytes");
  if (job.key.size() > kLongestName)
    throw Error(ErrorCode::InvalidArgument, "Idempotency-Key",
                "expected at most " + std::to_string(kLongestName) + " bytes, found " +
                    std::to_string(job.key.size()));
}

void check_priority(int64_t priority) {
  if (priority < -100 || priority > 100)
    throw Error(ErrorCode::InvalidArgument, "priority",
                "expected -100 to 100, found " + std::to_string(priority));
}

/// The blobs that "input:SHA256" in a request stand for.
void collect_inputs(const json::value& value, std::vector<std::string>& blobs) {
  if (const json::string* text = value.if_string()) {
    const std::string_view name(text->data(), text->size());
    if (name.starts_with("input:") && is_blob_name(name.substr(6))) blobs.emplace_back(name.substr(6));
  } else if (const json::array* array = value.if_array()) {
    for (const json::value& item : *array) collect_inputs(item, blobs);
  } else if (const json::object* object = value.if_object()) {
    for (const auto& [key, item] : *object) collect_inputs(item, blobs);
  }
}

/// The id of the job that was accepted before: in an earlier try of this call, or with the same key.
std::optional<std::string> accepted_before(Transaction& transaction, const std::string& id, const NewJob& job,
                                           const std::string& fingerprint) {
  if (!transaction.run("SELECT 1 FROM jobs WHERE id = ?1", {id}).empty()) return id;
  if (job.key.empty()) return std::nullopt;
  const auto rows = transaction.run(
      "SELECT id, fingerprint FROM jobs WHERE owner = ?1 AND idempotency_key = ?2", {job.owner, job.key});
  if (rows.empty()) return std::nullopt;
  if (text_of(rows[0][1]) != fingerprint)
    throw Error(ErrorCode::InvalidArgument, "Idempotency-Key", "was used for another request",
                "use a new key for each request");
  return text_of(rows[0][0]);
}

void refuse_when_full(Transaction& transaction, const std::string& owner, const QueueLimits& limits) {
  const auto count = [&](const char* sql, std::vector<SqlValue> values) {
    return integer_of(transaction.run(sql, std::move(values)).at(0).at(0));
  };
  const int64_t all = count("SELECT count(*) FROM jobs WHERE state = 'queued'", {});
  const int64_t own = count("SELECT count(*) FROM jobs WHERE state = 'queued' AND owner = ?1", {owner});
  if (all < limits.waiting && own < limits.waiting_of_owner) return;
  throw Error(ErrorCode::Busy, "queue",
              own < limits.waiting_of_owner ? std::to_string(all) + " jobs wait already"
                                            : std::to_string(own) + " jobs of yours wait already",
              "try again when some are done");
}

/// @return false: another job has the id or the key
bool insert(Transaction& transaction, const std::string& id, const NewJob& job,
            const std::string& fingerprint) {
  transaction.run("INSERT INTO owners (name, last_served) VALUES (?1, 0) ON CONFLICT DO NOTHING",
                  {job.owner});
  transaction.run(
      "INSERT INTO jobs (id, owner, state, priority, position, request, origin, idempotency_key, "
      "fingerprint, warnings, created) VALUES (?1, ?2, 'queued', ?3, "
      "(SELECT coalesce(max(position), 0) + 1 FROM jobs WHERE state IN ('queued', 'running')), "
      "?4, ?5, ?6, ?7, ?8, limn_now()) ON CONFLICT DO NOTHING",
      {id, job.owner, job.priority, to_text(job.request), to_text(job.origin), text_or_null(job.key),
       fingerprint, text_of_strings(job.warnings)});
  if (transaction.changed() == 0) return false;
  std::vector<std::string> inputs;
  collect_inputs(job.request, inputs);
  for (const std::string& blob : inputs) {
    transaction.run("INSERT INTO job_inputs (job, blob) VALUES (?1, ?2) ON CONFLICT DO NOTHING", {id, blob});
    note_input(transaction, blob);
  }
  return true;
}

/// Positions 1, 2, 3 … in the same order, where there is no number left between two.
void spread_positions(Transaction& transaction) {
  transaction.run(
      "WITH numbered AS (SELECT id, row_number() OVER (ORDER BY position, id) AS number FROM jobs "
      "WHERE state IN ('queued', 'running')) "
      "UPDATE jobs SET position = numbered.number FROM numbered WHERE jobs.id = numbered.id");
}

/// A position between `other` and what stands before it, without counting `job`; nothing when none is left.
std::optional<double> position_before(Transaction& transaction, const Job& job, const std::string& other) {
  const auto rows = transaction.run("SELECT position FROM jobs WHERE id = ?1", {other});
  const double position = std::get<double>(rows.at(0).at(0));
  const auto previous = transaction.run(
      "SELECT position FROM jobs WHERE state = 'queued' AND owner = ?1 AND priority = ?2 AND id <> ?3 "
      "AND (position, id) < (?4, ?5) ORDER BY position DESC, id DESC LIMIT 1",
      {job.owner, job.priority, job.id, position, other});
  if (previous.empty()) return position - 1;
  const double before = std::get<double>(previous[0][0]), middle = before + (position - before) / 2;
  return before < middle && middle < position ? std::optional(middle) : std::nullopt;
}

void check_neighbour(Transaction& transaction, const Job& job, const std::string& other) {
  const auto rows = transaction.run("SELECT state, owner, priority FROM jobs WHERE id = ?1", {other});
  const auto refuse = [](const std::string& problem, const std::string& hint = {}) {
    throw Error(ErrorCode::InvalidArgument, "before", problem, hint);
  };
  if (rows.empty() || text_of(rows[0][1]) != job.owner) refuse("no job of the same owner '" + other + "'");
  if (text_of(rows[0][0]) != "queued") refuse("the job does not wait any more");
  if (integer_of(rows[0][2]) != job.priority)
    refuse("the job has another priority", "give this one the same priority first");
}

Turns read_turns(Database& database) {
  std::vector<Turns::Group> groups;
  for (const SqlRow& row : database.read("SELECT priority, owner, count(*), (SELECT last_served FROM owners "
                                         "WHERE name = owner) FROM jobs WHERE " +
                                         std::string(kClaimable) + " GROUP BY priority, owner"))
    groups.push_back({integer_of(row[0]), text_of(row[1]), integer_of(row[2]), integer_of(row[3])});
  return Turns(std::move(groups));
}

/// @param waiting  id, priority and owner; by priority, owner and position
std::vector<std::string> in_turn(const Turns& turns, const std::vector<SqlRow>& waiting) {
  std::map<std::pair<int64_t, std::string>, int64_t> ranks;
  std::vector<std::pair<int64_t, std::string>> placed;
  for (const SqlRow& row : waiting) {
    const std::pair group(integer_of(row[1]), text_of(row[2]));
    placed.emplace_back(turns.place(group.first, group.second, ++ranks[group]), text_of(row[0]));
  }
  std::ranges::sort(placed);
  std::vector<std::string> ids;
  for (auto& [place, id] : placed) ids.push_back(std::move(id));
  return ids;
}

std::vector<std::string> ids_of(const std::vector<SqlRow>& rows) {
  std::vector<std::string> ids;
  for (const SqlRow& row : rows) ids.push_back(text_of(row[0]));
  return ids;
}

bool wants(const JobStore::Query& query, JobState state) {
  return query.states.empty() || std::ranges::find(query.states, state) != query.states.end();
}

}  // namespace

std::string fingerprint_of(const json::object& request) {
  const std::string text = canonical(request);
  return sha256(std::as_bytes(std::span(text)));
}

JobStore::JobStore(Database& database, EventBus& bus, QueueLimits limits)
    : database_(database), bus_(bus), limits_(limits) {}

void JobStore::tell(const std::string& id, const std::string& owner, JobState state) {
  if (has_ended(state)) {
    const std::lock_guard guard(previews_lock_);
    previews_.erase(id);
  }
  bus_.publish({Event::Kind::State, id, owner});
  bus_.publish({Event::Kind::Queue, "", ""});
}

Job JobStore::submit(const NewJob& wanted) {
  check(wanted);
  check_priority(wanted.priority);
  const std::string id = new_id();
  const std::string fingerprint =
      wanted.fingerprint.empty() ? fingerprint_of(wanted.request) : wanted.fingerprint;
  Job job;
  database_.transact([&](Transaction& transaction) {
    std::optional<std::string> known = accepted_before(transaction, id, wanted, fingerprint);
    if (!known) {
      refuse_when_full(transaction, wanted.owner, limits_);
      if (!insert(transaction, id, wanted, fingerprint))
        known = accepted_before(transaction, id, wanted, fingerprint);
    }
    job = take_job(transaction, database_.dialect(), known.value_or(id));
  });
  if (job.id == id) tell(job.id, job.owner, job.state);
  return job;
}

std::optional<Job> JobStore::find(std::string_view id) const {
  const auto rows = database_.read(select_jobs(database_.dialect()) + " WHERE id = ?1", {std::string(id)});
  if (rows.empty()) return std::nullopt;
  return job_of(rows[0]);
}

int64_t JobStore::place(const Job& job) const { return places({&job, 1})[0]; }

std::vector<int64_t> JobStore::places(std::span<const Job> jobs) const {
  std::vector<int64_t> out;
  std::optional<Turns> turns;
  for (const Job& job : jobs) {
    out.push_back(0);
    if (job.state != JobState::Queued || job.paused) continue;
    if (!turns) turns = read_turns(database_);
    const auto rows = database_.read("SELECT count(*) FROM jobs WHERE " + std::string(kClaimable) +
                                         " AND priority = ?1 AND owner = ?2 AND (position, id) <= (?3, ?4)",
                                     {job.priority, job.owner, job.position, job.id});
    out.back() = turns->place(job.priority, job.owner, integer_of(rows.at(0).at(0)));
  }
  return out;
}

/// Ids of those that have not ended, in the order of list().
std::vector<std::string> JobStore::active(const Query& query) const {
  const std::string owner = query.owner.empty() ? "" : " AND owner = ?1";
  const std::vector<SqlValue> values =
      query.owner.empty() ? std::vector<SqlValue>() : std::vector<SqlValue>{query.owner};
  std::vector<std::string> ids;
  const auto add = [&](const std::string& sql) {
    for (std::string& id : ids_of(database_.read(sql, values))) ids.push_back(std::move(id));
  };
  if (wants(query, JobState::Running))
    add("SELECT id FROM jobs WHERE state = 'running'" + owner + " ORDER BY started, id");
  if (!wants(query, JobState::Queued)) return ids;
  const auto waiting =
      database_.read("SELECT id, priority, owner FROM jobs WHERE " + std::string(kClaimable) + owner +
                         " ORDER BY priority, owner, position, id",
                     values);
  for (std::string& id : in_turn(read_turns(database_), waiting)) ids.push_back(std::move(id));
  add("SELECT id FROM jobs WHERE state = 'queued' AND paused = 1" + owner +
      " ORDER BY priority DESC, position, id");
  return ids;
}

/// Ids of those that have ended, newest first. @param before  only ids under this one; empty: all
std::vector<std::string> JobStore::ended(const Query& query, const std::string& before, size_t limit) const {
  if (limit == 0) return {};
  std::string sql = "SELECT id FROM jobs WHERE state = ?1 AND " + std::string(kEnded);
  std::vector<SqlValue> values = {SqlValue(), static_cast<int64_t>(limit)};
  const auto add = [&](const char* condition, const std::string& value) {
    if (value.empty()) return;
    values.emplace_back(value);
    sql += condition + std::to_string(values.size());
  };
  add(" AND owner = ?", query.owner);
  add(" AND id < ?", before);
  sql += " ORDER BY id DESC LIMIT ?2";
  std::vector<std::string> ids;
  for (JobState state : {JobState::Done, JobState::Failed, JobState::Cancelled}) {
    if (!wants(query, state)) continue;
    values[0] = std::string(name_of(state));
    for (std::string& id : ids_of(database_.read(sql, values))) ids.push_back(std::move(id));
  }
  std::ranges::sort(ids, std::greater());
  ids.resize(std::min(ids.size(), limit));
  return ids;
}

std::vector<Job> JobStore::list(const Query& query) const {
  const auto limit = static_cast<size_t>(std::clamp<int64_t>(query.limit, 1, kMostListed));
  std::vector<std::string> ids = active(query);
  std::string before;
  if (!query.before.empty()) {
    const auto last = std::ranges::find(ids, query.before);
    if (last == ids.end()) before = query.before;
    ids.erase(ids.begin(), last == ids.end() ? last : last + 1);
  }
  ids.resize(std::min(ids.size(), limit));
  for (std::string& id : ended(query, before, limit - ids.size())) ids.push_back(std::move(id));
  if (ids.empty()) return {};
  const auto rows =
      database_.read(select_jobs(database_.dialect()) + " WHERE id IN (" + placeholders(1, ids.size()) + ")",
                     std::vector<SqlValue>(ids.begin(), ids.end()));
  std::unordered_map<std::string, Job> found;
  for (const SqlRow& row : rows) found.emplace(text_of(row[0]), job_of(row));
  std::vector<Job> jobs;
  for (const std::string& id : ids)
    if (const auto job = found.find(id); job != found.end() && wants(query, job->second.state))
      jobs.push_back(std::move(job->second));
  return jobs;
}

JobStore::Counts JobStore::counts() const {
  std::map<std::string, int64_t> of;
  for (const SqlRow& row :
       database_.read("SELECT 'queued', count(*) FROM jobs WHERE state = 'queued' UNION ALL "
                      "SELECT 'running', count(*) FROM jobs WHERE state = 'running' UNION ALL "
                      "SELECT state, count(*) FROM jobs WHERE " +
                      std::string(kEnded) + " GROUP BY state"))
    of[text_of(row[0])] = integer_of(row[1]);
  return {of["queued"], of["running"], of["done"], of["failed"], of["cancelled"]};
}

Job JobStore::update(std::string_view id, const std::function<bool(Transaction&, const Job&)>& work) {
  Job job;
  bool changed = false;
  database_.transact([&](Transaction& transaction) {
    job = take_job(transaction, database_.dialect(), id);
    if (has_ended(job.state) || !work(transaction, job)) return;
    changed = true;
    job = take_job(transaction, database_.dialect(), id);
  });
  if (changed) tell(job.id, job.owner, job.state);
  return job;
}

Job JobStore::cancel(std::string_view id) {
  return update(id, [&](Transaction& transaction, const Job& job) {
    if (job.state == JobState::Running) {
      transaction.run("UPDATE jobs SET cancel_requested = 1 WHERE id = ?1", {job.id});
      return !job.cancel_requested;
    }
    transaction.run(
        "UPDATE jobs SET state = 'cancelled', cancel_requested = 1, paused = 0, ended = limn_now() WHERE id "
        "= ?1",
        {job.id});
    drop_work(transaction, database_.dialect(), job.id);
    return true;
  });
}

Job JobStore::set_paused(std::string_view id, bool paused) {
  return update(id, [&](Transaction& transaction, const Job& job) {
    transaction.run("UPDATE jobs SET paused = ?2 WHERE id = ?1", {job.id, int64_t{paused}});
    return job.paused != paused;
  });
}

Job JobStore::set_priority(std::string_view id, int64_t priority) {
  check_priority(priority);
  return update(id, [&](Transaction& transaction, const Job& job) {
    transaction.run("UPDATE jobs SET priority = ?2 WHERE id = ?1", {job.id, priority});
    return job.priority != priority;
  });
}

Job JobStore::move(std::string_view id, const std::string& before) {
  return update(id, [&](Transaction& transaction, const Job& job) {
    if (job.state != JobState::Queued || before == job.id) return false;
    if (before.empty()) {
      transaction.run(
          "UPDATE jobs SET position = (SELECT max(position) + 1 FROM jobs WHERE state IN ('queued', "
          "'running')) "
          "WHERE id = ?1",
          {job.id});
      return true;
    }
    check_neighbour(transaction, job, before);
    std::optional<double> position = position_before(transaction, job, before);
    if (!position) {
      spread_positions(transaction);
      position = position_before(transaction, job, before);
    }
    transaction.run("UPDATE jobs SET position = ?2 WHERE id = ?1", {job.id, position.value()});
    return true;
  });
}

void JobStore::set_queue_paused(bool paused) {
  database_.transact(
      [&](Transaction& transaction) { transaction.run("UPDATE queue SET paused = ?1", {int64_t{paused}}); });
  bus_.publish({Event::Kind::Queue, "", ""});
}

bool JobStore::queue_paused() const {
  return integer_of(database_.read("SELECT paused FROM queue").at(0).at(0)) != 0;
}

}  // namespace limn::server
