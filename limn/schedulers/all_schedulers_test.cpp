// SPDX-License-Identifier: Apache-2.0
// Properties that hold for every row of the table of schedulers.
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/schedulers/flow_match.h"
#include "limn/schedulers/scheduler.h"

namespace limn::schedulers {
namespace {

using testing::HasSubstr;

/// Stable Diffusion 1.5's scheduler_config.json, written for PNDM.
json::object sd15(const std::string& more = "{}") {
  json::object config =
      parse_json(R"({"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "clip_sample": false, "num_train_timesteps": 1000, "set_alpha_to_one": false,
    "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null})",
                 "sd15")
          .as_object();
  const json::value changes = parse_json(more, "more");
  for (const auto& [key, value] : changes.as_object()) config[key] = value;
  return config;
}

std::unique_ptr<Scheduler> make(const SchedulerEntry& entry, const json::object& config, int64_t steps) {
  return entry.make(config_for(entry, config), {.num_inference_steps = steps}, "scheduler_config.json");
}

ErrorCode code_of(const std::function<void()>& action, std::string* message = nullptr) {
  try {
    action();
  } catch (const Error& error) {
    if (message) *message = error.what();
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::Internal;
}

at::Tensor clean_sample(int64_t batch) {
  return at::linspace(-1, 1, batch * 4 * 4 * 4, at::kFloat).reshape({batch, 4, 4, 4});
}

/// How much of x₀ and of noise is in a sample at index i, read back from add_noise.
struct Mixture {
  double signal, noise;
};
Mixture mixture_at(const Scheduler& scheduler, size_t i) {
  const at::Tensor one = at::linspace(1, 1, 1, at::kFloat);
  return {scheduler.add_noise(one, 0 * one, i).item<double>(),
          scheduler.add_noise(0 * one, one, i).item<double>()};
}

/// What a model that knows x₀ says of a sample at index i.
at::Tensor oracle(const Scheduler& scheduler, const at::Tensor& sample, const at::Tensor& x0, size_t i,
                  Prediction prediction) {
  const auto [signal, noise] = mixture_at(scheduler, i);
  if (dynamic_cast<const FlowMatch*>(&scheduler)) return (sample - signal * x0) / noise - x0;
  if (prediction == Prediction::Sample) return x0;
  const at::Tensor epsilon = (sample - signal * x0) / noise;
  if (prediction == Prediction::Epsilon) return epsilon;
  const double length = std::hypot(signal, noise);
  return signal / length * epsilon - noise / length * x0;
}

at::Tensor run_with_oracle(Scheduler& scheduler, const at::Tensor& x0, Prediction prediction,
                           const std::vector<uint64_t>& seeds, size_t first = 0) {
  const NoiseSource noise = NoiseSource::seeded(seeds);
  at::Tensor sample = noise.draw(x0.sizes());
  sample = first == 0 ? sample * scheduler.init_noise_sigma() : scheduler.add_noise(x0, sample, first);
  if (first > 0) scheduler.begin_at(first);
  for (size_t i = first; i < scheduler.timesteps().size(); ++i) {
    const at::Tensor output = oracle(scheduler, sample, x0, i, prediction);
    if (scheduler.reads_unconditional()) scheduler.set_unconditional(output);
    sample = scheduler.step(output, i, sample, noise);
  }
  return sample;
}

double distance(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

/// How near to x₀ a run with a perfect model ends. Rounding leaves 1e-3 after σ = 14; DEIS stops at the
/// model's least σ, 0.029, as TCD and the DPM-Solvers that end there do, and what is left is noise of that size; PNDM averages v over levels at which its
/// meaning differs, and, like LMS, begins in the middle of a schedule with a history that is short for its
/// order, as diffusers does.
double tolerance_of(const SchedulerEntry& entry, bool from_halfway) {
  for (const char* name : {"deis", "tcd", "dpm_fast", "dpm_adaptive"})
    if (entry.name == name) return 0.15;
  if (entry.name == "pndm") return from_halfway ? 2e-2 : 5e-3;
  return entry.name == "lms" && from_halfway ? 2e-2 : 2e-3;
}

class EveryScheduler : public testing::TestWithParam<SchedulerEntry> {
 protected:
  const SchedulerEntry& entry() const { return *try_find_named(all(), GetParam().name); }
  /// Distilled models know 50 timesteps.
  int64_t most_steps() const { return entry().name == "lcm" || entry().name == "tcd" ? 50 : 1000; }
  /// Samplers that add noise, and look ahead of it or walk a part again.
  bool goes_up() const {
    const std::set<std::string_view> names{"restart", "dpm2_ancestral", "dpmpp_2s_ancestral", "dpm_fast",
                                           "dpmpp_2s_ancestral_cfg_pp"};
    return names.contains(entry().name);
  }
  bool reads(std::string_view field) const {
    return std::find(entry().fields.begin(), entry().fields.end(), field) != entry().fields.end();
  }
  bool takes_sample_prediction() const { return entry().name != "pndm" && entry().name != "euler_ancestral"; }
};

TEST_P(EveryScheduler, ReturnsTheCleanSampleWhenTheModelIsPerfect) {
  for (Prediction prediction : {Prediction::Epsilon, Prediction::VPrediction, Prediction::Sample}) {
    if (prediction == Prediction::Sample && !takes_sample_prediction()) continue;
    const json::object config =
        sd15(R"({"set_alpha_to_one": true, "prediction_type": ")" + std::string(name_of(prediction)) + "\"}");
    const auto scheduler = make(entry(), config, 25);
    const at::Tensor x0 = clean_sample(1);
    EXPECT_LE(distance(run_with_oracle(*scheduler, x0, prediction, {3}), x0), tolerance_of(entry(), false))
        << name_of(prediction);
  }
}

TEST_P(EveryScheduler, ReturnsTheCleanSampleFromHalfway) {
  const auto scheduler = make(entry(), sd15(R"({"set_alpha_to_one": true})"), 20);
  const at::Tensor x0 = clean_sample(1);
  const size_t first = static_cast<size_t>(10 * scheduler->order());
  EXPECT_LE(distance(run_with_oracle(*scheduler, x0, Prediction::Epsilon, {3}, first), x0),
            tolerance_of(entry(), true));
}

TEST_P(EveryScheduler, GivesTheSameBitsForTheSameSeed) {
  const auto run = [&](uint64_t seed) {
    return run_with_oracle(*make(entry(), sd15(), 6), 0.5 * clean_sample(1), Prediction::Epsilon, {seed});
  };
  EXPECT_TRUE(at::equal(run(11), run(11)));
}

/// A model that is far from perfect, so that seeds show in the result.
at::Tensor run_with_crude_model(const SchedulerEntry& entry, const std::vector<uint64_t>& seeds) {
  const auto scheduler = make(entry, sd15(), 6);
  const NoiseSource noise = NoiseSource::seeded(seeds);
  at::Tensor sample =
      noise.draw({static_cast<int64_t>(seeds.size()), 4, 8, 8}) * scheduler->init_noise_sigma();
  for (size_t i = 0; i < scheduler->timesteps().size(); ++i) {
    const at::Tensor output = scheduler->scale_model_input(sample, i).tanh() * 0.7;
    if (scheduler->reads_unconditional()) scheduler->set_unconditional(output * 0.5);
    sample = scheduler->step(output, i, sample, noise);
  }
  return sample;
}

TEST_P(EveryScheduler, MakesEachPictureOfABatchAsIfAlone) {
  if (entry()
          .one_picture_a_batch) {  // its steps depend on the whole batch, which the engine therefore makes one
    EXPECT_FALSE(
        at::equal(run_with_crude_model(entry(), {5, 6}).narrow(0, 1, 1), run_with_crude_model(entry(), {6})));
    return;
  }
  const at::Tensor batch = run_with_crude_model(entry(), {5, 6, 7});
  EXPECT_TRUE(at::equal(batch.narrow(0, 1, 1), run_with_crude_model(entry(), {6})));
  EXPECT_FALSE(at::equal(batch.narrow(0, 0, 1), batch.narrow(0, 1, 1)));
}

TEST_P(EveryScheduler, AsksAtFallingTimestepsInEverySpacing) {
  for (const char* spacing : {"linspace", "leading", "trailing"})
    for (int64_t steps : {4, 10, 61, 500}) {
      if (steps > most_steps()) continue;
      const auto scheduler =
          make(entry(), sd15(R"({"timestep_spacing": ")" + std::string(spacing) + "\"}"), steps);
      const auto& t = scheduler->timesteps();
      ASSERT_FALSE(t.empty());
      if (!goes_up()) EXPECT_TRUE(std::is_sorted(t.rbegin(), t.rend())) << spacing << ' ' << steps;
      EXPECT_GE(t.back(), 0);
      EXPECT_LE(t.front(), entry().name.starts_with("flow_match") ? 1000 : 999);
    }
}

TEST_P(EveryScheduler, StaysInsideItsTablesInARunOfOneStep) {
  if (entry().one_picture_a_batch) {
    EXPECT_EQ(code_of([&] { make(entry(), sd15(), 1); }), ErrorCode::InvalidArgument);
    return;
  }
  for (const char* spacing : {"linspace", "leading", "trailing"}) {
    const auto scheduler = make(entry(), sd15(R"({"timestep_spacing": ")" + std::string(spacing) + "\"}"), 1);
    ASSERT_EQ(scheduler->timesteps().size(), 1u);
    const at::Tensor out = run_with_oracle(*scheduler, clean_sample(1), Prediction::Epsilon, {1});
    EXPECT_TRUE(at::isfinite(out).all().item<bool>());
  }
}

TEST_P(EveryScheduler, KeepsTheShapeOfTheSampleAndRefusesAnother) {
  const auto scheduler = make(entry(), sd15(), 5);
  const std::vector<uint64_t> seeds{1, 2};
  const NoiseSource noise = NoiseSource::seeded(seeds);
  const at::Tensor sample = noise.draw({2, 4, 3, 5});
  if (scheduler->reads_unconditional()) scheduler->set_unconditional(sample);
  EXPECT_EQ(scheduler->step(sample, 0, sample, noise).sizes(), sample.sizes());
  EXPECT_EQ(code_of([&] {
              scheduler->step(noise.draw({2, 8, 3, 5}), 0, sample, noise);
            }),
            ErrorCode::Unsupported);
}

TEST_P(EveryScheduler, RefusesStepsThatTheScheduleDoesNotHave) {
  for (int64_t steps : {int64_t{-1}, int64_t{0}, int64_t{1001}, INT64_MAX}) {
    std::string message;
    EXPECT_EQ(code_of([&] { make(entry(), sd15(), steps); }, &message), ErrorCode::InvalidArgument) << steps;
    EXPECT_THAT(message, HasSubstr("num_inference_steps"));
  }
}

TEST_P(EveryScheduler, NamesTheFieldThatIsWrong) {
  struct Bad {
    const char *more, *field;
    ErrorCode code;
  };
  const Bad kBad[] = {
      {R"({"beta_schedule": "quadratic"})", "beta_schedule", ErrorCode::Unsupported},
      {R"({"prediction_type": "flow_prediction"})", "prediction_type", ErrorCode::Unsupported},
      {R"({"timestep_spacing": "sideways"})", "timestep_spacing", ErrorCode::Unsupported},
      {R"({"num_train_timesteps": 0})", "num_train_timesteps", ErrorCode::BadFile},
      {R"({"num_train_timesteps": 1000000000000})", "num_train_timesteps", ErrorCode::BadFile},
      {R"({"num_train_timesteps": "many"})", "num_train_timesteps", ErrorCode::BadFile},
      {R"({"steps_offset": -5})", "steps_offset", ErrorCode::BadFile},
      {R"({"beta_start": -1})", "beta_start", ErrorCode::BadFile},
      {R"({"beta_end": 2.0})", "beta_end", ErrorCode::BadFile},
      {R"({"trained_betas": [0.1, 0.2]})", "trained_betas", ErrorCode::BadFile},
      {R"({"trained_betas": []})", "trained_betas", ErrorCode::BadFile},
  };
  for (const Bad& bad : kBad) {
    if (!reads(bad.field)) continue;
    std::string message;
    EXPECT_EQ(code_of([&] { make(entry(), sd15(bad.more), 10); }, &message), bad.code) << bad.more;
    EXPECT_THAT(message, HasSubstr(bad.field));
    EXPECT_THAT(message, HasSubstr("scheduler_config.json"));
  }
}

TEST_P(EveryScheduler, HasASourceAndReadsEveryFieldOfItsRow) {
  EXPECT_FALSE(entry().source.empty());
  EXPECT_TRUE(entry().class_name.empty() || entry().class_name.ends_with("Scheduler"));
  const std::set<std::string_view> once(entry().fields.begin(), entry().fields.end());
  EXPECT_EQ(once.size(), entry().fields.size());
}

TEST_P(EveryScheduler, TakesTheSchedulesItsClassReadsAndNamesTheTakersOfOthers) {
  for (const ScheduleEntry& schedule : all_schedules()) {
    const bool reads =
        std::find(entry().fields.begin(), entry().fields.end(), schedule.field) != entry().fields.end();
    if (reads) {
      const json::object config = config_for(entry(), sd15(), &schedule);
      EXPECT_FALSE(entry().make(config, {.num_inference_steps = 5}, "c")->timesteps().empty())
          << schedule.name;
      EXPECT_EQ(to_text(config.at(json::string_view(schedule.field.data(), schedule.field.size()))),
                schedule.value);
    } else {
      std::string message;
      EXPECT_EQ(code_of([&] { config_for(entry(), sd15(), &schedule); }, &message),
                ErrorCode::InvalidArgument);
      EXPECT_THAT(message, HasSubstr("schedule"));
      EXPECT_THAT(message, HasSubstr("take it: "));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, EveryScheduler, testing::ValuesIn(all().begin(), all().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(TableOfSchedulers, HasUniqueNamesAndListsThemForAnUnknownOne) {
  std::set<std::string_view> names;
  for (const SchedulerEntry& entry : all()) EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
  std::string message;
  EXPECT_EQ(code_of([] { find_named(all(), "eular", "scheduler"); }, &message), ErrorCode::InvalidArgument);
  for (std::string_view name : names) EXPECT_THAT(message, HasSubstr(std::string(name)));
}

TEST(TableOfSchedules, HasASourceForEachRowAndATaker) {
  for (const ScheduleEntry& schedule : all_schedules()) {
    EXPECT_FALSE(schedule.source.empty()) << schedule.name;
    EXPECT_TRUE(std::any_of(all().begin(), all().end(), [&](const SchedulerEntry& entry) {
      return std::find(entry.fields.begin(), entry.fields.end(), schedule.field) != entry.fields.end();
    })) << schedule.name;
  }
}

TEST(ConfigFor, KeepsWhatTheClassReadsAndDropsTheRest) {
  const auto& euler = find_named(all(), "euler", "scheduler");
  const json::object config = config_for(euler, sd15());
  EXPECT_EQ(config.at("_class_name").as_string(), "EulerDiscreteScheduler");
  EXPECT_EQ(config.at("steps_offset").as_int64(), 1);
  EXPECT_FALSE(config.contains("skip_prk_steps"));
  EXPECT_FALSE(config.contains("clip_sample"));
}

TEST(ConfigFor, TreatsValuesThatWereDefaultsOfTheOtherClassAsAbsent) {
  const auto& euler = find_named(all(), "euler", "scheduler");
  const json::object config = config_for(
      euler,
      sd15(
          R"({"timestep_spacing": "leading", "_use_default_values": ["timestep_spacing", "prediction_type"]})"));
  EXPECT_FALSE(config.contains("timestep_spacing"));
  EXPECT_FALSE(config.contains("_use_default_values"));
}

TEST(ConfigFor, TurnsARivalSigmaScheduleOff) {
  const auto& euler = find_named(all(), "euler", "scheduler");
  const auto& beta = find_named(all_schedules(), "beta", "schedule");
  const json::object config = config_for(euler, sd15(R"({"use_karras_sigmas": true})"), &beta);
  EXPECT_FALSE(config.at("use_karras_sigmas").as_bool());
  EXPECT_TRUE(config.at("use_beta_sigmas").as_bool());
  EXPECT_EQ(code_of([&] { make(euler, sd15(R"({"use_karras_sigmas": true, "use_beta_sigmas": true})"), 5); }),
            ErrorCode::BadFile);
}

TEST(Predictions, HaveTheNamesOfDiffusers) {
  for (const char* name : {"epsilon", "v_prediction", "sample"})
    EXPECT_EQ(name_of(prediction_of(name)), name);
  EXPECT_EQ(code_of([] { prediction_of("noise"); }), ErrorCode::Unsupported);
}

TEST(NoiseSource, DrawsEachPictureFromItsOwnGenerator) {
  const std::vector<uint64_t> both{1, 2}, second{2};
  const at::Tensor batch = NoiseSource::seeded(both).draw({2, 4, 8, 8});
  EXPECT_TRUE(at::equal(batch.narrow(0, 1, 1), NoiseSource::seeded(second).draw({1, 4, 8, 8})));
  const at::Generator generator = at::detail::createCPUGenerator(1);
  EXPECT_TRUE(at::equal(batch.narrow(0, 0, 1), at::randn({1, 4, 8, 8}, generator, at::kFloat)));
}

TEST(NoiseSource, RefusesABatchOfAnotherSize) {
  const std::vector<uint64_t> both{1, 2};
  EXPECT_EQ(code_of([&] { NoiseSource::seeded(both).draw({3, 4, 8, 8}); }), ErrorCode::Internal);
}

}  // namespace
}  // namespace limn::schedulers
