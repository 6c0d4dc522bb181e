// SPDX-License-Identifier: Apache-2.0
#include "limn/server/job_rows.h"

#include "limn/base/error.h"
#include "limn/server/sql_values.h"

namespace limn::server {
namespace {

using Dialect = Database::Dialect;

std::string make_select(Dialect dialect) {
  const std::string checkpoint = joined(
      dialect, "blob",
      "SELECT blob FROM checkpoints WHERE checkpoints.job = jobs.id ORDER BY attempt, saved, number", "','");
  const std::string pictures =
      joined(dialect, "id",
             "SELECT pictures.id FROM job_pictures JOIN pictures ON pictures.number = "
             "job_pictures.picture WHERE job_pictures.job = jobs.id "
             "ORDER BY job_pictures.number",
             "','");
  return "SELECT id, owner, state, paused, priority, position, request, origin, idempotency_key, attempt, "
         "strikes, worker, lease_until, cancel_requested, stage, done, total, seconds_left, " +
         checkpoint + ", error, warnings, " + pictures + ", created, started, ended FROM jobs";
}

JobError error_of(const SqlValue& value) {
  if (std::holds_alternative<std::monostate>(value)) return {};
  const json::value error = parse_json(text_of(value), "database");
  const Fields fields(error.as_object(), "database");
  return {fields.string("code", ""), fields.string("where", ""), fields.string("message", ""),
          fields.string("hint", "")};
}

json::object object_of(const SqlValue& value) {
  return std::move(parse_json(text_of(value), "database").as_object());
}

}  // namespace

const std::string& select_jobs(Dialect dialect) {
  static const std::string kSqlite = make_select(Dialect::Sqlite), kPostgres = make_select(Dialect::Postgres);
  return dialect == Dialect::Sqlite ? kSqlite : kPostgres;
}

Job job_of(const SqlRow& row) {
  auto column = row.begin();
  const auto next = [&]() -> const SqlValue& { return *column++; };
  Job job;
  job.id = text_of(next());
  job.owner = text_of(next());
  job.state = job_state_of(text_of(next())).value();
  job.paused = integer_of(next()) != 0;
  job.priority = integer_of(next());
  job.position = std::get<double>(next());
  job.request = object_of(next());
  job.origin = object_of(next());
  job.key = text_of(next());
  job.attempt = integer_of(next());
  job.strikes = integer_of(next());
  job.worker = text_of(next());
  job.lease_until = time_of(next());
  job.cancel_requested = integer_of(next()) != 0;
  job.progress.stage = text_of(next());
  job.progress.done = integer_of(next());
  job.progress.total = integer_of(next());
  job.progress.seconds_left = real_of(next());
  job.checkpoint = list_of(next(), ',');
  job.error = error_of(next());
  job.warnings = strings_of(next());
  job.pictures = list_of(next(), ',');
  job.created = time_of(next()).value();
  job.started = time_of(next());
  job.ended = time_of(next());
  return job;
}

Job take_job(Database::Transaction& transaction, Dialect dialect, std::string_view id) {
  const char* lock = dialect == Dialect::Postgres ? " FOR UPDATE" : "";
  const auto rows = transaction.run(select_jobs(dialect) + " WHERE id = ?1" + lock, {std::string(id)});
  if (rows.empty()) throw Error(ErrorCode::NotFound, "job", "no job '" + std::string(id) + "'");
  return job_of(rows[0]);
}

void release(Database::Transaction& transaction, const std::string& blob) {
  if (blob.empty()) return;
  transaction.run(
      "INSERT INTO released (blob, since) VALUES (?1, limn_now()) "
      "ON CONFLICT (blob) DO UPDATE SET since = excluded.since",
      {blob});
}

void note_input(Database::Transaction& transaction, const std::string& blob) {
  transaction.run(
      "INSERT INTO inputs (blob, since) VALUES (?1, limn_now()) "
      "ON CONFLICT (blob) DO UPDATE SET since = excluded.since",
      {blob});
}

void drop_checkpoint(Database::Transaction& transaction, const std::string& id) {
  for (const SqlRow& row : transaction.run("DELETE FROM checkpoints WHERE job = ?1 RETURNING blob", {id}))
    release(transaction, text_of(row[0]));
}

void drop_work(Database::Transaction& transaction, Dialect dialect, const std::string& id) {
  drop_checkpoint(transaction, id);
  if (dialect == Dialect::Postgres) transaction.run("DELETE FROM previews WHERE job = ?1", {id});
}

SqlValue value_of(const JobError& error) {
  if (error.code.empty()) return {};
  return to_text(json::object{
      {"code", error.code}, {"where", error.where}, {"message", error.message}, {"hint", error.hint}});
}

}  // namespace limn::server
