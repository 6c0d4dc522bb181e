// SPDX-License-Identifier: Apache-2.0
#include "limn/training/latent_cache.h"

#include <numeric>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/stack.h>

#include "limn/base/error.h"
#include "limn/training/batches.h"
#include "limn/training/task.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::training {
namespace {

constexpr int64_t kEncodedAtOnce = 32;
constexpr char kKey[] = "limn.latents_of";

std::string name_of(const char* what, size_t bucket) {
  return std::string(what) + "." + std::to_string(bucket);
}

}  // namespace

LatentCache::LatentCache(const std::filesystem::path& file, const std::string& key,
                         const datasets::Dataset& data, const models::AutoencoderKL& vae, bool bfloat16,
                         const std::function<void(int64_t)>& progress) {
  const auto& buckets = data.buckets();
  if (std::filesystem::exists(file)) {
    const weights::Index index = weights::open_tensor_file(file);
    const auto found = index.metadata.find(kKey);
    if (found != index.metadata.end() && found->second == key) {
      for (size_t b = 0; b < buckets.size(); ++b)
        buckets_.push_back({buckets[b].first, buckets[b].count,
                            weights::to_tensor(*index.find(name_of("mean", b))),
                            weights::to_tensor(*index.find(name_of("logvar", b)))});
      return;
    }
  }
  const at::NoGradGuard no_grad;
  const auto device = vae.parameters_options().device();
  std::map<std::string, weights::TensorEntry> entries;
  int64_t done = 0;
  for (size_t b = 0; b < buckets.size(); ++b) {
    const datasets::Bucket& bucket = buckets[b];
    const int64_t factor = vae.config().factor();
    Rows rows{bucket.first, bucket.count, {}, {}};
    rows.mean =
        at::empty({bucket.count, vae.config().latent_channels, bucket.height / factor, bucket.width / factor},
                  at::kHalf);
    rows.logvar = at::empty_like(rows.mean);
    for (int64_t from = 0; from < bucket.count; from += kEncodedAtOnce) {
      std::vector<int64_t> examples(static_cast<size_t>(std::min(kEncodedAtOnce, bucket.count - from)));
      std::iota(examples.begin(), examples.end(), bucket.first + from);
      const auto count = static_cast<int64_t>(examples.size());
      const Batch batch = load_batch(data, std::move(examples), 0, 1, nullptr, {});
      const Autocast autocast(bfloat16, device.type());
      const models::DiagonalGaussian posterior = vae.encode(to_unit_pixels(batch.pixels, device));
      rows.mean.slice(0, from, from + count).copy_(posterior.mean);
      rows.logvar.slice(0, from, from + count).copy_(posterior.logvar);
      progress(done += count);
    }
    entries[name_of("mean", b)] = weights::to_entry(rows.mean);
    entries[name_of("logvar", b)] = weights::to_entry(rows.logvar);
    buckets_.push_back(std::move(rows));
  }
  weights::write_safetensors(file, entries, {{kKey, key}});
}

models::DiagonalGaussian LatentCache::at(const std::vector<int64_t>& examples) const {
  std::vector<at::Tensor> means, logvars;
  for (const int64_t example : examples)
    for (const Rows& rows : buckets_)
      if (example >= rows.first && example < rows.first + rows.count) {
        means.push_back(rows.mean[example - rows.first]);
        logvars.push_back(rows.logvar[example - rows.first]);
      }
  LIMN_CHECK(means.size() == examples.size(), "an example has no cached latents");
  return {at::stack(means).to(at::kFloat), at::stack(logvars).to(at::kFloat)};
}

}  // namespace limn::training
