// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <unordered_map>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/build.h"
#include "limn/datasets/caption.h"
#include "limn/datasets/perceptual_hash.h"
#include "limn/datasets/shards.h"
#include "limn/datasets/sources.h"
#include "limn/image/image.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostTrainPixels = 64 * 1024 * 1024;  // of a picture

std::string split_of(const std::string& sha256, const AddOptions& options) {
  if (options.split != "auto") return options.split;
  const auto share = static_cast<double>(std::strtoull(sha256.substr(0, 13).c_str(), nullptr, 16)) * 0x1p-52;
  return share < options.validation_share ? "validation" : "train";
}

/// By content, of a file that was decoded.
std::string extension_of(std::span<const std::byte> bytes) {
  const auto first = std::to_integer<unsigned char>(bytes[0]);
  return first == 0x89 ? ".png" : first == 0xff ? ".jpg" : ".webp";
}

std::vector<TextEntry> texts_in(const Item& item) {
  try {
    return image_texts(item.bytes, item.where);
  } catch (const Error&) {  // damaged metadata: the picture may still decode
    return {};
  }
}

/// What a source says of a picture, the options where it says nothing.
Row row_of(const Item& item, const AddOptions& options, std::span<const TextEntry> texts) {
  const Fields fields(item.fields, item.where);
  const auto say = [&](const char* key, const std::string& fallback) {
    const std::string said = fields.string(key, "");
    return said.empty() ? fallback : said;
  };
  const auto choose = [&](const char* key, const std::string& fallback,
                          std::initializer_list<std::string_view> allowed) {
    const std::string said = say(key, fallback);
    if (!said.empty() && std::ranges::find(allowed, said) == allowed.end())
      throw Error(ErrorCode::BadFile, item.where + ": " + key, "'" + said + "' is none of its values");
    return said;
  };
  Row row;
  row.name = say("name", item.name);
  row.source = say("source", options.source);
  row.licence = say("licence", say("license", options.licence));
  row.attribution = say("attribution", options.attribution);
  row.people =
      choose("people", options.people.empty() ? "unknown" : options.people, {"none", "consented", "unknown"});
  row.split = choose("split", "", {"train", "validation"});
  if (const std::string consent = say("consent", options.consent); !consent.empty()) row.consent = consent;
  if (const std::string signal = say("opt_out", ""); !signal.empty()) row.opt_out = signal;
  if (const std::string reason = say("excluded", ""); !reason.empty()) row.excluded = reason;
  if (item.caption) {
    row.caption = *item.caption;
    row.caption_origin = "file";
  } else if (fields.has("caption")) {
    row.caption = fields.string("caption", "");
    row.caption_origin = say("caption_origin", item.fields_origin);
  } else {
    row.caption = caption_in(texts);
    row.caption_origin = row.caption.empty() ? "none" : "metadata";
  }
  if (row.licence.empty() && !options.allow_unlicensed)
    throw Error(ErrorCode::InvalidArgument, item.where, "has no licence",
                "say it with --licence, in a sidecar's \"licence\", or take it all the same with "
                "--allow-unlicensed");
  if (row.licence.empty()) row.licence = "unknown";
  return row;
}

/// Takes one picture after the other into the rows of a data set.
class Intake {
 public:
  Intake(const fs::path& folder, const AddOptions& options, std::vector<Row> rows)
      : folder_(folder), options_(options), rows_(std::move(rows)) {
    for (size_t i = 0; i < rows_.size(); ++i) {
      by_sha256_.emplace(rows_[i].sha256, i);
      if (!rows_[i].excluded) by_phash_.emplace(rows_[i].phash, i);
    }
  }

  void take(const Item& item);
  void tell(const std::string& where, const std::string& problem) {
    if (result.problems.size() < kMostListed) result.problems.push_back(where + ": " + problem);
  }
  const std::vector<Row>& rows() const { return rows_; }

  AddResult result;

 private:
  void read(const Item& item, Row& row);
  const Row* same_pixels(const Row& row, const Image& image);
  const std::string& pixel_hash(size_t place);

  const fs::path& folder_;
  const AddOptions& options_;
  std::vector<Row> rows_;
  std::unordered_map<std::string, size_t> by_sha256_;
  std::unordered_multimap<std::string, size_t> by_phash_;
  std::unordered_map<size_t, std::string> pixel_hashes_;  // of those that had to be compared
};

