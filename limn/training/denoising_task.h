// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "limn/training/latent_cache.h"
#include "limn/training/networks.h"
#include "limn/training/objective.h"
#include "limn/training/task.h"

namespace limn::training {

/// Trains what denoises latents: a whole model from nothing, an existing one, low-rank changes of it (Hu et al. 2021),
/// one subject of it (Ruiz et al. 2023), a word for it (Gal et al. 2022); or the same in few steps (Luo et al. 2023).
class DenoisingTask : public Task {
 public:
  /// @param teacher  that distillation learns from; null without it
  DenoisingTask(const TrainConfig& config, Networks networks, const std::filesystem::path& output,
                std::shared_ptr<const models::UNet2DConditionModel> teacher = {});

  const std::vector<Group>& groups() const override { return groups_; }
  LoadOptions load_options(int64_t samples_seen) const override;
  const CaptionEncoder* captions() const override { return &*captions_; }
  at::Tensor loss(const Batch& batch, int64_t step) override;
  std::vector<Scalar> validate(const datasets::Dataset& held_out, int64_t samples) override;
  std::vector<SamplePicture> preview(const datasets::Dataset& held_out) override;
  json::object memorisation(const datasets::Dataset& train, const datasets::Dataset& held_out) override;
  std::filesystem::path write(const std::filesystem::path& folder) override;

  /// @param latents, noise  float32 [batch, channels, h, w], the denoiser's scale
  /// @param levels          of Objective::draw_levels
  /// @param input_ids       int64 [batch, tokens]
  /// @param instances       the first samples; the others are the class's, of dreambooth
  at::Tensor loss_of(const at::Tensor& latents, const at::Tensor& noise, const at::Tensor& levels,
                     const at::Tensor& input_ids, int64_t instances);
  /// The loss of latent consistency distillation (Luo et al. 2023, eq. 16, algorithm 1): what the network says at a step is to
  /// be what it says after a guided step of the teacher, with the steps, boundary and Huber loss of diffusers' script.
  /// @param levels     of Objective::draw_levels, rounded to the steps
  /// @param empty_ids  int64 [tokens], of no caption
  at::Tensor distillation_loss(const at::Tensor& latents, const at::Tensor& noise, const at::Tensor& levels,
                               const at::Tensor& input_ids, const at::Tensor& empty_ids);
  /// The network's answer to a noised batch, float32.
  at::Tensor predict(const NoisedBatch& batch, const at::Tensor& input_ids);
  const Objective& objective() const { return *objective_; }

 private:
  void choose_parameters();
  void add_word();
  /// Puts the new word's rows behind the table, so that gradients reach them.
  void join_word();
  at::Tensor answer(const models::UNet2DConditionModel& unet, const at::Tensor& sample,
                    const at::Tensor& timesteps, const at::Tensor& states) const;
  /// What the text encoder says of each row.
  at::Tensor encode_text(const at::Tensor& input_ids);
  at::Tensor latents_of(const datasets::Dataset& data, const Batch& batch) const;
  std::vector<Image> draw(const std::vector<std::string>& prompts, int64_t width, int64_t height) const;
  at::Tensor embed(const std::vector<Image>& pictures) const;

  TrainConfig config_;
  Networks networks_;
  std::shared_ptr<const models::UNet2DConditionModel> teacher_;  // of distillation
  std::filesystem::path output_;
  at::Device device_;
  bool bfloat16_;
  std::optional<Objective> objective_;
  std::vector<Group> groups_;
  std::optional<CaptionEncoder> captions_;
  bool train_text_ = false;
  at::Tensor vocabulary_, word_;  // the table as it was, and the new rows; of textual inversion
  std::optional<datasets::Dataset> data_, class_data_;
  std::optional<BatchOrder> class_order_;
  mutable std::unique_ptr<LatentCache> cache_;
  std::map<std::vector<int64_t>, at::Tensor> texts_;  // of data.cache_text: ids → [tokens, dim]
};

}  // namespace limn::training
