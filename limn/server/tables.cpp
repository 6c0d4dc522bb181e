// SPDX-License-Identifier: Apache-2.0
#include "limn/server/tables.h"

#include <optional>

#include "limn/base/error.h"
#include "limn/server/dialects.h"
#include "limn/server/sql_values.h"

namespace limn::server {
namespace {

using Dialect = Database::Dialect;

struct Statement {
  std::string_view sql;                        // names of types in braces: see kTypes
  std::optional<Dialect> only = std::nullopt;  // where the other needs nothing, or something else
};

// Times are milliseconds since 1970 and truths 0 or 1, in integers.
constexpr Statement kFirst[] = {
    {R"(CREATE FUNCTION limn_now() RETURNS BIGINT LANGUAGE SQL STABLE
        AS 'SELECT (extract(epoch FROM statement_timestamp()) * 1000)::bigint')",
     Dialect::Postgres},

    {R"(CREATE TABLE queue (
          only_row {integer} NOT NULL PRIMARY KEY CHECK (only_row = 1),
          paused {integer} NOT NULL) {strict})"},
    {"INSERT INTO queue VALUES (1, 0)"},

    // Whose turn it is: last_served counts claims.
    {R"(CREATE TABLE owners (
          name {text} NOT NULL PRIMARY KEY,
          last_served {integer} NOT NULL) {strict})"},
    {"CREATE INDEX owners_turn ON owners (last_served, name)"},

    {R"(CREATE TABLE jobs (
          id {text} NOT NULL PRIMARY KEY,
          owner {text} NOT NULL,
          state {text} NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
          paused {integer} NOT NULL DEFAULT 0,
          priority {integer} NOT NULL,
          position {real} NOT NULL,
          request {text} NOT NULL,
          origin {text} NOT NULL,
          idempotency_key {text},
          fingerprint {text} NOT NULL,
          attempt {integer} NOT NULL DEFAULT 0,
          strikes {integer} NOT NULL DEFAULT 0,
          worker {text},
          lease_until {integer},
          cancel_requested {integer} NOT NULL DEFAULT 0,
          stage {text} NOT NULL DEFAULT '',
          done {integer} NOT NULL DEFAULT 0,
          total {integer} NOT NULL DEFAULT 0,
          seconds_left {real},
          error {text},
          warnings {text} NOT NULL,
          created {integer} NOT NULL,
          started {integer},
          ended {integer}) {strict})"},
    {"CREATE UNIQUE INDEX jobs_key ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL"},
    {R"(CREATE INDEX jobs_turn ON jobs (priority, owner, position, id)
        WHERE state = 'queued' AND paused = 0)"},
    {"CREATE INDEX jobs_waiting ON jobs (owner) WHERE state = 'queued'"},
    {"CREATE INDEX jobs_position ON jobs (position) WHERE state IN ('queued', 'running')"},
    {"CREATE INDEX jobs_lease ON jobs (lease_until) WHERE state = 'running'"},
    // None over all states: without statistics SQLite would prefer it to those above, and sort the whole queue.
    {"CREATE INDEX jobs_ended ON jobs (state, id) WHERE state IN ('done', 'failed', 'cancelled')"},
    {R"(CREATE INDEX jobs_ended_of_owner ON jobs (owner, state, id)
        WHERE state IN ('done', 'failed', 'cancelled'))"},

    // What the model answered, call by call; `saved` is one call of JobStore::save.
    {R"(CREATE TABLE checkpoints (
          job {text} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
          attempt {integer} NOT NULL,
          saved {text} NOT NULL,
          number {integer} NOT NULL,
          blob {text} NOT NULL,
          PRIMARY KEY (job, attempt, saved, number)) {keyed})"},
    {"CREATE INDEX checkpoints_blob ON checkpoints (blob)"},

    {R"(CREATE TABLE job_inputs (
          job {text} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
          blob {text} NOT NULL,
          PRIMARY KEY (job, blob)) {keyed})"},
    {"CREATE INDEX job_inputs_blob ON job_inputs (blob)"},

    // Of an owner each picture once, whatever jobs made it; `number` rises with time.
    {R"(CREATE TABLE pictures (
          number {serial},
          id {text} NOT NULL,
          owner {text} NOT NULL,
          job {text} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
          job_number {integer} NOT NULL,
          format {text} NOT NULL,
          thumbnail {text} NOT NULL,
          width {integer} NOT NULL,
          height {integer} NOT NULL,
          bytes {integer} NOT NULL,
          record {text} NOT NULL,
          rating {integer} NOT NULL DEFAULT 0,
          created {integer} NOT NULL,
          deleted {integer},
          UNIQUE (id, owner)) {strict})"},
    {"CREATE INDEX pictures_gallery ON pictures (owner, number) WHERE deleted IS NULL"},
    {"CREATE INDEX pictures_bin ON pictures (deleted) WHERE deleted IS NOT NULL"},
    {"CREATE INDEX pictures_job ON pictures (job)"},
    {"CREATE INDEX pictures_thumbnail ON pictures (thumbnail)"},

    {R"(CREATE TABLE job_pictures (
          job {text} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
          number {integer} NOT NULL,
          picture {integer} NOT NULL REFERENCES pictures (number) ON DELETE CASCADE,
          PRIMARY KEY (job, number)) {keyed})"},
    {"CREATE INDEX job_pictures_picture ON job_pictures (picture)"},

    {R"(CREATE TABLE picture_tags (
          picture {integer} NOT NULL REFERENCES pictures (number) ON DELETE CASCADE,
          tag {text} NOT NULL,
          PRIMARY KEY (tag, picture)) {keyed})"},
    {"CREATE INDEX picture_tags_picture ON picture_tags (picture, tag)"},

    // Words are made by words_of(), so that both find the same: neither may cut or change them.
    {"CREATE VIRTUAL TABLE picture_words USING fts5 (words, tokenize = 'ascii')", Dialect::Sqlite},
    {R"(CREATE TABLE picture_words (
          rowid BIGINT NOT NULL PRIMARY KEY,
          words TEXT NOT NULL,
          vector TSVECTOR GENERATED ALWAYS AS (array_to_tsvector(string_to_array(words, ' '))) STORED))",
     Dialect::Postgres},
    {"CREATE INDEX picture_words_vector ON picture_words USING gin (vector)", Dialect::Postgres},

    // Blobs that lost someone who needed them, and may be needed by nobody.
    {R"(CREATE TABLE released (
          blob {text} NOT NULL PRIMARY KEY,
          since {integer} NOT NULL) {keyed})"},
    {"CREATE INDEX released_since ON released (since)"},

    // Only for other processes to look at, and not worth keeping when the server crashes.
    {"CREATE UNLOGGED TABLE previews (job TEXT NOT NULL PRIMARY KEY, jpeg BYTEA NOT NULL)",
     Dialect::Postgres},
};

