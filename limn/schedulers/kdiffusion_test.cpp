// SPDX-License-Identifier: Apache-2.0
// Against k-diffusion, torchsde and reference formulas: tools/goldens/kdiffusion.py made the data and says what is in it.
#include <map>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/schedulers/brownian_tree.h"
#include "limn/schedulers/level_schedule.h"
#include "limn/schedulers/noise_schedule.h"
#include "limn/schedulers/philox.h"
#include "limn/schedulers/scheduler.h"
#include "limn/weights/tensor.h"

namespace limn::schedulers {
namespace {

const std::string kFolder = LIMN_SOURCE_DIR "/limn/schedulers/testdata/";

const std::map<std::string, at::Tensor>& tensors() {
  static const auto loaded = weights::load_tensors(kFolder + "kdiffusion.safetensors");
  return loaded;
}
const json::object& document() {
  static const json::object loaded = read_json_object(kFolder + "kdiffusion.json");
  return loaded;
}

/// Levels and weights are float32 there and double here: differences of logarithms of close levels lose digits. Worst
/// measured: see docs/schedulers.md.
constexpr double kTolerance = 2e-5;

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).to(at::kDouble).norm() / expected.to(at::kDouble).norm()).item<double>();
}

json::object sd_config() {
  return {{"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}};
}

class MatchesKDiffusion : public testing::TestWithParam<size_t> {
 protected:
  const json::object& c() const { return document().at("cases").as_array()[GetParam()].as_object(); }
  std::string text(const char* key) const { return std::string(c().at(key).as_string()); }
  int64_t number(const char* key) const { return c().at(key).as_int64(); }
};

TEST_P(MatchesKDiffusion, InEveryCallAndInTheFinalSample) {
  const SchedulerEntry& entry = find_named(all(), text("sampler"), "sampler");
  json::object config = sd_config();
  config["sigma_schedule"] = c().at("schedule");
  config["prediction_type"] = c().at("prediction");
  const auto scheduler =
      entry.make(config_for(entry, config), {.num_inference_steps = number("steps")}, "golden");
  const auto first = static_cast<size_t>(number("begin") * scheduler->order());
  scheduler->begin_at(first);
  const std::vector<uint64_t> seeds{7, 8};
  const NoiseSource noise = NoiseSource::seeded(seeds);
  const at::Tensor outputs = tensors().at("outputs"), calls = tensors().at(text("name") + ".calls");
  const at::Tensor start = tensors().at("start"), one = at::ones({1});
  at::Tensor sample = scheduler->add_noise(at::zeros_like(start), start, first);
  size_t i = first;
  for (; i < scheduler->timesteps().size(); ++i) {
    const auto call = static_cast<int64_t>(i - first);
    ASSERT_LT(call, calls.size(0));
    const double sigma = calls[call].item<double>();
    // Where the sampler chooses its steps by the error of the last, rounding adds up.
    const double levels = entry.one_picture_a_batch ? 1e-4 : 2e-5;
    EXPECT_NEAR(scheduler->add_noise(0 * one, one, i).item<double>(), sigma, levels * sigma)
        << "call " << call;
    // A sampler that looks at its own error needs a model that hangs on the sample.
    const at::Tensor output = entry.one_picture_a_batch ? scheduler->scale_model_input(sample, i).tanh() * 0.7
                                                        : outputs[call % outputs.size(0)];
    if (scheduler->reads_unconditional()) scheduler->set_unconditional(-0.5 * output);
    sample = scheduler->step(output, i, sample, noise);
  }
  EXPECT_EQ(static_cast<int64_t>(i - first), calls.size(0));
  EXPECT_LE(relative_error(sample, tensors().at(text("name") + ".final")), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Cases, MatchesKDiffusion,
                         testing::Range(size_t{0}, document().at("cases").as_array().size()),
                         [](const auto& info) {
                           const json::object& c = document().at("cases").as_array()[info.param].as_object();
                           return std::string(c.at("sampler").as_string()) + "_" +
                                  std::string(c.at("name").as_string());
                         });

TEST(LevelSchedules, EqualTheirReferences) {
  const json::object config = sd_config();
  const SigmaTable table(read_noise_schedule(Fields(config, "sd"), {}).sigmas());
  size_t compared = 0;
  for (const auto& [key, expected] : tensors()) {
    if (!key.starts_with("schedule.")) continue;
    const size_t dot = key.rfind('.');
    const std::string name = key.substr(9, dot - 9);
    const json::object with{{"sigma_schedule", name}};
    const auto levels = read_level_schedule(Fields(with, "c"), table, false, std::stoll(key.substr(dot + 1)));
    ASSERT_EQ(static_cast<int64_t>(levels->sigmas.size()), expected.size(0)) << key;
    for (size_t i = 0; i < levels->sigmas.size(); ++i) {
      const double wanted = expected[static_cast<int64_t>(i)].item<double>();
      EXPECT_NEAR(levels->sigmas[i], wanted, 2e-5 * wanted + 1e-7) << key << " at " << i;
    }
    ++compared;
  }
  EXPECT_GE(compared, 80u);
}

std::optional<Levels> levels_of(const json::object& config, int64_t count = 10) {
  const json::object sd = sd_config();
  return read_level_schedule(Fields(config, "c"),
                             SigmaTable(read_noise_schedule(Fields(sd, "sd"), {}).sigmas()), false, count);
}

TEST(LevelSchedules, ReadListsRangesAndWhatToLeaveOut) {
  EXPECT_FALSE(levels_of({}).has_value());
  const auto listed = levels_of({{"sigmas", {10.0, 3.0, 1.0}}});
  EXPECT_EQ(listed->sigmas, (std::vector<double>{10, 3, 1, 0}));
  EXPECT_EQ(listed->init_noise_sigma, 10);
  const auto karras = levels_of({{"sigma_schedule", "karras"}, {"sigma_min", 0.1}, {"sigma_max", 5.0}});
  EXPECT_NEAR(karras->sigmas.front(), 5, 1e-5);
  EXPECT_NEAR(karras->sigmas[9], 0.1, 1e-7);
  // A1111's and ComfyUI's "discard penultimate": a level more, and the one before 0 left out.
  const auto discarded = levels_of({{"sigma_schedule", "karras"}, {"discard_next_to_last_sigma", true}});
  const auto more = levels_of({{"sigma_schedule", "karras"}}, 11);
  ASSERT_EQ(discarded->sigmas.size(), 11u);
  EXPECT_EQ(discarded->sigmas[9], more->sigmas[9]);
  EXPECT_EQ(discarded->sigmas[10], 0);
  const auto comfy = levels_of({{"sigma_schedule", "karras"}, {"init_noise", "variance"}});
  EXPECT_NEAR(comfy->init_noise_sigma, std::sqrt(1 + std::pow(comfy->sigmas[0], 2)), 1e-12);
}

TEST(LevelSchedules, RefuseWhatIsNoSchedule) {
  const std::vector<std::pair<json::object, const char*>> bad = {
      {{{"sigmas", {1.0, 2.0}}}, "below the one before"},
      {{{"sigmas", {1.0, -1.0}}}, "positive"},
      {{{"sigmas", {1.0, 0.0, 0.0}}}, "positive"},
      {{{"sigmas", {0.0}}}, "above 0"},
      {{{"sigma_schedule", "sideways"}}, "no 'sideways'"},
      {{{"sigma_schedule", "karras"}, {"rho", 0.0}}, "rho"},
      {{{"sigma_schedule", "karras"}, {"sigma_min", -1.0}}, "sigma_min"},
      {{{"sigma_schedule", "karras"}, {"init_noise", "loud"}}, "init_noise"}};
  for (const auto& [config, problem] : bad) {
    try {
      levels_of(config);
      ADD_FAILURE() << to_text(config);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(problem));
    }
  }
}

TEST(Brownian, EqualsTorchsdeToTheBit) {
  const BrownianTree tree((uint64_t{1} << 40) + 11, 0.0292, 14.6146, {4, 3, 5},
                          [](uint64_t seed, at::IntArrayRef shape) {
                            return NoiseSource::draw_once(seed, shape, NoiseGenerator::Cpu);
                          });
  const json::array& pairs = document().at("brownian").as_array();
  for (size_t i = 0; i < pairs.size(); ++i) {
    const json::array& pair = pairs[i].as_array();
    const at::Tensor found = tree.noise(pair[0].to_number<double>(), pair[1].to_number<double>());
    EXPECT_LE(relative_error(found, tensors().at("brownian." + std::to_string(i))), 1e-6) << i;
  }
  const std::vector<uint32_t> state = seed_sequence_state((uint64_t{1} << 40) + 11, {5, 3}, 24, 6);
  for (int64_t i = 0; i < 6; ++i)
    EXPECT_EQ(state[static_cast<size_t>(i)], tensors().at("seed_sequence")[i].item<int64_t>());
}

TEST(Philox, GivesThePublishedNumbers) {
  Philox generator(0);
  // A1111's rng_philox.py documents these for seed 0, shape (3, 4).
  const at::Tensor expected =
      at::tensor({-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564, -0.62285122,
                  -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497})
          .view({3, 4});
  EXPECT_LE((generator.randn({3, 4}).to(at::kDouble) - expected).abs().max().item<double>(), 1e-6);
  EXPECT_FALSE(at::equal(generator.randn({3, 4}), Philox(0).randn({3, 4})));  // the next draw is another one
}

TEST(Noise, MixesTwoSeedsAsA1111Does) {
  const std::vector<uint64_t> seeds{5};
  const NoiseVariation variation{.seed = 99, .strength = 0.3};
  const at::Tensor found =
      initial_noise(NoiseSource::seeded(seeds), seeds, NoiseGenerator::Cpu, variation, {1, 4, 6, 8});
  EXPECT_LE(relative_error(found[0], tensors().at("variation.0.3")), 1e-6);
  const at::Tensor a = NoiseSource::draw_once(5, {4, 6, 8}, NoiseGenerator::Cpu);
  EXPECT_LE(relative_error(slerp(0.25, a, a * 1.001), tensors().at("slerp.near")), 1e-6);
}

TEST(Noise, PutsNoiseOfAnotherSizeIntoTheMiddle) {
  const std::vector<uint64_t> seeds{5};
  const std::map<std::string, std::array<int64_t, 2>> sizes{
      {"smaller", {4, 10}}, {"larger", {8, 6}}, {"odd", {9, 9}}};
  for (const auto& [name, size] : sizes) {
    const at::Tensor found = initial_noise(NoiseSource::seeded(seeds), seeds, NoiseGenerator::Cpu,
                                           {.resize_from = size}, {1, 4, 6, 8});
    EXPECT_TRUE(at::equal(found[0], tensors().at("resize." + name))) << name;
  }
}

TEST(Noise, GoesOnAfterAVariationAsWithoutOne) {
  const std::vector<uint64_t> seeds{5, 5};
  const std::vector<int64_t> shape{2, 4, 6, 8};
  const std::vector<NoiseVariation> variations{{.seed = 99, .strength = 0.3},
                                               {.resize_from = {{4, 10}}},
                                               {.seed = 99, .strength = 1, .resize_from = {{8, 6}}}};
  const NoiseSource plain = NoiseSource::seeded(seeds);
  plain.draw(shape);
  const at::Tensor expected = plain.draw(shape);
  for (const NoiseVariation& variation : variations) {
    const NoiseSource source = NoiseSource::seeded(seeds);
    initial_noise(source, seeds, NoiseGenerator::Cpu, variation, shape);
    EXPECT_TRUE(at::equal(source.draw(shape), expected));
  }
}

TEST(Noise, OfAPartIsThatPartOfTheBatchs) {
  const std::vector<uint64_t> three{5, 5, 5}, one{5};
  const auto whole = NoiseSource::seeded(three, NoiseGenerator::Shared),
             part = NoiseSource::seeded(one, NoiseGenerator::Shared, {.first = 1, .whole = 3});
  for (int draws = 0; draws < 2; ++draws)
    EXPECT_TRUE(at::equal(whole.draw({3, 4, 4, 4})[1], part.draw({1, 4, 4, 4})[0]));
  const std::vector<double> levels{14, 5, 1, 0};
  const auto brownian = whole.sampler(NoiseKind::Brownian, {3, 4, 4, 4}, levels),
             own = part.sampler(NoiseKind::Brownian, {1, 4, 4, 4}, levels);
  EXPECT_TRUE(at::equal(brownian(14, 5)[1], own(14, 5)[0]));
}

TEST(Noise, OfEachKindOfGeneratorIsItsOwn) {
  const std::vector<uint64_t> seeds{5, 6};
  const auto cpu = NoiseSource::seeded(seeds), philox = NoiseSource::seeded(seeds, NoiseGenerator::Philox),
             shared = NoiseSource::seeded(seeds, NoiseGenerator::Shared);
  const at::Tensor a = cpu.draw({2, 4, 4, 4}), b = philox.draw({2, 4, 4, 4}), c = shared.draw({2, 4, 4, 4});
  EXPECT_FALSE(at::equal(a, b));
  EXPECT_TRUE(at::equal(c, NoiseSource::draw_once(5, {2, 4, 4, 4}, NoiseGenerator::Cpu)));
  EXPECT_TRUE(at::equal(a[1], NoiseSource::draw_once(6, {4, 4, 4}, NoiseGenerator::Cpu)));
  // ENSD: the next draws are the first ones of other seeds.
  EXPECT_TRUE(at::equal(cpu.reseeded(31337).draw({2, 4, 4, 4})[0],
                        NoiseSource::draw_once(5 + 31337, {4, 4, 4}, NoiseGenerator::Cpu)));
  // A1111's Brownian noise has the pictures' own seeds, whatever the ENSD.
  const std::vector<double> levels{14, 5, 1, 0};
  EXPECT_TRUE(at::equal(cpu.reseeded(31337).sampler(NoiseKind::Brownian, {2, 4, 4, 4}, levels)(14, 5),
                        cpu.sampler(NoiseKind::Brownian, {2, 4, 4, 4}, levels)(14, 5)));
}

}  // namespace
}  // namespace limn::schedulers
