// SPDX-License-Identifier: Apache-2.0
// What the denoiser keeps from call to call, against calls of the U-Net that keep nothing.
#include "limn/pipelines/denoiser.h"

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/models/checkpoint.h"
#include "limn/nn/load_parameters.h"

namespace limn::pipelines {
namespace {

using models::UNet2DConditionModel;

constexpr double kScale = 3;

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

std::unique_ptr<UNet2DConditionModel> load_unet(const std::string& name = "sd1") {
  const auto folder = std::filesystem::path(LIMN_SOURCE_DIR) / "tests" / "goldens" / "families" / name;
  const models::Part part = models::open_checkpoint(folder).parts.at("unet");
  auto unet =
      std::make_unique<UNet2DConditionModel>(models::UNet2DConditionConfig::from_json(part.config, "unet"));
  nn::load_parameters(*unet, part.tensors, at::kFloat, at::kCPU, "unet");
  return unet;
}

Branch branch(uint64_t seed) { return {.condition = {noise({1, 77, 32}, seed), {}, {}}}; }

Branches branches(uint64_t seed) { return {.positive = {branch(seed)}, .negative = branch(seed + 1)}; }

GuidedDenoiser denoiser_of(const UNet2DConditionModel& unet, std::vector<Branches> of,
                           const Shortcuts& shortcuts = {}) {
  return {unet, std::move(of), {.scale = kScale}, {}, {}, shortcuts};
}

Moment moment(size_t step) {
  return {.timestep = 900 - 100.0 * static_cast<double>(step), .sigma = 1, .progress = 0.5, .step = step};
}

at::Tensor latents(size_t step) { return noise({2, 4, 12, 10}, 100 + step); }

/// Both halves in one batch, the texts repeated for each picture, with nothing kept.
at::Tensor by_definition(const UNet2DConditionModel& unet, const at::Tensor& input, double timestep,
                         const Branches& of, const models::UNetControls& controls = {}) {
  const auto states = [&](const Branch& b) {
    return b.condition.hidden_states.repeat({input.size(0), 1, 1});
  };
  const at::Tensor made =
      unet.forward(at::cat({input, input}, 0), at::full({1}, timestep),
                   {.encoder_hidden_states = at::cat({states(*of.negative), states(of.positive.front())}, 0),
                    .controls = &controls});
  const auto halves = made.chunk(2, 0);
  return halves[0] + kScale * 1.0 * (halves[1] - halves[0]);
}

/// Numbers that nothing survives, in the place of the parameters whose name `chooses`.
template <typename Choose>
int poison(UNet2DConditionModel& unet, const Choose& chooses) {
  int count = 0;
  for (const auto& [name, tensor] : unet.parameters())
    if (chooses(name)) {
      *tensor = at::full_like(*tensor, NAN);
      ++count;
    }
  return count;
}

bool makes_keys_or_values(const std::string& name) {
  return name.find("attn2.to_k") != std::string::npos || name.find("attn2.to_v") != std::string::npos;
}

TEST(GuidedDenoiser, GivesTheBitsOfCallsThatKeepNothing) {
  const c10::InferenceMode inference;
  const auto unet = load_unet();
  const Branches of = branches(1);
  GuidedDenoiser denoiser = denoiser_of(*unet, {of});
  for (size_t step = 0; step < 3; ++step)
    EXPECT_TRUE(at::equal(denoiser.predict(latents(step), latents(step), moment(step)).guided,
                          by_definition(*unet, latents(step), moment(step).timestep, of)))
        << step;
}

TEST(GuidedDenoiser, MakesKeysAndValuesOfAPromptOnce) {
  const c10::InferenceMode inference;
  const auto unet = load_unet();
  std::vector<Branches> edited{branches(1), branches(3)};
  edited.front().until = 2;
  std::vector<at::Tensor> expected;
  for (size_t step = 0; step < 4; ++step)
    expected.push_back(by_definition(*unet, latents(step), moment(step).timestep, edited[step <= 2 ? 0 : 1]));
  GuidedDenoiser denoiser = denoiser_of(*unet, edited);
  const auto predict = [&](size_t step) {
    return denoiser.predict(latents(step), latents(step), moment(step)).guided;
  };
  EXPECT_TRUE(at::equal(predict(0), expected[0]));
  ASSERT_GT(poison(*unet, makes_keys_or_values), 0);
  EXPECT_TRUE(at::equal(predict(1), expected[1])) << "keys or values were made again";
  EXPECT_TRUE(at::equal(predict(2), expected[2])) << "keys or values were made again";
  EXPECT_FALSE(at::isfinite(predict(3)).any().item<bool>()) << "the edited prompt has the keys of the first";
}

TEST(GuidedDenoiser, FollowsAnEditedPrompt) {
  const c10::InferenceMode inference;
  const auto unet = load_unet();
  std::vector<Branches> edited{branches(1), branches(3)};
  edited.front().until = 1;
  GuidedDenoiser denoiser = denoiser_of(*unet, edited);
  for (size_t step = 0; step < 4; ++step)
    EXPECT_TRUE(
        at::equal(denoiser.predict(latents(step), latents(step), moment(step)).guided,
                  by_definition(*unet, latents(step), moment(step).timestep, edited[step <= 1 ? 0 : 1])))
        << step;
}

/// Parameters of what is deeper than the first layer of the way down and the last two of the way up; `sd1` has three levels
/// of one layer.
bool is_deep(const std::string& name) {
  return name.starts_with("down_blocks.1") || name.starts_with("down_blocks.2") ||
         name.starts_with("mid_block") || name.starts_with("up_blocks.0") ||
         name.starts_with("up_blocks.1") || name.starts_with("down_blocks.0.downsamplers");
}

TEST(DeepFeature, InThePlaceOfTheDeepLayersGivesTheBitsOfAFullCall) {
  const c10::InferenceMode inference;
  for (const char* name : {"sd1", "sd2"}) {
    const auto unet = load_unet(name);
    const int64_t dim = unet->config().cross_attention_dim.front();
    const at::Tensor sample = noise({2, 4, 13, 10}, 1), other = noise({2, 4, 13, 10}, 3),
                     time = at::full({1}, 500.0);
    models::DenoiserCondition condition{.encoder_hidden_states = noise({2, 77, dim}, 2)};
    const at::Tensor full = unet->forward(sample, time, condition);
    for (size_t skip = 1; skip < unet->skip_count(); ++skip) {
      models::DeepFeature deep{.skip = skip, .value = {}}, of_other{.skip = skip, .value = {}};
      models::UNetControls controls;
      condition.controls = &controls;
      controls.deep = &deep;
      EXPECT_TRUE(at::equal(unet->forward(sample, time, condition), full)) << skip;
      ASSERT_TRUE(deep.value.defined());
      EXPECT_TRUE(at::equal(unet->forward(sample, time, condition), full)) << skip;
      controls.deep = &of_other;
      const at::Tensor whole = unet->forward(other, time, condition);
      const at::Tensor mixed = unet->forward(sample, time, condition);
      EXPECT_FALSE(at::equal(mixed, full) || at::equal(mixed, whole)) << skip;
    }
  }
}

TEST(DeepFeature, LeavesOutTheDeepLayers) {
  const c10::InferenceMode inference;
  const auto unet = load_unet();
  const at::Tensor sample = noise({1, 4, 12, 10}, 1), time = at::full({1}, 500.0);
  models::DeepFeature deep;
  const models::UNetControls controls{.deep = &deep};
  const models::DenoiserCondition condition{.encoder_hidden_states = noise({1, 77, 32}, 2),
                                            .controls = &controls};
  const at::Tensor full = unet->forward(sample, time, condition);
  ASSERT_GT(poison(*unet, is_deep), 0);
  EXPECT_TRUE(at::equal(unet->forward(sample, time, condition), full));
}

TEST(StepCache, MakesTheDeepFeatureAtEveryNthCall) {
  const c10::InferenceMode inference;
  const auto unet = load_unet();
  const Branches of = branches(1);
  for (const int64_t every : {2, 3}) {
    GuidedDenoiser denoiser = denoiser_of(*unet, {of}, {.step_cache = every, .step_cache_branch = 1});
    models::DeepFeature deep{.skip = 2, .value = {}};
    const models::UNetControls controls{.deep = &deep};
    for (size_t step = 0; step < 7; ++step) {
      if (step % static_cast<size_t>(every) == 0) deep.value.reset();
      const at::Tensor expected = by_definition(*unet, latents(step), moment(step).timestep, of, controls);
      EXPECT_TRUE(at::equal(denoiser.predict(latents(step), latents(step), moment(step)).guided, expected))
          << step << " of every " << every;
    }
  }
}

TEST(StepCache, KeepsAFeatureForEachSetOfBranchesNoLongerThanItsCalls) {
  const c10::InferenceMode inference;
  const auto unet = load_unet();
  const Branches of = branches(1);
  // Every other call is unguided: none of them falls on a multiple of two.
  GuidedDenoiser denoiser(*unet, {of}, {.scale = kScale, .skip_below_sigma = 2}, {}, {}, {.step_cache = 2});
  for (size_t step = 0; step < 5; ++step) {
    GuidedDenoiser exact(*unet, {of}, {.scale = kScale, .skip_below_sigma = 2}, {});
    EXPECT_TRUE(at::equal(denoiser.predict(latents(step), latents(step), moment(step)).guided,
                          exact.predict(latents(step), latents(step), moment(step)).guided))
        << step;
  }
}

TEST(StepCache, KeepsAFeatureForEachBranchThatIsCalledByItself) {
  const c10::InferenceMode inference;
  const auto unet = load_unet("instruct_pix2pix");
  Branches of = branches(1);
  of.image_only = of.negative;  // the same text beside another picture
  of.positive.front().channels = of.image_only->channels = noise({1, 4, 12, 10}, 7);
  of.negative->channels = noise({1, 4, 12, 10}, 8);
  const Shortcuts shortcuts{.step_cache = 3};
  GuidedDenoiser at_once(*unet, {of}, {.scale = kScale}, {}, {}, shortcuts),
      in_turn(*unet, {of}, {.scale = kScale, .in_turn = true}, {}, {}, shortcuts);
  for (size_t step = 0; step < 4; ++step) {
    const at::Tensor x = latents(step);
    EXPECT_TRUE(
        at::equal(in_turn.predict(x, x, moment(step)).guided, at_once.predict(x, x, moment(step)).guided))
        << step;
  }
}

TEST(Shortcuts, AreOffAtTheirDefaults) {
  const c10::InferenceMode inference;
  const auto unet = load_unet();
  GuidedDenoiser off = denoiser_of(*unet, {branches(1)}),
                 none = denoiser_of(*unet, {branches(1)}, {.step_cache = 1, .step_cache_branch = 1}),
                 merging = denoiser_of(*unet, {branches(1)}, {.token_merging = 0.5});
  for (size_t step = 0; step < 2; ++step) {
    const at::Tensor x = latents(step), expected = off.predict(x, x, moment(step)).guided;
    EXPECT_TRUE(at::equal(none.predict(x, x, moment(step)).guided, expected));
    EXPECT_FALSE(at::equal(merging.predict(x, x, moment(step)).guided, expected));
  }
}

TEST(Shortcuts, RefuseWhatTheyLeaveNoRoomFor) {
  const auto unet = load_unet();
  const auto problem_of = [&](const Guidance& guidance, const Shortcuts& shortcuts) -> std::string {
    try {
      GuidedDenoiser(*unet, {branches(1)}, guidance, {}, {}, shortcuts);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
      return error.what();
    }
    return "";
  };
  EXPECT_NE(problem_of({.sag_scale = 1}, {.step_cache = 2}).find("step_cache: does not go with sag_scale"),
            std::string::npos);
  EXPECT_NE(problem_of({}, {.step_cache = 2, .step_cache_branch = 5}).find("expected 0 to 4"),
            std::string::npos);
  EXPECT_EQ(problem_of({}, {.step_cache = 2, .step_cache_branch = 4}), "");
  EXPECT_EQ(problem_of({.sag_scale = 1}, {.token_merging = 0.5}), "");
}

}  // namespace
}  // namespace limn::pipelines
