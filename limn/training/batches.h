// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "limn/datasets/dataset.h"
#include "limn/text/clip_tokenizer.h"

namespace limn::training {

/// Which examples make which batch: every epoch a new order of examples and batches, a function of the seed alone.
/// All examples of a batch are of one bucket; a bucket's last batch is filled from its start. One thread at a time.
class BatchOrder {
 public:
  /// @param batch  examples of all processes together
  /// @throws Error{InvalidArgument} when there is no example
  BatchOrder(std::vector<datasets::Bucket> buckets, uint64_t seed, int64_t batch);

  int64_t batches_per_epoch() const { return batches_per_epoch_; }
  /// Examples of the number-th batch of the run, from 0.
  std::vector<int64_t> at(int64_t number);

 private:
  void shuffle(int64_t epoch);

  std::vector<datasets::Bucket> buckets_;
  uint64_t seed_;
  int64_t batch_, batches_per_epoch_ = 0, epoch_ = -1;
  std::vector<std::vector<int64_t>> order_;              // examples of each bucket
  std::vector<std::pair<size_t, int64_t>> batch_order_;  // bucket, batch in it
};

/// One process's share of a batch.
struct Batch {
  std::vector<int64_t> examples;  // of the data set
  uint64_t first = 0;             // number of its first sample in the run: what randomness depends on
  int64_t global_batch = 0;       // samples of all processes
  at::Tensor pixels;              // uint8 [batch, height, width, 3]; undefined when latents are cached
  at::Tensor input_ids;           // int64 [batch, tokens]
};

/// How captions become token ids of one length.
class CaptionEncoder {
 public:
  /// @param new_token  a word without a place in the vocabulary, or empty
  /// @param vectors    ids it takes, from `first_id` on
  CaptionEncoder(const text::CLIPTokenizer& tokenizer, std::string new_token = {}, int64_t first_id = 0,
                 int64_t vectors = 0);
  /// int64 [max_length]
  std::vector<int64_t> encode(const datasets::Example& example) const;
  std::vector<int64_t> encode(std::string_view caption) const;

 private:
  std::vector<int64_t> padded(std::vector<int64_t> ids) const;
  const text::CLIPTokenizer& tokenizer_;
  bool built_in_;
  std::string new_token_;
  int64_t first_id_, vectors_;
};

struct LoadOptions {
  uint64_t seed = 0;
  int64_t crop = 0;  // side of random crops, 0: whole
  double caption_dropout = 0, horizontal_flip = 0;
  bool pixels = true;
};

/// Reads examples, cropped, mirrored and without their caption as chance has it.
Batch load_batch(const datasets::Dataset& data, std::vector<int64_t> examples, uint64_t first,
                 int64_t global_batch, const CaptionEncoder* captions, const LoadOptions& options);

/// uint8 [batch, height, width, 3] → float32 [batch, 3, height, width] in [-1, 1], channels innermost in memory.
at::Tensor to_unit_pixels(const at::Tensor& pixels, at::Device device);

}  // namespace limn::training
