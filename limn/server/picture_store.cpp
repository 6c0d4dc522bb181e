// SPDX-License-Identifier: Apache-2.0
#include "limn/server/picture_store.h"

#include <algorithm>
#include <set>

#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "limn/base/error.h"
#include "limn/server/job_rows.h"
#include "limn/server/job_store.h"
#include "limn/server/sql_values.h"
#include "limn/server/words.h"

namespace limn::server {
namespace {

using Dialect = Database::Dialect;
using Transaction = Database::Transaction;

constexpr size_t kMostTags = 64;
constexpr int32_t kLongestTag = 64;
constexpr int64_t kMostListed = 1000;
constexpr char kBetweenTags = '\x1f';  // a control character, which no tag holds

std::string select_pictures(Dialect dialect) {
  return "SELECT id, job, owner, format, thumbnail, job_number, width, height, bytes, record, " +
         joined(dialect, "tag", "SELECT tag FROM picture_tags WHERE picture = pictures.number ORDER BY tag",
                std::string("'") + kBetweenTags + "'") +
         ", rating, created, deleted FROM pictures";
}

GalleryPicture picture_of(const SqlRow& row) {
  auto column = row.begin();
  const auto next = [&]() -> const SqlValue& { return *column++; };
  GalleryPicture picture;
  picture.id = text_of(next());
  picture.job = text_of(next());
  picture.owner = text_of(next());
  picture.format = text_of(next());
  picture.thumbnail = text_of(next());
  picture.index = integer_of(next());
  picture.width = integer_of(next());
  picture.height = integer_of(next());
  picture.bytes = integer_of(next());
  picture.record = std::move(parse_json(text_of(next()), "database").as_object());
  picture.tags = list_of(next(), kBetweenTags);
  picture.rating = integer_of(next());
  picture.created = time_of(next()).value();
  picture.deleted = time_of(next());
  return picture;
}

/// Conditions of a query, and the values of their placeholders.
struct Conditions {
  std::string sql = " WHERE true";
  std::vector<SqlValue> values;
  /// @param condition  with {} for the value's placeholder
  void add(std::string condition, SqlValue value) {
    values.push_back(std::move(value));
    const std::string number = "?" + std::to_string(values.size());
    for (size_t at; (at = condition.find("{}")) != std::string::npos;) condition.replace(at, 2, number);
    sql += " AND " + condition;
  }
};

/// What both dialects' full-text search takes for "all of these words, each as a beginning". Words hold letters and digits
/// only, so nothing needs an escape.
std::string match_of(Dialect dialect, const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (dialect == Dialect::Sqlite) {
      out += (out.empty() ? "\"" : " AND \"") + word + "\"*";
    } else {
      out += (out.empty() ? "'" : " & '") + word + "':*";
    }
  }
  return out;
}

Conditions conditions_of(Dialect dialect, const PictureStore::Query& query) {
  Conditions where;
  where.sql += query.deleted ? " AND deleted IS NOT NULL" : " AND deleted IS NULL";
  if (!query.owner.empty()) where.add("owner = {}", query.owner);
  if (query.least_rating > 0) where.add("rating >= {}", query.least_rating);
  if (!query.job.empty())
    where.add("number IN (SELECT picture FROM job_pictures WHERE job_pictures.job = {})", query.job);
  for (const std::string& tag : query.tags)
    where.add("EXISTS (SELECT 1 FROM picture_tags WHERE picture = pictures.number AND tag = {})", tag);
  if (const std::vector<std::string> words = words_of(query.text); !words.empty())
    where.add(dialect == Dialect::Sqlite
                  ? "number IN (SELECT rowid FROM picture_words WHERE words MATCH {})"
                  : "number IN (SELECT rowid FROM picture_words WHERE vector @@ CAST({} AS tsquery))",
              match_of(dialect, words));
  return where;
}

/// Without space around it. @throws Error{InvalidArgument}
std::string check_tag(const std::string& tag) {
  icu::UnicodeString text = icu::UnicodeString::fromUTF8(tag);
  text.trim();
  if (text.isEmpty() || text.countChar32() > kLongestTag)
    throw Error(ErrorCode::InvalidArgument, "tags",
                "expected 1 to " + std::to_string(kLongestTag) + " characters, found '" + tag + "'");
  for (int32_t at = 0; at < text.length(); ++at)
    if (u_iscntrl(text.charAt(at)))
      throw Error(ErrorCode::InvalidArgument, "tags", "a tag holds a control character");
  std::string out;
  return text.toUTF8String(out);
}

std::set<std::string> check_tags(const std::vector<std::string>& tags) {
  std::set<std::string> out;
  for (const std::string& tag : tags) out.insert(check_tag(tag));
  return out;
}

/// A change whose values are checked.
struct Checked {
  std::optional<std::set<std::string>> set_tags;
  std::set<std::string> add_tags, remove_tags;

