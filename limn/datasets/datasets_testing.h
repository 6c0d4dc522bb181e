// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/build.h"
#include "limn/image/image.h"

namespace limn::datasets {
namespace fs = std::filesystem;
using testing::HasSubstr;

inline const fs::path kFolder = fs::path(LIMN_SOURCE_DIR) / "limn" / "datasets" / "testdata";
inline const fs::path kPictures = fs::path(LIMN_SOURCE_DIR) / "limn" / "image" / "testdata";

inline void write(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// A picture of one colour with a lighter square somewhere.
inline std::string picture(int seed, int width = 40, int height = 32, std::span<const TextEntry> texts = {}) {
  Image image{width, height, 3,
              std::vector<uint8_t>(static_cast<size_t>(width * height * 3), static_cast<uint8_t>(seed * 37))};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      if ((x * 3 + y * 5 + seed * 11) % (7 + seed) < 4)
        image.pixels[static_cast<size_t>((y * width + x) * 3 + seed % 3)] =
            static_cast<uint8_t>(255 - seed * 9);
  return encode_image(image, "png", texts);
}

class DataSet : public ::testing::Test {
 protected:
  fs::path root = fs::temp_directory_path() / ("limn_datasets_" + std::to_string(::getpid()));
  fs::path set = root / "set", in = root / "in";
  AddOptions options{.licence = "CC0-1.0", .attribution = "somebody", .split = "train"};
  void SetUp() override { fs::create_directories(in); }
  void TearDown() override { fs::remove_all(root); }
  AddResult add(std::vector<fs::path> sources = {}) {
    if (sources.empty()) sources = {in};
    return add_pictures(set, sources, options, [](const Progress&) {});
  }
  std::vector<Row> rows() { return read_manifest(set / "manifest.jsonl"); }
  json::object build(BuildOptions build = {.resolution = 32, .near_duplicates = -1, .force = true}) {
    return build_shards(set, build, [](const Progress&) {});
  }
};

}  // namespace limn::datasets
