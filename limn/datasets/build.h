// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "limn/datasets/manifest.h"

namespace limn::datasets {

struct AddOptions {
  std::string licence, attribution, source, people,
      consent;                     // for pictures that do not say; empty: as they say
  std::string split = "auto";      // "train", "validation", "auto": by the picture's hash
  double validation_share = 0.02;  // of auto
  bool allow_unlicensed = false;
};

struct Progress {
  int64_t done = 0, total = 0;  // pictures; total 0: not known
};

struct AddResult {
  int64_t added = 0, excluded = 0, known = 0;
  std::vector<std::string> problems;  // a line each: broken pictures, cleaned captions; at most kMostListed
  int64_t broken = 0;
};
inline constexpr size_t kMostListed = 1000;

/// Takes pictures into the data set at `folder`: files are copied to pictures/ab/SHA256.png, rows go to manifest.jsonl.
/// Pictures that are broken, opted out of training or already there are recorded and counted, and never end it.
/// @throws Error{InvalidArgument} naming the first picture without a licence; what for_each_item throws
AddResult add_pictures(const std::filesystem::path& folder, const std::vector<std::filesystem::path>& sources,
                       const AddOptions& options, const std::function<void(const Progress&)>& on_progress);

struct BuildOptions {
  int resolution = 128;     // a square's side in pixels; other buckets have about as many pixels
  int buckets = 1;          // aspect ratios: 1 is squares only; see bucket_sizes
  int near_duplicates = 4;  // bits of perceptual_hash that may differ; −1: do not look
  int min_side = 0;         // pixels; pictures with a shorter side are left out
  bool pad = false;         // white beside what does not fit, instead of cropping
  bool force = false;       // also when the shards are there already and fit manifest and options
};

/// Makes the shards that training maps: pictures decoded, resized, cropped and sorted by aspect ratio, captions as token
/// ids. Same manifest and options, same bytes. Near duplicates, small and narrow pictures are excluded in the manifest.
/// Until the new shards are whole, the old ones stay. Memory: 1 GiB, one picture, and the manifest.
/// @return  dataset.json
/// @throws Error{InvalidArgument} when the disk has too little room, or nothing is left to train on
json::object build_shards(const std::filesystem::path& folder, const BuildOptions& options,
                          const std::function<void(const Progress&)>& on_progress);

/// Problems of a data set: files that are missing or have other bytes than the manifest says, shards that do not fit it.
std::vector<std::string> check_data_set(const std::filesystem::path& folder,
                                        const std::function<void(const Progress&)>& on_progress);

}  // namespace limn::datasets
