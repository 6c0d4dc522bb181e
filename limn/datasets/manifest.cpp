// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/manifest.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <sstream>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/image/unicode.h"

namespace limn::datasets {
namespace {

/// Names come from file systems and archives, and a manifest is UTF-8.
std::string plain(const std::string& text) { return is_plain_utf8(text) ? text : text_of_bytes(text); }

json::value or_null(const std::optional<std::string>& text) {
  return text ? json::value(plain(*text)) : json::value(nullptr);
}

std::optional<std::string> optional_text(const Fields& fields, std::string_view key) {
  if (!fields.has(key)) return {};
  return fields.string(key, "");
}

json::object counts_of(const std::map<std::string, int64_t>& counts) {
  json::object out;
  for (const auto& [name, count] : counts) out[name] = count;
  return out;
}

/// "duplicate of …" and "duplicate of …" are one reason.
std::string reason_of(const std::string& excluded) {
  return excluded.substr(0, std::min(excluded.find(':'), excluded.find(" of ")));
}

struct Class {
  int64_t below;
  const char* name;
};
constexpr std::array kCaptionLengths{Class{1, "none"}, Class{50, "1 to 49"}, Class{150, "50 to 149"},
                                     Class{400, "150 to 399"}, Class{INT64_MAX, "400 and more"}};
constexpr std::array kSides{Class{128, "below 128"}, Class{256, "128 to 255"}, Class{512, "256 to 511"},
                            Class{1024, "512 to 1023"}, Class{INT64_MAX, "1024 and more"}};

/// Counts by class, in the table's order.
template <typename Measure>
json::object classes_of(std::span<const Row> rows, std::span<const Class> classes, const Measure& measure) {
  std::vector<int64_t> counts(classes.size());
  for (const Row& row : rows)
    if (!row.excluded)
      ++counts[static_cast<size_t>(std::ranges::upper_bound(classes, measure(row), {}, &Class::below) -
                                   classes.begin())];
  json::object out;
  for (size_t i = 0; i < classes.size(); ++i)
    if (counts[i] > 0) out[classes[i].name] = counts[i];
  return out;
}

std::string in_a_cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

}  // namespace

json::object to_json(const Row& r) {
  return {{"sha256", r.sha256},
          {"phash", r.phash},
          {"file", r.file},
          {"width", r.width},
          {"height", r.height},
          {"source", plain(r.source)},
          {"name", plain(r.name)},
          {"licence", plain(r.licence)},
          {"attribution", plain(r.attribution)},
          {"consent", or_null(r.consent)},
          {"opt_out", or_null(r.opt_out)},
          {"caption", plain(r.caption)},
          {"caption_origin", plain(r.caption_origin)},
          {"people", r.people},
          {"split", r.split},
          {"excluded", or_null(r.excluded)}};
}

Row row_from_json(const json::object& object, const std::string& where) {
  const Fields fields(object, where);
  Row r;
  r.sha256 = fields.string("sha256", "");
  r.phash = fields.string("phash", "");
  r.file = fields.string("file", "");
  r.width = fields.integer("width", 0, 0, 1 << 20);
  r.height = fields.integer("height", 0, 0, 1 << 20);
  r.source = fields.string("source", "");
  r.name = fields.string("name", "");
  r.licence = fields.string("licence", "");
  r.attribution = fields.string("attribution", "");
  r.consent = optional_text(fields, "consent");
  r.opt_out = optional_text(fields, "opt_out");
  r.caption = fields.string("caption", "");
  r.caption_origin = fields.string("caption_origin", "");
  r.people = fields.one_of("people", "unknown", {"none", "consented", "unknown"});
  r.split = fields.one_of("split", "train", {"train", "validation"});
  r.excluded = optional_text(fields, "excluded");
  return r;
}

std::vector<Row> read_manifest(const std::filesystem::path& file) {
  const auto mapped = MappedFile::open(file);
  const std::string_view text(reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size());
  std::vector<Row> rows;
  int64_t line = 0;
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find('\n', from), text.size());
    const std::string where = file.string() + ":" + std::to_string(++line);
    if (end > from) {
      const json::value value = parse_json(text.substr(from, end - from), where);
      if (!value.is_object()) throw Error(ErrorCode::BadFile, where, "expected a JSON object");
      rows.push_back(row_from_json(value.as_object(), where));
    }
    from = end + 1;
  }
  return rows;
}

void write_manifest(const std::filesystem::path& file, std::span<const Row> rows) {
  write_file_atomically(file, [&](std::ostream& out) {
    for (const Row& row : rows) out << to_text(to_json(row)) << '\n';
  });
}

json::object statistics(std::span<const Row> rows) {
  std::map<std::string, int64_t> splits, licences, sources, people, excluded, origins;
  std::set<std::string> attributions;
  for (const Row& row : rows) {
    if (row.excluded) {
      ++excluded[reason_of(*row.excluded)];
      continue;
    }
    ++splits[row.split];
    ++licences[row.licence];
    ++sources[row.source.empty() ? "not said" : row.source];
    ++people[row.people];
    ++origins[row.caption_origin];
    if (!row.attribution.empty()) attributions.insert(row.attribution + " (" + row.licence + ")");
  }
  return {
      {"rows", rows.size()},
      {"pictures", counts_of(splits)},
      {"licences", counts_of(licences)},
      {"sources", counts_of(sources)},
      {"people", counts_of(people)},
      {"captions", counts_of(origins)},
      {"caption_bytes", classes_of(rows, kCaptionLengths,
                                   [](const Row& r) { return static_cast<int64_t>(r.caption.size()); })},
      {"shorter_side", classes_of(rows, kSides, [](const Row& r) { return std::min(r.width, r.height); })},
      {"excluded", counts_of(excluded)},
      {"attributions", json::array(attributions.begin(), attributions.end())}};
}

std::string summary_markdown(std::span<const Row> rows, std::string_view name) {
  std::ostringstream out;
  out << "# " << name << "\n\n";
  for (const auto& [key, value] : statistics(rows)) {
    if (value.is_object()) {
      out << "## " << key << "\n\n| | pictures |\n|---|---|\n";
      for (const auto& [row, count] : value.as_object())
        out << "| " << in_a_cell(row) << " | " << to_text(count) << " |\n";
      out << "\n";
    } else if (value.is_array()) {
      out << "## " << key << "\n\n";
      for (const json::value& item : value.as_array()) out << "- " << std::string(item.as_string()) << "\n";
    } else {
      out << key << ": " << to_text(value) << "\n\n";
    }
  }
  return out.str();
}

}  // namespace limn::datasets
