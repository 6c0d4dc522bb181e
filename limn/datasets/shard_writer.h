// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/datasets/fit.h"
#include "limn/image/image.h"

namespace limn::datasets {

/// Gathers the examples of one split and size, and writes a shard whenever it has enough. One thread at a time.
class ShardWriter {
 public:
  /// @param most_bytes  of pixels in memory and in a shard, about
  ShardWriter(std::filesystem::path folder, std::string split, Size size, size_t most_bytes)
      : folder_(std::move(folder)), split_(std::move(split)), size_(size), most_bytes_(most_bytes) {}

  void add(const Image& image, const std::string& caption, const std::vector<int64_t>& ids, int64_t row);
  /// Writes the rest. @return  the bucket as dataset.json lists it: split, size, count, shards and their hashes
  json::object finish();

 private:
  void flush();

  std::filesystem::path folder_;
  std::string split_;
  Size size_;
  size_t most_bytes_;
  int64_t count_ = 0;
  std::vector<std::string> names_, hashes_;
  std::vector<uint8_t> pixels_;
  std::string captions_;
  std::vector<int64_t> caption_ends_, id_ends_, rows_;
  std::vector<int32_t> ids_;
};

}  // namespace limn::datasets
