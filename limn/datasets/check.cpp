// SPDX-License-Identifier: Apache-2.0
#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/build.h"
#include "limn/datasets/dataset.h"
#include "limn/datasets/shards.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

using Problems = std::vector<std::string>;

void check_files(const fs::path& folder, std::span<const Row> rows, Problems& problems,
                 const std::function<void(const Progress&)>& on_progress) {
  for (size_t i = 0; i < rows.size(); ++i) {
    on_progress({static_cast<int64_t>(i + 1), static_cast<int64_t>(rows.size())});
    const std::string where = std::string(kManifest) + ":" + std::to_string(i + 1) + ": ";
    if (rows[i].file.empty()) {
      if (!rows[i].excluded) problems.push_back(where + "file: is missing");
    } else if (!fs::exists(folder / rows[i].file)) {
      problems.push_back(where + rows[i].file + " is missing");
    } else if (const std::string found = sha256_of_file(folder / rows[i].file); found != rows[i].sha256) {
      problems.push_back(where + "sha256: expected " + rows[i].sha256 + ", found " + found);
    }
  }
}

void check_hashes(const fs::path& folder, const json::object& description, Problems& problems) {
  const json::value* buckets = description.if_contains("buckets");
  if (!buckets || !buckets->is_array()) return;
  for (const json::value& bucket : buckets->as_array()) {
    if (!bucket.is_object()) continue;
    const Fields fields(bucket.as_object(), std::string(kDescription) + ": buckets");
    const auto names = fields.strings("shards", {}), hashes = fields.strings("sha256", {});
    for (size_t i = 0; i < std::min(names.size(), hashes.size()); ++i)
      if (const std::string found = sha256_of_file(folder / "shards" / names[i]); found != hashes[i])
        problems.push_back("shards/" + names[i] + ": sha256: expected " + hashes[i] + ", found " + found);
  }
}

void check_shards(const fs::path& folder, std::span<const Row> rows, Problems& problems) {
  const json::object description = read_json_object(folder / kDescription);
  if (Fields(description, kDescription).string("manifest_sha256", "") != sha256_of_file(folder / kManifest))
    problems.push_back("the manifest changed since the shards were built: limn data build " +
                       folder.string());
  check_hashes(folder, description, problems);
  for (const char* split : {"train", "validation"}) {
    const Dataset data = Dataset::open(folder, split);
    for (int64_t i = 0; i < data.size(); ++i) {
      const Example example = data.at(i);
      if (example.row >= 0 && example.row < static_cast<int64_t>(rows.size()) &&
          rows[static_cast<size_t>(example.row)].caption == example.caption)
        continue;
      problems.push_back(std::string(split) + " example " + std::to_string(i) + " is not the row it names");
      break;
    }
  }
}

}  // namespace

std::vector<std::string> check_data_set(const fs::path& folder,
                                        const std::function<void(const Progress&)>& on_progress) {
  Problems problems;
  const auto rows = read_manifest(folder / kManifest);
  check_files(folder, rows, problems, on_progress);
  if (!fs::exists(folder / kDescription)) {
    problems.push_back("not built: limn data build " + folder.string());
    return problems;
  }
  try {
    check_shards(folder, rows, problems);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadFile && error.code() != ErrorCode::NotFound) throw;
    problems.emplace_back(error.what());
  }
  return problems;
}

}  // namespace limn::datasets
