// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/datasets/manifest.h"
#include "limn/image/image.h"

namespace limn::datasets {

/// Of a model's folder: each picture that it was trained on, as gzipped lines of JSON with caption, name, source, licence,
/// attribution and perceptual hash.
inline constexpr char kTrainingRecord[] = "training_data.jsonl.gz";

/// Keeps what a model learned from beside it.
/// @param model  its folder  @param data  the data set's, whose rows of the split "train" are taken
void write_training_record(const std::filesystem::path& model, const std::filesystem::path& data);

/// A training picture and how near it is: 1 is the same, 0 has nothing to do with it.
struct Likeness {
  double likeness = 0;
  Row row;
};

/// What a model learned from. Immutable; safe to share between threads.
class TrainingRecord {
 public:
  /// @param model  its folder
  /// @throws Error{NotFound} when it keeps no record, Error{BadFile}
  static TrainingRecord read(const std::filesystem::path& model);

  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  /// Pictures whose captions share the most telling words with the prompt, best first: the cosine of their words weighed by
  /// rarity (Salton & Buckley 1988). Captions alike come once.
  std::vector<Likeness> nearest(std::string_view prompt, int64_t count) const;
  /// Pictures that look the most alike: 1 − 2 × the share of the perceptual hash's bits that differ, best first.
  std::vector<Likeness> nearest(const Image& picture, int64_t count) const;

 private:
  std::vector<Row> rows_;
};

}  // namespace limn::datasets
