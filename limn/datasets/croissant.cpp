// SPDX-License-Identifier: Apache-2.0
// Source of the format: MLCommons, Croissant Format Specification 1.0 and Croissant RAI Specification 1.0.
#include <algorithm>
#include <cctype>

#include "limn/datasets/manifest.h"

namespace limn::datasets {
namespace {

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

/// SPDX's page for one licence; expressions and names of one's own stay as they are.
std::string licence_url(const std::string& licence) {
  const bool one = std::ranges::all_of(
      licence, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '-' || c == '+'; });
  return one && licence != "unknown" && !licence.starts_with("LicenseRef-")
             ? "https://spdx.org/licenses/" + licence + ".html"
             : licence;
}

/// "none 12, unknown 3".
std::string in_words(const json::value& counts) {
  std::string out;
  for (const auto& [name, count] : counts.as_object())
    out += (out.empty() ? "" : ", ") + std::string(name) + " " + to_text(count);
  return out.empty() ? "nothing" : out;
}

json::array fields_of_rows() {
  json::array fields;
  for (const auto& [key, value] : to_json(Row{})) {
    const std::string field(key);
    fields.push_back(json::object{{"@type", "cr:Field"},
                                  {"@id", "pictures/" + field},
                                  {"name", field},
                                  {"dataType", value.is_int64() ? "sc:Integer" : "sc:Text"},
                                  {"source", json::object{{"fileObject", json::object{{"@id", "manifest"}}},
                                                          {"extract", json::object{{"column", field}}}}}});
  }
  return fields;
}

}  // namespace

json::object croissant(std::span<const Row> rows, const CroissantAbout& about) {
  const json::object stats = statistics(rows);
  json::array licences, creators;
  std::string cite;
  for (const auto& [licence, count] : stats.at("licences").as_object())
    licences.emplace_back(licence_url(std::string(licence)));
  for (const json::value& who : stats.at("attributions").as_array()) {
    creators.push_back(json::object{{"@type", "sc:Organization"}, {"name", who}});
    cite += (cite.empty() ? "" : "; ") + std::string(who.as_string());
  }
  json::object out{
      {"@context", parse_json(kContext, "context")},
      {"@type", "sc:Dataset"},
      {"name", about.name},
      {"description",
       "Training pictures with captions, licences, attributions and opt-out records, as limn keeps them."},
      {"conformsTo",
       json::array{"http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"}},
      {"version", "1.0.0"},
      {"license", licences},
      {"creator", creators},
      {"rai:dataCollection",
       "sources: " + in_words(stats.at("sources")) + "; excluded: " + in_words(stats.at("excluded"))},
      {"rai:dataAnnotationProtocol", "captions by origin: " + in_words(stats.at("captions"))},
      {"rai:personalSensitiveInformation", "people shown: " + in_words(stats.at("people"))},
      {"distribution", json::array{json::object{{"@type", "cr:FileObject"},
                                                {"@id", "manifest"},
                                                {"name", "manifest"},
                                                {"contentUrl", "manifest.jsonl"},
                                                {"encodingFormat", "application/jsonlines"},
                                                {"sha256", about.manifest_sha256}}}},
      {"recordSet", json::array{json::object{{"@type", "cr:RecordSet"},
                                             {"@id", "pictures"},
                                             {"name", "pictures"},
                                             {"field", fields_of_rows()}}}}};
  if (!cite.empty()) out["citeAs"] = cite;
  if (!about.url.empty()) out["url"] = about.url;
  if (!about.published.empty()) out["datePublished"] = about.published;
  return out;
}

}  // namespace limn::datasets
