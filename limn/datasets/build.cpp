// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/build.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/dataset.h"
#include "limn/datasets/perceptual_hash.h"
#include "limn/datasets/shards.h"
#include "limn/image/image.h"
#include "limn/text/clip_tokenizer.h"
#include "limn/weights/safetensors.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

constexpr size_t kShardBytes = 128 << 20;
constexpr double kMostAspect = 2.5;

struct Size {
  int width, height;
  auto operator<=>(const Size&) const = default;
};

/// Sizes of about resolution² pixels, aspect ratios spread evenly from tall to wide.
std::vector<Size> bucket_sizes(const BuildOptions& options) {
  const int step = options.resolution >= 512 ? 64 : 8;
  std::vector<Size> out;
  for (int i = 0; i < options.buckets; ++i) {
    const double place = options.buckets == 1 ? 0 : 2.0 * i / (options.buckets - 1) - 1;
    const double aspect = std::pow(kMostAspect, place);
    const auto rounded = [&](double side) {
      return std::max(step, static_cast<int>(std::lround(side / step)) * step);
    };
    out.push_back(
        {rounded(options.resolution * std::sqrt(aspect)), rounded(options.resolution / std::sqrt(aspect))});
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Size nearest_size(const std::vector<Size>& sizes, const Row& row) {
  const double aspect = std::log(static_cast<double>(row.width) / static_cast<double>(row.height));
  return *std::ranges::min_element(sizes, {}, [&](const Size& size) {
    return std::abs(std::log(static_cast<double>(size.width) / size.height) - aspect);
  });
}

Image over_white(const Image& image) {
  if (image.channels != 4) return to_rgb(image);
  Image out{image.width, image.height, 3, std::vector<uint8_t>(image.pixels.size() / 4 * 3)};
  for (size_t i = 0; i < image.pixels.size() / 4; ++i)
    for (size_t c = 0; c < 3; ++c) {
      const int alpha = image.pixels[4 * i + 3];
      out.pixels[3 * i + c] =
          static_cast<uint8_t>((image.pixels[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  return out;
}

/// The picture at exactly this size: scaled to cover it and cropped in the middle, or to fit and padded with white.
Image fitted(const Image& image, Size size, bool pad) {
  const double x = static_cast<double>(size.width) / image.width,
               y = static_cast<double>(size.height) / image.height;
  const double scale = pad ? std::min(x, y) : std::max(x, y);
  const int width = std::max(1, static_cast<int>(std::lround(image.width * scale)));
  const int height = std::max(1, static_cast<int>(std::lround(image.height * scale)));
  const Image scaled = over_white(
      width == image.width && height == image.height ? image : resize_lanczos(image, width, height));
  Image out{size.width, size.height, 3,
            std::vector<uint8_t>(static_cast<size_t>(size.width * size.height * 3), 255)};
  const int dx = (width - size.width) / 2, dy = (height - size.height) / 2;
  for (int row = 0; row < size.height; ++row)
    for (int column = 0; column < size.width; ++column) {
      const int sx = column + dx, sy = row + dy;
      if (sx < 0 || sy < 0 || sx >= width || sy >= height) continue;
      std::copy_n(&scaled.pixels[static_cast<size_t>((sy * width + sx) * 3)], 3,
                  &out.pixels[static_cast<size_t>((row * size.width + column) * 3)]);
    }
  return out;
}

/// Gathers the examples of one bucket and writes a shard when it is full.
class ShardWriter {
 public:
  ShardWriter(fs::path folder, std::string split, Size size)
      : folder_(std::move(folder)), split_(std::move(split)), size_(size) {}

  void add(const Image& image, const std::string& caption, const std::vector<int64_t>& ids, int64_t row) {
    pixels_.insert(pixels_.end(), image.pixels.begin(), image.pixels.end());
    captions_ += caption;
    caption_ends_.push_back(static_cast<int64_t>(captions_.size()));
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    id_ends_.push_back(static_cast<int64_t>(ids_.size()));
    rows_.push_back(row);
    ++count_;
    if (pixels_.size() >= kShardBytes) flush();
  }

  json::object finish() {
    if (!rows_.empty()) flush();
    return {{"split", split_},
            {"width", size_.width},
            {"height", size_.height},
            {"count", count_},
            {"shards", json::array(names_.begin(), names_.end())}};
  }

 private:
  void flush() {
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
    pixels_.clear();
    captions_.clear();
    caption_ends_.clear();
    ids_.clear();
    id_ends_.clear();
    rows_.clear();
  }

  fs::path folder_;
  std::string split_;
  Size size_;
  int64_t count_ = 0;
  std::vector<std::string> names_;
  std::vector<uint8_t> pixels_;
  std::string captions_;
  std::vector<int64_t> caption_ends_, id_ends_, rows_;
  std::vector<int32_t> ids_;
};

void exclude_near_duplicates(std::vector<Row>& rows, int distance) {
  for (Row& row : rows)
    if (row.excluded && row.excluded->starts_with("near duplicate"))
      row.excluded.reset();  // of an earlier build
  if (distance < 0) return;
  std::vector<uint64_t> hashes;
  std::vector<size_t> places;
  for (size_t i = 0; i < rows.size(); ++i)
    if (!rows[i].excluded) {
      hashes.push_back(hash_from_text(rows[i].phash));
      places.push_back(i);
    }
  const auto duplicates = near_duplicates(hashes, distance);
  for (size_t k = 0; k < duplicates.size(); ++k)
    if (duplicates[k] >= 0)
      rows[places[k]].excluded =
          "near duplicate of " + rows[places[static_cast<size_t>(duplicates[k])]].sha256;
}

void check_disk(const fs::path& folder, std::span<const Row> rows, const std::vector<Size>& sizes) {
  double bytes = 0;
  for (const Row& row : rows) {
    if (row.excluded || row.width == 0 || row.height == 0) continue;
    const Size size = nearest_size(sizes, row);
    bytes += 3.0 * size.width * size.height + 256;
  }
  std::error_code none;
  const auto space = fs::space(folder, none);
  if (!none && bytes > static_cast<double>(space.available))
    throw Error(ErrorCode::OutOfMemory, folder.string(),
                "the shards need " + std::to_string(static_cast<int64_t>(bytes / (1 << 20))) +
                    " MiB of disk, " + std::to_string(space.available >> 20) + " are free");
}

}  // namespace

json::object build_shards(const fs::path& folder, const BuildOptions& options,
                          const std::function<void(const Progress&)>& on_progress) {
  const fs::path manifest = folder / kManifest;
  if (!fs::exists(manifest))
    throw Error(ErrorCode::NotFound, manifest.string(), "no such file",
                "limn data add " + folder.string() + " SOURCE");
  std::vector<Row> rows = read_manifest(manifest);
  exclude_near_duplicates(rows, options.near_duplicates);
  const auto sizes = bucket_sizes(options);
  check_disk(folder, rows, sizes);

  const fs::path shards = folder / "shards", making = folder / "shards.partial";
  fs::remove_all(making);
  fs::create_directories(making);
  fs::remove(folder / kDescription);  // from here on it is not built, until it is again
  const auto tokenizer = text::CLIPTokenizer::built_in();
  std::map<std::pair<std::string, Size>, ShardWriter> writers;
  int64_t taken = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    Row& row = rows[i];
    on_progress({static_cast<int64_t>(i), static_cast<int64_t>(rows.size())});
    if (row.excluded) continue;
    try {
      const auto file = MappedFile::open(folder / row.file);
      if (sha256(file->bytes()) != row.sha256)
        throw Error(ErrorCode::BadFile, row.file, "has other bytes than the manifest says");
      const Image image = decode_image(file->bytes(), row.file);
      row.width = image.width;
      row.height = image.height;
      const Size size = nearest_size(sizes, row);
      auto [writer, is_new] = writers.try_emplace({row.split, size}, making, row.split, size);
      writer->second.add(fitted(image, size, options.pad), row.caption, tokenizer.encode(row.caption),
                         static_cast<int64_t>(i));
      ++taken;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadFile && error.code() != ErrorCode::NotFound &&
          error.code() != ErrorCode::Unsupported)
        throw;
      row.excluded = "broken: " + error.problem();
    }
  }
  on_progress({static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows.size())});
  json::array buckets;
  for (auto& [key, writer] : writers) buckets.push_back(writer.finish());
  if (taken == 0)
    throw Error(ErrorCode::InvalidArgument, folder.string(), "no picture is left to train on",
                "limn data stats " + folder.string() + " says why they were excluded");
  fs::remove_all(shards);
  fs::rename(making, shards);
  write_manifest(manifest, rows);
  json::object description = statistics(rows);
  description["resolution"] = options.resolution;
  description["buckets"] = std::move(buckets);
  description["manifest_sha256"] = sha256_of_file(manifest);
  const std::string text = to_pretty_text(description) + "\n";
  write_file_atomically(folder / kDescription, std::as_bytes(std::span(text)));
  return description;
}

std::vector<std::string> check_data_set(const fs::path& folder,
                                        const std::function<void(const Progress&)>& on_progress) {
  std::vector<std::string> problems;
  const auto rows = read_manifest(folder / kManifest);
  for (size_t i = 0; i < rows.size(); ++i) {
    on_progress({static_cast<int64_t>(i + 1), static_cast<int64_t>(rows.size())});
    const std::string where = std::string(kManifest) + ":" + std::to_string(i + 1) + ": ";
    if (rows[i].file.empty()) continue;
    if (!fs::exists(folder / rows[i].file))
      problems.push_back(where + rows[i].file + " is missing");
    else if (const std::string found = sha256_of_file(folder / rows[i].file); found != rows[i].sha256)
      problems.push_back(where + "sha256: expected " + rows[i].sha256 + ", found " + found);
  }
  if (!fs::exists(folder / kDescription)) {
    problems.push_back("not built: limn data build " + folder.string());
    return problems;
  }
  const json::object description = read_json_object(folder / kDescription);
  if (Fields(description, kDescription).string("manifest_sha256", "") != sha256_of_file(folder / kManifest))
    problems.push_back("the manifest changed since the shards were built: limn data build " +
                       folder.string());
  for (const char* split : {"train", "validation"}) {
    const Dataset data = Dataset::open(folder, split);
    for (int64_t i = 0; i < data.size(); ++i) {
      const Example example = data.at(i);
      if (example.row < 0 || example.row >= static_cast<int64_t>(rows.size()) ||
          rows[static_cast<size_t>(example.row)].caption != example.caption) {
        problems.push_back(std::string(split) + " example " + std::to_string(i) + " is not the row it names");
        break;
      }
    }
  }
  return problems;
}

}  // namespace limn::datasets