constexpr Statement kSecond[] = {
    // Servers made one of their own before.
    {"DROP TABLE IF EXISTS sessions"},
    {R"(CREATE TABLE sessions (
          token {text} NOT NULL PRIMARY KEY,
          key_sha256 {text} NOT NULL,
          ends {integer} NOT NULL) {keyed})"},

    // Blobs that clients sent or named for pictures to start from, and when last.
    {R"(CREATE TABLE inputs (
          blob {text} NOT NULL PRIMARY KEY,
          since {integer} NOT NULL) {keyed})"},
    {"CREATE INDEX inputs_since ON inputs (since)"},
    {"INSERT INTO inputs (blob, since) SELECT DISTINCT blob, limn_now() FROM job_inputs"},
};

struct Migration {
  int64_t number;
  std::span<const Statement> statements;
};

// Never change one that was released: add another.
constexpr Migration kMigrations[] = {{1, kFirst}, {2, kSecond}};

struct TypeName {
  std::string_view name, sqlite, postgres;
};
// "C": text is ordered by its bytes, as in SQLite, whatever the language of the server.
constexpr TypeName kTypes[] = {
    {"{integer}", "INTEGER", "BIGINT"},
    {"{real}", "REAL", "DOUBLE PRECISION"},
    {"{text}", "TEXT", "TEXT COLLATE \"C\""},
    {"{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"},
    {"{strict}", "STRICT", ""},
    {"{keyed}", "STRICT, WITHOUT ROWID", ""},
};

std::string in_dialect(std::string_view sql, Dialect dialect) {
  std::string out(sql);
  for (const TypeName& type : kTypes) {
    const std::string_view name = dialect == Dialect::Sqlite ? type.sqlite : type.postgres;
    for (size_t at = 0; (at = out.find(type.name, at)) != std::string::npos; at += name.size())
      out.replace(at, type.name.size(), name);
  }
  return out;
}

void migrate(Database::Transaction& transaction, Dialect dialect) {
  if (dialect == Dialect::Postgres) transaction.run("SELECT pg_advisory_xact_lock(7016995446)");
  transaction.run(
      in_dialect("CREATE TABLE IF NOT EXISTS migrations (number {integer} NOT NULL PRIMARY KEY, "
                 "applied {integer} NOT NULL) {strict}",
                 dialect));
  const int64_t last =
      integer_of(transaction.run("SELECT coalesce(max(number), 0) FROM migrations").at(0).at(0));
  if (last > std::end(kMigrations)[-1].number)
    throw Error(ErrorCode::Unsupported, "database",
                "its tables are of format " + std::to_string(last) + ", this limn knows " +
                    std::to_string(std::end(kMigrations)[-1].number),
                "a newer limn has used it; update this one");
  for (const Migration& migration : kMigrations) {
    if (migration.number <= last) continue;
    for (const Statement& statement : migration.statements)
      if (statement.only.value_or(dialect) == dialect) transaction.run(in_dialect(statement.sql, dialect));
    transaction.run("INSERT INTO migrations VALUES (?1, limn_now())", {migration.number});
  }
}

}  // namespace

void prepare_tables(Database& database) {
  database.transact([&](Database::Transaction& transaction) { migrate(transaction, database.dialect()); });
}

std::unique_ptr<Database> open_database(const std::string& where) {
  const bool server = where.starts_with("postgresql://") || where.starts_with("postgres://");
  std::unique_ptr<Database> database = server ? open_postgres(where) : open_sqlite(where);
  prepare_tables(*database);
  return database;
}

}  // namespace limn::server
