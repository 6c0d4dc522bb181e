// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "limn/training/autoencoder_loss.h"
#include "limn/training/networks.h"
#include "limn/training/task.h"

namespace limn::training {

/// Trains an AutoencoderKL (Rombach et al. 2022, §3.1): reconstruction, divergence and, after a start step, a patch
/// discriminator whose weight keeps its gradient as large as the reconstruction's.
class AutoencoderTask : public Task {
 public:
  AutoencoderTask(const TrainConfig& config, Networks networks);

  const std::vector<Group>& groups() const override { return groups_; }
  LoadOptions load_options(int64_t samples_seen) const override;
  at::Tensor loss(const Batch& batch, int64_t step) override;
  const Group* adversary() const override { return discriminator_ ? &adversary_ : nullptr; }
  at::Tensor adversary_loss() override;
  std::vector<Scalar> terms() const override { return terms_; }
  std::vector<Scalar> validate(const datasets::Dataset& held_out, int64_t samples) override;
  std::vector<SamplePicture> preview(const datasets::Dataset& held_out) override;
  std::filesystem::path write(const std::filesystem::path& folder) override;

  /// @param pixels  float32 [batch, 3, height, width] in [-1, 1]
  /// @param noise   standard normal, of the latents' shape
  at::Tensor loss_of(const at::Tensor& pixels, const at::Tensor& noise, int64_t step);
  PatchDiscriminator* discriminator() { return discriminator_ ? &*discriminator_ : nullptr; }

 private:
  at::Tensor reconstruct(const at::Tensor& pixels) const;
  /// Makes the latents of `data` have mean 0 and deviation 1 in each channel, exactly, by folding it into quant_conv and
  /// post_quant_conv; without them, into scaling_factor.
  void normalise_latents(const datasets::Dataset& data);

  TrainConfig config_;
  Networks networks_;
  at::Device device_;
  bool bfloat16_;
  std::vector<Group> groups_;
  std::optional<PerceptualLoss> perceptual_;
  std::optional<PatchDiscriminator> discriminator_;
  Group adversary_;
  at::Tensor last_layer_, real_, fake_;
  std::vector<Scalar> terms_;
};

}  // namespace limn::training
