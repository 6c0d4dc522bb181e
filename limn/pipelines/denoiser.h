// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "limn/pipelines/conditioning.h"
#include "limn/pipelines/guidance.h"
#include "limn/pipelines/shortcuts.h"
#include "limn/schedulers/scheduler.h"

namespace limn::pipelines {

/// What the U-Net is asked with, and for how much it counts.
struct Branch {
  Conditioning condition;
  double weight = 1;  // of positive branches: composed as Liu et al. 2022, eq. 11
  at::Tensor
      channels;  // [1 or batch, extra channels, h, w], beside the latents (inpainting, editing); may be undefined
};

/// All that a prediction is made of, up to and including one model call.
struct Branches {
  int64_t until = INT64_MAX;
  std::vector<Branch> positive;  // one or more
  std::optional<Branch> negative;
  std::optional<Branch> image_only;  // negative text with the picture: models that edit by instruction
};

/// Where the picture is larger than what is denoised at once: overlapping windows, averaged (Bar-Tal et al. 2023).
struct TiledDiffusion {
  int64_t tile = 0;  // latents a side; 0: off
  int64_t overlap = 16;
};

/// A model's answer to one step.
struct Prediction {
  at::Tensor guided;         // float32 [batch, channels, h, w]
  at::Tensor unconditional;  // likewise; undefined when it was not asked for
};

/// Noise level ᾱ of a timestep, for methods that look at the clean picture.
struct NoiseLevels {
  std::vector<float> alphas_cumprod;
  schedulers::Prediction prediction = schedulers::Prediction::Epsilon;
  double alpha_bar(double timestep) const;
};

/// Where in a run the model is called.
struct Moment {
  double timestep;
  double sigma;     // noise over signal of the latents
  double progress;  // share of the run that is done, 0 to 1
  size_t step;      // 0-based model call: for what happens every other time, and which branches hold
};

/// The U-Net with everything that guides it, as one function of latents and time. Keeps what does not change from call to
/// call. One thread at a time.
class GuidedDenoiser {
 public:
  /// @param branches  in order of `until`; one or more
  /// @throws Error{InvalidArgument} for shortcuts that the U-Net or the guidance leaves no room for
  GuidedDenoiser(const models::UNet2DConditionModel& unet, std::vector<Branches> branches,
                 const Guidance& guidance, const NoiseLevels& levels, const TiledDiffusion& tiling = {},
                 const Shortcuts& shortcuts = {});

  /// @param input  what the scheduler made of `latents` for the model, float32 [batch, channels, h, w]
  Prediction predict(const at::Tensor& input, const at::Tensor& latents, const Moment& moment);

 private:
  /// What the U-Net is asked: its input, when, and which window of the picture that is.
  struct Call {
    at::Tensor input;  // float32 [batch, channels, h, w]
    double timestep;
    size_t step = 0, tile = 0;
  };
  /// What a set of branches that share a call of the U-Net tells it, the same at each step.
  struct Told {
    std::vector<Conditioning> conditions;
    int64_t batch;
    models::DenoiserCondition condition;
    models::KeyValueCache keys;
    struct Deep {
      models::DeepFeature feature;
      size_t step = 0;  // at which it was made
    };
    std::map<std::pair<size_t, size_t>, Deep> deep = {};  // by tile and place of the first branch
  };
  struct Plan;
  Plan plan_of(const Moment& moment) const;
  Prediction predict_whole(const Call& call, const at::Tensor& latents, const Plan& plan,
                           const Branches& branches);
  Prediction predict_tiled(const Call& call, const at::Tensor& latents, const Plan& plan,
                           const Branches& branches);
  std::vector<at::Tensor> run(const Call& call, const std::vector<const Branch*>& branches,
                              models::UNetControls controls);
  Told& told_by(const std::vector<const Branch*>& branches, int64_t batch);
  at::Tensor self_attention_guidance(const at::Tensor& latents, const at::Tensor& output,
                                     const at::Tensor& probabilities, int64_t height, int64_t width,
                                     double timestep, const Branch& branch);

  const models::UNet2DConditionModel& unet_;
  std::vector<Branches> branches_;
  Guidance guidance_;
  NoiseLevels levels_;
  TiledDiffusion tiling_;
  Shortcuts shortcuts_;
  size_t now_ = 0;        // which of branches_ the last call was for
  std::list<Told> told_;  // of its branches, guided and not
};

/// The sinusoidal embedding of w = guidance_scale − 1 that latent consistency models are told (Luo et al. 2023, §4.2).
/// @return  float32 [1, dim]
at::Tensor guidance_scale_embedding(double w, int64_t dim);

}  // namespace limn::pipelines
