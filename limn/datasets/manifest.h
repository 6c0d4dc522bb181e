// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

namespace limn::datasets {

/// One picture of a data set: a line of manifest.jsonl. A plain value.
struct Row {
  std::string sha256;  // of the file, lower-case hexadecimal
  std::string phash;   // perceptual_hash, 16 hexadecimal digits; empty when it could not be decoded
  std::string file;    // relative to the data set's folder; empty when excluded before it was copied
  int64_t width = 0, height = 0;        // pixels
  std::string source;                   // where it came from: a package, a collection
  std::string name;                     // what it was called there
  std::string licence;                  // SPDX expression, or "unknown"
  std::string attribution;              // whom to name
  std::optional<std::string> consent;   // evidence, of people shown or of the author
  std::optional<std::string> opt_out;   // the signal found that forbids training
  std::string caption;                  // UTF-8
  std::string caption_origin;           // "file", "json", "manifest", "metadata", "grammar" or "none"
  std::string people = "unknown";       // "none", "consented", "unknown"
  std::string split = "train";          // "train", "validation"
  std::optional<std::string> excluded;  // why it is not trained on
};

json::object to_json(const Row& row);
/// @throws Error{BadFile} at "where: field"
Row row_from_json(const json::object& object, const std::string& where);

/// @throws Error{BadFile} naming file, line and field
std::vector<Row> read_manifest(const std::filesystem::path& file);
/// Whole or not at all.
void write_manifest(const std::filesystem::path& file, std::span<const Row> rows);

/// Counts for people and programs: rows and exclusions by reason; splits, licences, sources, people, caption origins and
/// lengths, and sizes of what is trained on; and all its attributions.
json::object statistics(std::span<const Row> rows);

/// A readable summary in Markdown.
std::string summary_markdown(std::span<const Row> rows, std::string_view name);
struct CroissantAbout {
  std::string name;
  std::string manifest_sha256;  // of manifest.jsonl
  std::string url, published;   // the page, and the date (ISO 8601), it was published at; empty: not said
};
/// The data set as Croissant 1.0 JSON-LD (MLCommons), which lies beside manifest.jsonl.
json::object croissant(std::span<const Row> rows, const CroissantAbout& about);

}  // namespace limn::datasets
