// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/build.h"

#include <algorithm>
#include <map>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/dataset.h"
#include "limn/datasets/perceptual_hash.h"
#include "limn/datasets/shard_writer.h"
#include "limn/datasets/shards.h"
#include "limn/image/image.h"
#include "limn/text/clip_tokenizer.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

constexpr size_t kShardBytes = 128 << 20;
constexpr size_t kMemory = 1 << 30;  // for all shards that are being filled

json::object to_json(const BuildOptions& o) {
  return {{"resolution", o.resolution},
          {"buckets", o.buckets},
          {"min_side", o.min_side},
          {"near_duplicates", o.near_duplicates},
          {"fit", o.pad ? "pad" : "crop"}};
}

/// dataset.json of an earlier build that is what this one would make.
std::optional<json::object> built_already(const fs::path& folder, const BuildOptions& options) {
  try {
    json::object description = Dataset::open(folder, "train").summary();
    Dataset::open(folder, "validation");
    const json::value* build = description.if_contains("build");
    if (build && *build == to_json(options) &&
        Fields(description, kDescription).string("manifest_sha256", "") == sha256_of_file(folder / kManifest))
      return description;
  } catch (const Error&) {  // nothing built, or damaged: made anew
  }
  return {};
}

/// What an earlier build left out, with other options or before a file came back, is looked at again.
void forget_exclusions(std::vector<Row>& rows) {
  for (Row& row : rows) {
    if (!row.excluded || row.file.empty()) continue;
    for (const char* reason : {"near duplicate of", "small:", "narrow:", "broken:"})
      if (row.excluded->starts_with(reason)) {
        row.excluded.reset();
        break;
      }
  }
}

void exclude_by_size(std::vector<Row>& rows, int64_t min_side) {
  for (Row& row : rows) {
    if (row.excluded) continue;
    const auto [shorter, longer] = std::minmax(row.width, row.height);
    const std::string size = std::to_string(row.width) + " × " + std::to_string(row.height) + " pixels";
    if (shorter < min_side) row.excluded = "small: " + size;
    if (longer > kNarrow * shorter) row.excluded = "narrow: " + size;
  }
}

void exclude_near_duplicates(std::vector<Row>& rows, int distance) {
  if (distance < 0) return;
  std::vector<uint64_t> hashes;
  std::vector<size_t> places;
  for (size_t i = 0; i < rows.size(); ++i)
    if (!rows[i].excluded && rows[i].phash.size() == 16) {
      hashes.push_back(hash_from_text(rows[i].phash));
      places.push_back(i);
    }
  const auto duplicates = near_duplicates(hashes, distance);
  for (size_t k = 0; k < duplicates.size(); ++k)
    if (duplicates[k] >= 0)
      rows[places[k]].excluded =
          "near duplicate of " + rows[places[static_cast<size_t>(duplicates[k])]].sha256;
}

void check_disk(const fs::path& folder, std::span<const Row> rows, std::span<const Size> sizes) {
  uintmax_t needed = 0;
  for (const Row& row : rows)
    if (!row.excluded) {
      const Size size = nearest_size(sizes, row.width, row.height);
      needed += static_cast<uintmax_t>(size.width) * static_cast<uintmax_t>(size.height) * 3 +
                row.caption.size() * 5 + 24;
    }
  std::error_code unknown;
  const auto space = fs::space(folder, unknown);
  if (!unknown && needed > space.available)
    throw Error(ErrorCode::InvalidArgument, folder.string(),
                "the shards need " + std::to_string(needed) + " bytes of disk, " +
                    std::to_string(space.available) + " are free");
}

/// Decodes what is not excluded into shards; what cannot be decoded after all is excluded.
json::array write_shards(const fs::path& folder, const fs::path& shards, std::vector<Row>& rows,
                         std::span<const Size> sizes, bool pad,
                         const std::function<void(const Progress&)>& on_progress) {
  const size_t most_bytes = std::min(kShardBytes, kMemory / (2 * sizes.size()));
  const auto tokenizer = text::CLIPTokenizer::built_in();
  std::map<std::pair<std::string, Size>, ShardWriter> writers;
  for (size_t i = 0; i < rows.size(); ++i) {
    Row& row = rows[i];
    on_progress({static_cast<int64_t>(i + 1), static_cast<int64_t>(rows.size())});
    if (row.excluded) continue;
    try {
      const auto file = MappedFile::open(folder / row.file);
      if (sha256(file->bytes()) != row.sha256)
        throw Error(ErrorCode::BadFile, row.file, "has other bytes than the manifest says");
      const Image image = decode_image(file->bytes(), row.file);
      if (image.width != row.width || image.height != row.height)
        throw Error(ErrorCode::BadFile, row.file, "has another size than the manifest says");
      const Size size = nearest_size(sizes, row.width, row.height);
      auto [writer, is_new] = writers.try_emplace({row.split, size}, shards, row.split, size, most_bytes);
      writer->second.add(fitted(image, size, pad), row.caption, tokenizer.encode(row.caption),
                         static_cast<int64_t>(i));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadFile && error.code() != ErrorCode::NotFound &&
          error.code() != ErrorCode::Unsupported)
        throw;
      row.excluded = "broken: " + error.problem();
    }
  }
  json::array buckets;
  for (auto& [key, writer] : writers) buckets.push_back(writer.finish());
  return buckets;
}

}  // namespace

json::object build_shards(const fs::path& folder, const BuildOptions& options,
                          const std::function<void(const Progress&)>& on_progress) {
  const fs::path manifest = folder / kManifest;
  if (!fs::exists(manifest))
    throw Error(ErrorCode::NotFound, manifest.string(), "no such file",
                "limn data add " + folder.string() + " SOURCE");
  if (!options.force)
    if (auto description = built_already(folder, options)) return *description;
  std::vector<Row> rows = read_manifest(manifest);
  forget_exclusions(rows);
  exclude_by_size(rows, options.min_side);
  exclude_near_duplicates(rows, options.near_duplicates);
  const auto sizes = bucket_sizes(options.resolution, options.buckets);
  check_disk(folder, rows, sizes);

  const fs::path shards = folder / "shards", making = folder / "shards.partial";
  fs::remove_all(making);
  fs::create_directories(making);
  json::array buckets = write_shards(folder, making, rows, sizes, options.pad, on_progress);
  if (buckets.empty()) {
    fs::remove_all(making);
    throw Error(ErrorCode::InvalidArgument, folder.string(), "no picture is left to train on",
                "limn data stats " + folder.string() + " says why they were excluded");
  }
  fs::remove(folder / kDescription);  // from here on it is not built, until it is again
  fs::remove_all(shards);
  fs::rename(making, shards);
  write_manifest(manifest, rows);
  json::object description = statistics(rows);
  description["resolution"] = options.resolution;
  description["build"] = to_json(options);
  description["buckets"] = std::move(buckets);
  description["manifest_sha256"] = sha256_of_file(manifest);
  const std::string text = to_pretty_text(description) + "\n";
  write_file_atomically(folder / kDescription, std::as_bytes(std::span(text)));
  return description;
}

}  // namespace limn::datasets