  explicit Checked(const PictureStore::Change& change)
      : add_tags(check_tags(change.add_tags)), remove_tags(check_tags(change.remove_tags)) {
    if (change.set_tags) set_tags = check_tags(*change.set_tags);
    if (change.rating && (*change.rating < 0 || *change.rating > 5))
      throw Error(ErrorCode::InvalidArgument, "rating",
                  "expected 0 to 5, found " + std::to_string(*change.rating));
  }
  std::set<std::string> apply(std::set<std::string> tags) const {
    if (set_tags) tags = *set_tags;
    tags.insert(add_tags.begin(), add_tags.end());
    for (const std::string& tag : remove_tags) tags.erase(tag);
    if (tags.size() > kMostTags)
      throw Error(ErrorCode::InvalidArgument, "tags",
                  "a picture has at most " + std::to_string(kMostTags) + ", this would be " +
                      std::to_string(tags.size()));
    return tags;
  }
};

constexpr const char* kForgetInputs =
    "DELETE FROM inputs WHERE since < ?1 AND NOT EXISTS (SELECT 1 FROM job_inputs JOIN jobs ON jobs.id = "
    "job_inputs.job WHERE job_inputs.blob = inputs.blob AND (jobs.ended IS NULL OR jobs.ended >= ?1 OR "
    "EXISTS (SELECT 1 FROM job_pictures WHERE job_pictures.job = jobs.id))) RETURNING blob";

std::set<std::string> tags_of(Transaction& transaction, const SqlValue& number) {
  std::set<std::string> tags;
  for (const SqlRow& row : transaction.run("SELECT tag FROM picture_tags WHERE picture = ?1", {number}))
    tags.insert(text_of(row[0]));
  return tags;
}

/// Tells the search what a picture's record and tags hold.
void index_words(Transaction& transaction, const SqlValue& number, const json::object& record) {
  std::string text;
  for (const char* key : {"prompt", "negative_prompt", "model"})
    if (const json::value* value = record.if_contains(key); value && value->is_string())
      text += std::string(value->as_string()) + "\n";
  for (const std::string& tag : tags_of(transaction, number)) text += tag + "\n";
  std::string words;
  for (const std::string& word : words_of(text)) words += (words.empty() ? "" : " ") + word;
  transaction.run("DELETE FROM picture_words WHERE rowid = ?1", {number});
  transaction.run("INSERT INTO picture_words (rowid, words) VALUES (?1, ?2)", {number, words});
}

void change_tags(Transaction& transaction, const SqlRow& picture, const Checked& change) {
  const SqlValue& number = picture[0];
  const std::set<std::string> before = tags_of(transaction, number), after = change.apply(before);
  if (before == after) return;
  transaction.run("DELETE FROM picture_tags WHERE picture = ?1", {number});
  for (const std::string& tag : after)
    transaction.run("INSERT INTO picture_tags (picture, tag) VALUES (?1, ?2)", {number, tag});
  index_words(transaction, number, parse_json(text_of(picture[2]), "database").as_object());
}

}  // namespace

std::optional<GalleryPicture> PictureStore::find(std::string_view id, const std::string& owner) const {
  Conditions where;
  where.add("id = {}", std::string(id));
  if (!owner.empty()) where.add("owner = {}", owner);
  const auto rows = database_.read(select_pictures(database_.dialect()) + where.sql +
                                       " ORDER BY (deleted IS NOT NULL), number DESC LIMIT 1",
                                   where.values);
  if (rows.empty()) return std::nullopt;
  return picture_of(rows[0]);
}

PictureStore::Page PictureStore::search(const Query& query) const {
  Conditions where = conditions_of(database_.dialect(), query);
  Page page;
  page.total =
      integer_of(database_.read("SELECT count(*) FROM pictures" + where.sql, where.values).at(0).at(0));
  if (!query.before.empty()) {
    const std::string of_owner = query.owner.empty() ? "" : " AND owner = ?1";  // the first condition
    where.add("number < (SELECT max(number) FROM pictures WHERE id = {}" + of_owner + ")", query.before);
  }
  where.values.emplace_back(std::clamp<int64_t>(query.limit, 1, kMostListed));
  for (const SqlRow& row :
       database_.read(select_pictures(database_.dialect()) + where.sql + " ORDER BY number DESC LIMIT ?" +
                          std::to_string(where.values.size()),
                      where.values))
    page.pictures.push_back(picture_of(row));
  return page;
}

