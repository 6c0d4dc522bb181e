// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/dataset.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/datasets/shards.h"
#include "limn/weights/index.h"
#include "limn/weights/layout.h"

namespace limn::datasets {
namespace fs = std::filesystem;

struct Dataset::Shard {
  weights::Index file;
  int64_t first = 0, count = 0, width = 0, height = 0;
  std::span<const uint8_t> pixels;
  std::string_view captions;
  std::span<const int32_t> input_ids;
  std::span<const int64_t> caption_ends, input_id_ends, rows;
};

namespace {

template <typename T>
std::span<const T> elements(const weights::Index& file, const char* key, weights::DType dtype) {
  const weights::TensorEntry* entry = file.find(key);
  if (!entry || entry->dtype != dtype || reinterpret_cast<uintptr_t>(entry->bytes.data()) % alignof(T) != 0)
    throw Error(ErrorCode::BadFile, file.origin + ": " + key, "is missing or of another type",
                "limn data build makes the shards anew");
  return {reinterpret_cast<const T*>(entry->bytes.data()), entry->bytes.size() / sizeof(T)};
}

/// Ends rise and stay inside: what at() relies on.
void check_ends(std::span<const int64_t> ends, size_t count, size_t most, const std::string& where) {
  int64_t before = 0;
  for (const int64_t end : ends) {
    if (end < before || end > static_cast<int64_t>(most))
      throw Error(ErrorCode::BadFile, where, "ends do not rise, or pass the data");
    before = end;
  }
  if (ends.size() != count) throw Error(ErrorCode::BadFile, where, "there is not one for each picture");
}

}  // namespace

Dataset Dataset::open(const fs::path& folder, std::string_view split) {
  Dataset out;
  out.folder_ = folder;
  if (!fs::exists(folder / kDescription))
    throw Error(ErrorCode::NotFound, folder.string(),
                "is no built data set: it has no " + std::string(kDescription),
                "limn data build " + folder.string());
  out.summary_ = read_json_object(folder / kDescription);
  const Fields fields(out.summary_, (folder / kDescription).string());
  const json::value* buckets = fields.find("buckets");
  if (!buckets || !buckets->is_array())
    throw Error(ErrorCode::BadFile, fields.where() + ": buckets", "expected an array",
                "limn data build makes it anew");
  for (const json::value& value : buckets->as_array()) {
    if (!value.is_object()) throw Error(ErrorCode::BadFile, fields.where() + ": buckets", "expected objects");
    const Fields row(value.as_object(), fields.where() + ": buckets");
    if (row.string("split", "") != split) continue;
    Bucket bucket{static_cast<int>(row.integer("width", 0, 1, 1 << 16)),
                  static_cast<int>(row.integer("height", 0, 1, 1 << 16)), out.size_, 0};
    for (const std::string& name : row.strings("shards", {})) {
      if (name.find('/') != std::string::npos || name.starts_with("."))
        throw Error(ErrorCode::BadFile, row.where() + ": shards", "'" + name + "' is no name of a shard");
      auto shard = std::make_shared<Shard>();
      shard->file = weights::open_tensor_file(folder / "shards" / name);
      const auto shape = shard->file.shape_of(kPixels);
      if (shape.size() != 4 || shape[1] != bucket.height || shape[2] != bucket.width || shape[3] != 3)
        throw Error(ErrorCode::BadFile, shard->file.origin + ": pixels",
                    "expected [pictures, " + std::to_string(bucket.height) + ", " +
                        std::to_string(bucket.width) + ", 3], found " + weights::shape_text(shape));
      shard->first = out.size_;
      shard->count = shape[0];
      shard->width = bucket.width;
      shard->height = bucket.height;
      shard->pixels = elements<uint8_t>(shard->file, kPixels, weights::DType::U8);
      const auto captions = elements<uint8_t>(shard->file, kCaptions, weights::DType::U8);
      shard->captions = {reinterpret_cast<const char*>(captions.data()), captions.size()};
      shard->caption_ends = elements<int64_t>(shard->file, kCaptionEnds, weights::DType::I64);
      shard->input_ids = elements<int32_t>(shard->file, kInputIds, weights::DType::I32);
      shard->input_id_ends = elements<int64_t>(shard->file, kInputIdEnds, weights::DType::I64);
      shard->rows = elements<int64_t>(shard->file, kRows, weights::DType::I64);
      const auto count = static_cast<size_t>(shard->count);
      check_ends(shard->caption_ends, count, shard->captions.size(), shard->file.origin + ": caption_ends");
      check_ends(shard->input_id_ends, count, shard->input_ids.size(),
                 shard->file.origin + ": input_id_ends");
      if (shard->rows.size() != count)
        throw Error(ErrorCode::BadFile, shard->file.origin + ": rows", "wrong length");
      out.size_ += shard->count;
      out.shards_.push_back(std::move(shard));
    }
    bucket.count = out.size_ - bucket.first;
    if (bucket.count > 0) out.buckets_.push_back(bucket);
  }
  return out;
}

Example Dataset::at(int64_t i) const {
  LIMN_CHECK(i >= 0 && i < size_, "no such example");
  const auto after =
      std::upper_bound(shards_.begin(), shards_.end(), i,
                       [](int64_t number, const auto& shard) { return number < shard->first; });
  const Shard& shard = **(after - 1);
  const auto k = static_cast<size_t>(i - shard.first);
  const auto bytes = static_cast<size_t>(shard.width * shard.height * 3);
  const auto range = [k](std::span<const int64_t> ends) {
    const auto from = static_cast<size_t>(k == 0 ? 0 : ends[k - 1]);
    return std::pair(from, static_cast<size_t>(ends[k]) - from);
  };
  const auto [caption, caption_size] = range(shard.caption_ends);
  const auto [ids, id_count] = range(shard.input_id_ends);
  return {.width = static_cast<int>(shard.width),
          .height = static_cast<int>(shard.height),
          .pixels = shard.pixels.subspan(k * bytes, bytes),
          .caption = shard.captions.substr(caption, caption_size),
          .input_ids = shard.input_ids.subspan(ids, id_count),
          .row = shard.rows[k]};
}

std::optional<Place> Dataset::find(int64_t row) const {
  for (const auto& shard : shards_)  // whose rows rise, as build wrote them
    if (const auto found = std::ranges::lower_bound(shard->rows, row);
        found != shard->rows.end() && *found == row)
      return Place{shard->file.origin, found - shard->rows.begin()};
  return {};
}

}  // namespace limn::datasets
