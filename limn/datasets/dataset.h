// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

namespace limn::datasets {

/// One training picture with its caption, as a shard holds it. The views live as long as the Dataset.
struct Example {
  int width = 0, height = 0;        // pixels
  std::span<const uint8_t> pixels;  // RGB, height × width × 3, rows from the top
  std::string_view caption;         // UTF-8
  std::span<const int32_t>
      input_ids;    // of the caption in CLIP's built-in vocabulary, without start, end and padding
  int64_t row = 0;  // line of manifest.jsonl, from 0
};

/// Examples of one size, which may share a batch.
struct Bucket {
  int width = 0, height = 0;     // pixels
  int64_t first = 0, count = 0;  // examples first … first + count − 1
};

/// An example's place on disk.
struct Place {
  std::filesystem::path shard;
  int64_t index = 0;  // of the shard's examples
};

/// A built data set (`limn data build`), memory-mapped. Immutable; safe to share between threads.
class Dataset {
 public:
  /// @param split  "train" or "validation"; a split without pictures is an empty Dataset
  /// @throws Error{NotFound} when the folder was not built, Error{BadFile} for damaged shards
  static Dataset open(const std::filesystem::path& folder, std::string_view split);

  int64_t size() const { return size_; }
  Example at(int64_t i) const;
  /// Where the example of this row of the manifest lies, if this split has it.
  std::optional<Place> find(int64_t row) const;
  const std::vector<Bucket>& buckets() const { return buckets_; }
  /// dataset.json: counts, sizes, licences, attributions, hash of the manifest.
  const json::object& summary() const { return summary_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  struct Shard;
  std::filesystem::path folder_;
  json::object summary_;
  std::vector<Bucket> buckets_;
  std::vector<std::shared_ptr<const Shard>> shards_;
  int64_t size_ = 0;
};

}  // namespace limn::datasets