std::vector<std::pair<std::string, int64_t>> PictureStore::tags(const std::string& owner) const {
  Conditions where;
  where.sql += " AND deleted IS NULL";
  if (!owner.empty()) where.add("owner = {}", owner);
  std::vector<std::pair<std::string, int64_t>> out;
  for (const SqlRow& row : database_.read("SELECT tag, count(*) AS uses FROM picture_tags JOIN pictures ON "
                                          "pictures.number = picture_tags.picture" +
                                              where.sql + " GROUP BY tag ORDER BY uses DESC, tag",
                                          where.values))
    out.emplace_back(text_of(row[0]), integer_of(row[1]));
  return out;
}

int64_t PictureStore::change(const std::string& owner, std::span<const std::string> ids,
                             const Change& change) {
  const Checked checked(change);
  const std::set<std::string> sorted(ids.begin(), ids.end());
  const std::string lock = database_.dialect() == Dialect::Postgres ? " FOR UPDATE" : "";
  std::set<std::string> changed, owners;
  database_.transact([&](Transaction& transaction) {
    changed.clear();
    for (const std::string& id : sorted) {
      Conditions where;
      where.add("id = {}", id);
      if (!owner.empty()) where.add("owner = {}", owner);
      for (const SqlRow& row : transaction.run(
               "SELECT number, owner, record FROM pictures" + where.sql + " ORDER BY number" + lock,
               where.values)) {
        change_tags(transaction, row, checked);
        if (change.rating)
          transaction.run("UPDATE pictures SET rating = ?2 WHERE number = ?1", {row[0], *change.rating});
        if (change.deleted)
          transaction.run(
              *change.deleted
                  ? "UPDATE pictures SET deleted = coalesce(deleted, limn_now()) WHERE number = ?1"
                  : "UPDATE pictures SET deleted = NULL WHERE number = ?1",
              {row[0]});
        changed.insert(id);
        owners.insert(text_of(row[1]));
      }
    }
  });
  for (const std::string& name : owners) bus_.publish({Event::Kind::Gallery, "", name});
  return static_cast<int64_t>(changed.size());
}

void PictureStore::note_input(const std::string& blob) {
  database_.transact([&](Transaction& transaction) { server::note_input(transaction, blob); });
}

std::vector<std::string> PictureStore::purge(Time time, std::chrono::milliseconds grace) {
  const SqlValue before = int64_t{time.time_since_epoch().count()};
  std::vector<std::string> blobs;
  std::set<std::string> owners;
  database_.transact([&](Transaction& transaction) {
    blobs.clear();
    for (const SqlRow& row : transaction.run(
             "DELETE FROM pictures WHERE deleted < ?1 RETURNING number, id, thumbnail, owner", {before})) {
      transaction.run("DELETE FROM picture_words WHERE rowid = ?1", {row[0]});
      release(transaction, text_of(row[1]));
      release(transaction, text_of(row[2]));
      owners.insert(text_of(row[3]));
    }
    for (const SqlRow& row : transaction.run(kForgetInputs, {before})) release(transaction, text_of(row[0]));
    const auto old = transaction.run("DELETE FROM released WHERE since <= limn_now() - ?1 RETURNING blob",
                                     {int64_t{grace.count()}});
    for (const SqlRow& row : old)
      if (transaction
              .run("SELECT 1 FROM pictures WHERE id = ?1 UNION ALL SELECT 1 FROM pictures WHERE thumbnail = "
                   "?1 "
                   "UNION ALL SELECT 1 FROM checkpoints WHERE blob = ?1 "
                   "UNION ALL SELECT 1 FROM inputs WHERE blob = ?1 LIMIT 1",
                   {row[0]})
              .empty())
        blobs.push_back(text_of(row[0]));
  });
  for (const std::string& name : owners) bus_.publish({Event::Kind::Gallery, "", name});
  return blobs;
}

void add_picture(Transaction& transaction, const Job& job, int64_t index, const NewPicture& picture) {
  const auto rows = transaction.run(
      "INSERT INTO pictures (id, owner, job, job_number, format, thumbnail, width, height, bytes, record, "
      "created) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, limn_now()) ON CONFLICT (id, owner) DO UPDATE SET "
      "job = excluded.job, job_number = excluded.job_number, deleted = NULL RETURNING number",
      {picture.id, job.owner, job.id, index, picture.format, picture.thumbnail, picture.width, picture.height,
       picture.bytes, to_text(picture.record)});
  transaction.run("INSERT INTO job_pictures (job, number, picture) VALUES (?1, ?2, ?3)",
                  {job.id, index, rows.at(0).at(0)});
  index_words(transaction, rows.at(0).at(0), picture.record);
}

}  // namespace limn::server