void Intake::take(const Item& item) {
  const auto texts = texts_in(item);
  Row row = row_of(item, options_, texts);
  CleanCaption caption = clean_caption(row.caption);
  row.caption = std::move(caption.text);
  if (!caption.problem.empty()) tell(item.where, caption.problem);
  row.sha256 = sha256(item.bytes);
  if (row.split.empty()) row.split = split_of(row.sha256, options_);
  if (!row.opt_out) row.opt_out = find_opt_out(item, texts);
  if (row.opt_out) row.excluded = "opt-out: " + *row.opt_out;
  const std::string promised = lower_case(Fields(item.fields, item.where).string("sha256", ""));
  if (!promised.empty() && promised != row.sha256) {
    tell(item.where, "sha256: expected " + promised + ", found " + row.sha256);
    if (!row.excluded) row.excluded = "hash: the source promised " + promised;
  }

  const auto [place, is_new] = by_sha256_.try_emplace(row.sha256, rows_.size());
  if (!is_new) {
    Row& before = rows_[place->second];
    const bool better = before.excluded && before.excluded->starts_with("hash:") && !row.excluded;
    const bool forbidden = !before.excluded && row.opt_out;  // by whoever published it a second time
    if (!better && !forbidden) {
      ++result.known;
      return;
    }
    if (forbidden) {
      before.opt_out = row.opt_out;
      before.excluded = row.excluded;
      ++result.excluded;
      return;
    }
  }
  if (!row.excluded) read(item, row);
  if (!row.excluded) {
    row.file = "pictures/" + row.sha256.substr(0, 2) + "/" + row.sha256 + extension_of(item.bytes);
    if (!fs::exists(folder_ / row.file)) write_file_atomically(folder_ / row.file, item.bytes);
    by_phash_.emplace(row.phash, place->second);
  }
  ++(row.excluded ? result.excluded : result.added);
  if (is_new)
    rows_.push_back(std::move(row));
  else
    rows_[place->second] = std::move(row);
}

void Intake::read(const Item& item, Row& row) {
  try {
    const Image image = decode_image(item.bytes, item.where, kMostTrainPixels);
    row.width = image.width;
    row.height = image.height;
    row.phash = hash_text(perceptual_hash(image));
    if (const Row* twin = same_pixels(row, image)) row.excluded = "duplicate of " + twin->sha256;
  } catch (const Error& error) {
    row.excluded = "broken: " + error.problem();
    tell(item.where, error.problem());
    ++result.broken;
  }
}

/// A row that shows the same, whatever its file is.
const Row* Intake::same_pixels(const Row& row, const Image& image) {
  std::string hash;
  const auto [begin, end] = by_phash_.equal_range(row.phash);
  for (auto found = begin; found != end; ++found) {
    const Row& other = rows_[found->second];
    if (other.excluded || other.width != row.width || other.height != row.height) continue;
    if (hash.empty()) hash = sha256(std::as_bytes(std::span(image.pixels)));
    if (pixel_hash(found->second) == hash) return &other;
  }
  return nullptr;
}

const std::string& Intake::pixel_hash(size_t place) {
  const auto [found, is_new] = pixel_hashes_.try_emplace(place);
  if (is_new) try {
      const Image image = read_image(folder_ / rows_[place].file);
      found->second = sha256(std::as_bytes(std::span(image.pixels)));
    } catch (const Error&) {  // it is gone or damaged, which `check` tells: equal to none
    }
  return found->second;
}

}  // namespace

AddResult add_pictures(const fs::path& folder, const std::vector<fs::path>& sources,
                       const AddOptions& options, const std::function<void(const Progress&)>& on_progress) {
  const fs::path manifest = folder / kManifest;
  Intake intake(folder, options, fs::exists(manifest) ? read_manifest(manifest) : std::vector<Row>());
  int64_t seen = 0;
  const auto take = [&](const Item& item) {
    intake.take(item);
    on_progress({++seen, 0});
  };
  const auto broken = [&](const std::string& where, const std::string& problem) {
    ++intake.result.broken;
    intake.tell(where, problem);
  };
  for (const fs::path& source : sources) for_each_item(source, take, broken);
  write_manifest(manifest, intake.rows());
  return intake.result;
}

}  // namespace limn::datasets
