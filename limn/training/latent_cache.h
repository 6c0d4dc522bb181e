// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "limn/datasets/dataset.h"
#include "limn/models/autoencoder_kl/autoencoder_kl.h"

namespace limn::training {

/// The latents' distributions of all pictures of a data set, encoded once and kept as float16 in a file.
class LatentCache {
 public:
  /// Opens FILE when it was made from this data set and autoencoder, else makes it.
  /// @param key       of data set and autoencoder
  /// @param progress  called with pictures done
  LatentCache(const std::filesystem::path& file, const std::string& key, const datasets::Dataset& data,
              const models::AutoencoderKL& vae, bool bfloat16, const std::function<void(int64_t)>& progress);

  /// @param examples  of one bucket
  models::DiagonalGaussian at(const std::vector<int64_t>& examples) const;

 private:
  struct Rows {
    int64_t first, count;
    at::Tensor mean, logvar;  // float16 [count, channels, h, w]
  };
  std::vector<Rows> buckets_;
};

}  // namespace limn::training
