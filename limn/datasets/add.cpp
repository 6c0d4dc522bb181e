// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <unordered_set>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/build.h"
#include "limn/datasets/perceptual_hash.h"
#include "limn/datasets/shards.h"
#include "limn/datasets/sources.h"
#include "limn/image/image.h"
#include "limn/weights/layout.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostCaption = 10'000;                 // bytes
constexpr int64_t kMostTrainPixels = 64 * 1024 * 1024;  // of a picture

/// What the picture's own metadata says it shows.
std::string described(std::span<const std::byte> bytes, const std::string& where,
                      std::vector<std::string>& texts) {
  std::string caption;
  try {
    for (const TextEntry& entry : image_texts(bytes, where)) {
      texts.push_back(entry.keyword + ": " + entry.text);
      if (entry.keyword == "parameters") caption = entry.text.substr(0, entry.text.find('\n'));
      if (caption.empty() &&
          (entry.keyword == "Description" || entry.keyword == "Title" || entry.keyword == "caption"))
        caption = entry.text;
    }
  } catch (const Error&) {  // damaged metadata: the picture may still decode
  }
  return caption;
}

/// @param problem  gets what was wrong with it
std::string cleaned(const std::string& caption, std::string& problem) {
  if (caption.size() > kMostCaption) {
    problem =
        "its caption has " + std::to_string(caption.size()) + " bytes, at most 10,000 are taken: left out";
    return "";
  }
  if (!weights::is_utf8(caption) || caption.find('\0') != std::string::npos) {
    problem = "its caption is not valid UTF-8, or holds a NUL: left out";
    return "";
  }
  std::string out;
  for (const char c : caption) {
    const bool space = static_cast<unsigned char>(c) <= ' ';
    if (!space) out += c;
    if (space && !out.empty() && out.back() != ' ') out += ' ';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

Row row_of(const Item& item, const AddOptions& options, std::vector<std::string>& texts,
           std::string& problem) {
  const Fields fields(item.fields, item.where);
  const auto say = [&](const char* key, const std::string& fallback) {
    const std::string said = fields.string(key, "");
    return said.empty() ? fallback : said;
  };
  Row row;
  row.name = say("name", item.name);
  row.source = say("source", options.source);
  row.licence = say("licence", say("license", options.licence));
  row.attribution = say("attribution", options.attribution);
  row.people = say("people", options.people.empty() ? "unknown" : options.people);
  if (const std::string consent = say("consent", options.consent); !consent.empty()) row.consent = consent;
  const std::string own = described(item.bytes, item.where, texts);
  if (item.caption) {
    row.caption = *item.caption;
    row.caption_origin = "file";
  } else if (fields.has("caption")) {
    row.caption = fields.string("caption", "");
    row.caption_origin = say("caption_origin", item.fields_origin);
  } else {
    row.caption = own;
    row.caption_origin = own.empty() ? "none" : "metadata";
  }
  row.caption = cleaned(row.caption, problem);
  row.split = fields.string("split", "");
  return row;
}

std::string split_of(const std::string& sha256, const AddOptions& options) {
  if (options.split != "auto") return options.split;
  const auto share = static_cast<double>(std::strtoull(sha256.substr(0, 13).c_str(), nullptr, 16)) * 0x1p-52;
  return share < options.validation_share ? "validation" : "train";
}

}  // namespace

AddResult add_pictures(const fs::path& folder, const std::vector<fs::path>& sources,
                       const AddOptions& options, const std::function<void(const Progress&)>& on_progress) {
  AddResult result;
  const fs::path manifest = folder / kManifest;
  std::vector<Row> rows;
  if (fs::exists(manifest)) rows = read_manifest(manifest);
  std::unordered_set<std::string> known;
  for (const Row& row : rows) known.insert(row.sha256);
  const auto tell = [&](const std::string& where, const std::string& problem) {
    if (result.problems.size() < kMostListed) result.problems.push_back(where + ": " + problem);
  };

  const auto take = [&](const Item& item) {
    const std::string sha = sha256(item.bytes);
    const std::string promised = Fields(item.fields, item.where).string("sha256", "");
    std::vector<std::string> texts;
    std::string problem;
    Row row = row_of(item, options, texts, problem);
    if (!problem.empty()) tell(item.where, problem);
    if (row.licence.empty()) {
      if (!options.allow_unlicensed)
        throw Error(ErrorCode::InvalidArgument, item.where, "has no licence",
                    "say it with --licence, in a sidecar's \"licence\", or take it all the same with "
                    "--allow-unlicensed");
      row.licence = "unknown";
    }
    row.sha256 = sha;
    if (!known.insert(sha).second) {
      ++result.known;
      return;
    }
    if (row.split.empty()) row.split = split_of(sha, options);
    row.opt_out = find_opt_out(item, texts);
    if (row.opt_out) row.excluded = "opt-out: " + *row.opt_out;
    if (!promised.empty() && promised != sha) {
      row.excluded = "hash: the source promised " + promised;
      tell(item.where, "sha256: expected " + promised + ", found " + sha);
    }
    if (!row.excluded) try {
        const Image image = decode_image(item.bytes, item.where, kMostTrainPixels);
        row.width = image.width;
        row.height = image.height;
        row.phash = hash_text(perceptual_hash(image));
      } catch (const Error& error) {
        row.excluded = "broken: " + error.problem();
        tell(item.where, error.problem());
        ++result.broken;
      }
    if (!row.excluded) {
      row.file = "pictures/" + sha.substr(0, 2) + "/" + sha + item.extension;
      if (!fs::exists(folder / row.file)) write_file_atomically(folder / row.file, item.bytes);
    }
    ++(row.excluded ? result.excluded : result.added);
    rows.push_back(std::move(row));
    on_progress({static_cast<int64_t>(rows.size()), 0});
  };
  const auto broken = [&](const std::string& where, const std::string& problem) {
    ++result.broken;
    tell(where, problem);
  };
  for (const fs::path& source : sources) for_each_item(source, take, broken);
  write_manifest(manifest, rows);
  return result;
}

}  // namespace limn::datasets
