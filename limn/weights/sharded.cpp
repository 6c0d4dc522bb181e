// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/sharded.h"

#include <set>

#include "limn/base/error.h"
#include "limn/weights/layout.h"

namespace limn::weights {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxShards = 4096;
constexpr size_t kMaxListed = 5;

using Shards = std::map<std::string, std::set<std::string>>;  // file name: its keys

bool is_below(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

/// Hugging Face's cache keeps `<model>/snapshots/<revision>/…` as links into `<model>/blobs`. Empty
/// elsewhere.
fs::path blobs_of(const fs::path& folder) {
  for (fs::path at = folder; at.has_relative_path(); at = at.parent_path())
    if (at.filename() == "snapshots") return at.parent_path() / "blobs";
  return {};
}

/// The shard's path, if its name is a plain one and the file, links followed, belongs to the model.
fs::path shard_path(const fs::path& folder, const std::string& name, const std::string& where) {
  const bool is_plain = !name.empty() && name != "." && name != ".." &&
                        name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
  if (!is_plain)
    throw Error(ErrorCode::Refused, where,
                "expected shards to be names of files in the same folder, found " + shown(name));
  std::error_code code;
  const fs::path real_folder = fs::canonical(folder, code);
  const fs::path real = fs::canonical(folder / name, code);
  if (code) throw Error(ErrorCode::NotFound, where, "shard " + shown(name) + " is not there");
  const fs::path blobs = blobs_of(real_folder);
  if (!is_below(real, real_folder) && (blobs.empty() || !is_below(real, blobs)))
    throw Error(ErrorCode::Refused, where,
                "shard " + shown(name) + " is a link that leads out of the folder");
  return folder / name;
}

Shards read_weight_map(const json::object& object, const std::string& where) {
  const json::value* map = object.if_contains("weight_map");
  if (!map || !map->is_object())
    throw Error(ErrorCode::BadFile, where, "expected a JSON object 'weight_map', found none",
                "only the index of a sharded model is JSON with tensors");
  Shards shards;
  for (const auto& [key, file] : map->as_object()) {
    if (!file.is_string())
      throw Error(ErrorCode::BadFile, where + ": weight_map", "expected a file name for " + shown(key));
    shards[std::string(file.as_string())].insert(std::string(key));
  }
  if (shards.empty() || shards.size() > kMaxShards)
    throw Error(
        ErrorCode::BadFile, where + ": weight_map",
        "expected 1 to " + std::to_string(kMaxShards) + " shards, found " + std::to_string(shards.size()));
  return shards;
}

void check_keys(const Index& shard, const std::set<std::string>& listed, const std::string& where) {
  std::string differences;
  size_t count = 0;
  const auto add = [&](const std::string& key, const char* problem) {
    if (++count <= kMaxListed) differences += (count > 1 ? ", " : "") + shown(key) + problem;
  };
  for (const std::string& key : listed)
    if (!shard.has(key)) add(key, " is missing");
  for (const auto& [key, entry] : shard.tensors)
    if (!listed.contains(key)) add(key, " is not listed");
  if (count > kMaxListed) differences += ", … (" + std::to_string(count) + " in all)";
  if (count > 0)
    throw Error(ErrorCode::BadFile, where,
                "expected the tensors that weight_map gives to " + shown(shard.origin) +
                    ", found differences: " + differences);
}

void read_metadata(const json::object& object, Index& index) {
  const json::value* metadata = object.if_contains("metadata");
  if (!metadata || !metadata->is_object()) return;
  for (const auto& [key, value] : metadata->as_object())
    if (!value.is_object() && !value.is_array() && !value.is_null())
      index.metadata.emplace(key, value.is_string() ? std::string(value.as_string()) : to_text(value));
}

}  // namespace

Index open_sharded(const fs::path& path) {
  const json::object object = read_json_object(path);
  Index index;
  index.origin = path.string();
  read_metadata(object, index);
  for (const auto& [name, keys] : read_weight_map(object, index.origin)) {
    const fs::path file = shard_path(path.parent_path(), name, index.origin);
    std::optional<Index> shard = try_open_single_file(file);
    if (!shard)
      throw Error(ErrorCode::BadFile, index.origin, "shard " + shown(name) + " is no file of tensors");
    check_keys(*shard, keys, index.origin);
    index.format = shard->format;
    index.files.push_back(file);
    index.tensors.merge(shard->tensors);
    index.metadata.merge(shard->metadata);
  }
  return index;
}

}  // namespace limn::weights
