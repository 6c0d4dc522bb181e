// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/manifest.h"

#include <map>
#include <set>
#include <sstream>

#include "limn/base/error.h"
#include "limn/base/file.h"

namespace limn::datasets {
namespace {

json::value or_null(const std::optional<std::string>& text) {
  return text ? json::value(*text) : json::value(nullptr);
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
  const size_t end = std::min(excluded.find(':'), excluded.find(" of "));
  return excluded.substr(0, end);
}

}  // namespace

json::object to_json(const Row& r) {
  return {{"sha256", r.sha256},
          {"phash", r.phash},
          {"file", r.file},
          {"width", r.width},
          {"height", r.height},
          {"source", r.source},
          {"name", r.name},
          {"licence", r.licence},
          {"attribution", r.attribution},
          {"consent", or_null(r.consent)},
          {"opt_out", or_null(r.opt_out)},
          {"caption", r.caption},
          {"caption_origin", r.caption_origin},
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
    ++sources[row.source];
    ++people[row.people];
    ++origins[row.caption_origin];
    if (!row.attribution.empty()) attributions.insert(row.attribution + " (" + row.licence + ")");
  }
  return {{"rows", rows.size()},
          {"pictures", counts_of(splits)},
          {"licences", counts_of(licences)},
          {"sources", counts_of(sources)},
          {"people", counts_of(people)},
          {"captions", counts_of(origins)},
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
        out << "| " << row << " | " << to_text(count) << " |\n";
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

json::object croissant(std::span<const Row> rows, std::string_view name, const std::string& manifest_sha256) {
  constexpr char kContext[] = R"({
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/", "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key",
    "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/", "separator": "cr:separator",
    "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform"})";
  json::array fields, licences, creators;
  for (const auto& [key, value] : to_json(Row{})) {
    const std::string field(key);
    fields.push_back(
        json::object{{"@type", "cr:Field"},
                     {"@id", "pictures/" + field},
                     {"name", field},
                     {"dataType", value.is_int64() ? "sc:Integer" : "sc:Text"},
                     {"source", json::object{{"fileObject", json::object{{"@id", "manifest"}}},
                                             {"extract", json::object{{"jsonPath", "$." + field}}}}}});
  }
  const json::object stats = statistics(rows);
  for (const auto& [licence, count] : stats.at("licences").as_object())
    licences.emplace_back(licence == "unknown"
                              ? std::string("unknown")
                              : "https://spdx.org/licenses/" + std::string(licence) + ".html");
  for (const json::value& who : stats.at("attributions").as_array())
    creators.push_back(json::object{{"@type", "sc:Person"}, {"name", who}});
  return {
      {"@context", parse_json(kContext, "context")},
      {"@type", "sc:Dataset"},
      {"name", name},
      {"description",
       "Training pictures with captions, licences, attributions and opt-out records, as limn keeps them."},
      {"conformsTo", "http://mlcommons.org/croissant/1.0"},
      {"url", "https://example.invalid/" + std::string(name)},
      {"citeAs", "see attributions"},
      {"version", "1.0.0"},
      {"datePublished", "1970-01-01"},
      {"license", licences},
      {"creator", creators},
      {"rai:personalSensitiveInformation", "people: " + to_text(stats.at("people"))},
      {"rai:dataCollection", "excluded: " + to_text(stats.at("excluded"))},
      {"distribution", json::array{json::object{{"@type", "cr:FileObject"},
                                                {"@id", "manifest"},
                                                {"name", "manifest"},
                                                {"contentUrl", "manifest.jsonl"},
                                                {"encodingFormat", "application/jsonlines"},
                                                {"sha256", manifest_sha256}}}},
      {"recordSet",
       json::array{json::object{
           {"@type", "cr:RecordSet"}, {"@id", "pictures"}, {"name", "pictures"}, {"field", fields}}}}};
}

}  // namespace limn::datasets
