// SPDX-License-Identifier: Apache-2.0
#include "limn/training/batches.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include "limn/base/error.h"
#include "limn/training/random.h"

namespace limn::training {
namespace {

constexpr int64_t kClipVocabulary = 49408;

template <typename T>
void shuffle_by(std::vector<T>& items, uint64_t seed, uint64_t name) {
  for (size_t i = items.size(); i > 1; --i)  // Fisher & Yates
    std::swap(items[i - 1], items[mixed(seed ^ name, Stream::Order, i) % i]);
}

int64_t batches_of(int64_t count, int64_t batch) { return (count + batch - 1) / batch; }

}  // namespace

BatchOrder::BatchOrder(std::vector<datasets::Bucket> buckets, uint64_t seed, int64_t batch)
    : buckets_(std::move(buckets)), seed_(seed), batch_(batch) {
  std::erase_if(buckets_, [](const datasets::Bucket& b) { return b.count == 0; });
  for (const datasets::Bucket& bucket : buckets_) batches_per_epoch_ += batches_of(bucket.count, batch);
  if (batches_per_epoch_ == 0)
    throw Error(ErrorCode::InvalidArgument, "data.path", "the data set has no pictures to train on",
                "limn data stats says which were excluded, and why");
}

void BatchOrder::shuffle(int64_t epoch) {
  order_.clear();
  batch_order_.clear();
  for (size_t b = 0; b < buckets_.size(); ++b) {
    std::vector<int64_t> examples(static_cast<size_t>(buckets_[b].count));
    std::iota(examples.begin(), examples.end(), buckets_[b].first);
    shuffle_by(examples, seed_, mixed(static_cast<uint64_t>(epoch), Stream::Order, b + 1));
    order_.push_back(std::move(examples));
    for (int64_t k = 0; k < batches_of(buckets_[b].count, batch_); ++k) batch_order_.emplace_back(b, k);
  }
  shuffle_by(batch_order_, seed_, mixed(static_cast<uint64_t>(epoch), Stream::Order, 0));
  epoch_ = epoch;
}

std::vector<int64_t> BatchOrder::at(int64_t number) {
  if (number / batches_per_epoch_ != epoch_) shuffle(number / batches_per_epoch_);
  const auto [bucket, k] = batch_order_[static_cast<size_t>(number % batches_per_epoch_)];
  const auto& order = order_[bucket];
  std::vector<int64_t> out(static_cast<size_t>(batch_));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = order[(static_cast<size_t>(k * batch_) + i) % order.size()];
  return out;
}

CaptionEncoder::CaptionEncoder(const text::CLIPTokenizer& tokenizer, std::string new_token, int64_t first_id,
                               int64_t vectors)
    : tokenizer_(tokenizer),
      built_in_(tokenizer.size() == kClipVocabulary && tokenizer.eos() == kClipVocabulary - 1),
      new_token_(std::move(new_token)),
      first_id_(first_id),
      vectors_(vectors) {}

std::vector<int64_t> CaptionEncoder::padded(std::vector<int64_t> ids) const {
  const auto length = static_cast<size_t>(tokenizer_.max_length());
  if (ids.size() > length - 2) ids.resize(length - 2);
  ids.insert(ids.begin(), tokenizer_.bos());
  ids.push_back(tokenizer_.eos());
  ids.resize(length, tokenizer_.pad());
  return ids;
}

std::vector<int64_t> CaptionEncoder::encode(const datasets::Example& example) const {
  if (new_token_.empty() && built_in_) return padded({example.input_ids.begin(), example.input_ids.end()});
  return encode(example.caption);
}

std::vector<int64_t> CaptionEncoder::encode(std::string_view caption) const {
  if (new_token_.empty()) return padded(tokenizer_.encode(caption));
  std::string text(caption);
  if (text.find(new_token_) == std::string::npos)
    text = text.empty() ? "a picture of " + new_token_ : new_token_ + ", " + text;
  std::vector<int64_t> ids;
  for (size_t from = 0; from <= text.size();) {
    const size_t found = text.find(new_token_, from);
    const auto words = tokenizer_.encode(std::string_view(text).substr(from, found - from));
    ids.insert(ids.end(), words.begin(), words.end());
    if (found == std::string::npos) break;
    for (int64_t v = 0; v < vectors_; ++v) ids.push_back(first_id_ + v);
    from = found + new_token_.size();
  }
  return padded(std::move(ids));
}

Batch load_batch(const datasets::Dataset& data, std::vector<int64_t> examples, uint64_t first,
                 int64_t global_batch, const CaptionEncoder* captions, const LoadOptions& options) {
  Batch batch{.examples = std::move(examples), .first = first, .global_batch = global_batch};
  const auto count = static_cast<int64_t>(batch.examples.size());
  for (int64_t i = 0; i < count; ++i) {
    const datasets::Example example = data.at(batch.examples[static_cast<size_t>(i)]);
    const uint64_t index = first + static_cast<uint64_t>(i);
    if (options.pixels) {
      const int64_t crop = options.crop == 0 ? INT64_MAX : options.crop;
      const int64_t height = std::min<int64_t>(crop, example.height),
                    width = std::min<int64_t>(crop, example.width);
      if (!batch.pixels.defined()) batch.pixels = at::empty({count, height, width, 3}, at::kByte);
      const auto place = [&](uint64_t axis, int64_t room) {
        return static_cast<int64_t>(mixed(options.seed, Stream::Augmentation, index * 3 + axis) %
                                    static_cast<uint64_t>(room + 1));
      };
      const int64_t top = place(0, example.height - height), left = place(1, example.width - width);
      const bool flip = uniform(options.seed, Stream::Augmentation, index * 3 + 2) < options.horizontal_flip;
      auto* to = batch.pixels[i].mutable_data_ptr<uint8_t>();
      for (int64_t y = 0; y < height; ++y) {
        const uint8_t* row = example.pixels.data() + ((top + y) * example.width + left) * 3;
        if (!flip) std::memcpy(to + y * width * 3, row, static_cast<size_t>(width * 3));
        for (int64_t x = 0; flip && x < width; ++x)
          std::memcpy(to + (y * width + x) * 3, row + (width - 1 - x) * 3, 3);
      }
    }
    if (captions) {
      const bool dropped = uniform(options.seed, Stream::Dropout, index) < options.caption_dropout;
      const auto ids = dropped ? captions->encode(std::string_view()) : captions->encode(example);
      if (!batch.input_ids.defined())
        batch.input_ids = at::empty({count, static_cast<int64_t>(ids.size())}, at::kLong);
      std::memcpy(batch.input_ids[i].mutable_data_ptr<int64_t>(), ids.data(), ids.size() * sizeof(int64_t));
    }
  }
  return batch;
}

at::Tensor to_unit_pixels(const at::Tensor& pixels, at::Device device) {
  return pixels.to(device).permute({0, 3, 1, 2}).to(at::kFloat).div_(127.5).sub_(1.0);
}

}  // namespace limn::training
