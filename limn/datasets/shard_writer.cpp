// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/shard_writer.h"

#include <cstdio>

#include "limn/base/file.h"
#include "limn/datasets/shards.h"
#include "limn/weights/safetensors.h"

namespace limn::datasets {

void ShardWriter::add(const Image& image, const std::string& caption, const std::vector<int64_t>& ids,
                      int64_t row) {
  pixels_.insert(pixels_.end(), image.pixels.begin(), image.pixels.end());
  captions_ += caption;
  caption_ends_.push_back(static_cast<int64_t>(captions_.size()));
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  id_ends_.push_back(static_cast<int64_t>(ids_.size()));
  rows_.push_back(row);
  ++count_;
  if (pixels_.size() >= most_bytes_) flush();
}

json::object ShardWriter::finish() {
  if (!rows_.empty()) flush();
  return {{"split", split_},
          {"width", size_.width},
          {"height", size_.height},
          {"count", count_},
          {"shards", json::array(names_.begin(), names_.end())},
          {"sha256", json::array(hashes_.begin(), hashes_.end())}};
}

void ShardWriter::flush() {
  char name[96];
  std::snprintf(name, sizeof name, "%s-%dx%d-%05zu.safetensors", split_.c_str(), size_.width, size_.height,
                names_.size());
  const auto count = static_cast<int64_t>(rows_.size());
  captions_.resize((captions_.size() + 7) / 8 *
                   8);  // what follows in the file is read where it lies: aligned
  ids_.resize((ids_.size() + 1) / 2 * 2);
  const auto entry = [](weights::DType dtype, std::vector<int64_t> shape, const auto& values) {
    weights::TensorEntry out;
    out.dtype = dtype;
    out.shape = std::move(shape);
    out.bytes = std::as_bytes(std::span(values));
    return out;
  };
  using weights::DType;
  weights::write_safetensors(
      folder_ / name, {{kPixels, entry(DType::U8, {count, size_.height, size_.width, 3}, pixels_)},
                       {kCaptions, entry(DType::U8, {static_cast<int64_t>(captions_.size())}, captions_)},
                       {kCaptionEnds, entry(DType::I64, {count}, caption_ends_)},
                       {kInputIds, entry(DType::I32, {static_cast<int64_t>(ids_.size())}, ids_)},
                       {kInputIdEnds, entry(DType::I64, {count}, id_ends_)},
                       {kRows, entry(DType::I64, {count}, rows_)}});
  names_.emplace_back(name);
  hashes_.push_back(sha256_of_file(folder_ / name));
  pixels_.clear();
  captions_.clear();
  caption_ends_.clear();
  ids_.clear();
  id_ends_.clear();
  rows_.clear();
}

}  // namespace limn::datasets
