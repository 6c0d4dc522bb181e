// SPDX-License-Identifier: Apache-2.0
// Against diffusers: tools/goldens/schedulers.py made the data and says what is in it.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "limn/base/json.h"
#include "limn/schedulers/scheduler.h"
#include "limn/weights/tensor.h"

namespace limn::schedulers {
namespace {

const std::string kFolder = LIMN_SOURCE_DIR "/limn/schedulers/testdata/";

using Tensors = std::map<std::string, at::Tensor>;

const Tensors& tensors() {
  static const Tensors loaded = weights::load_tensors(kFolder + "schedulers.safetensors");
  return loaded;
}

const json::object& document() {
  static const json::object loaded = read_json_object(kFolder + "schedulers.json");
  return loaded;
}

/// Both sides work in float32 with the same operations; logarithms, exponentials, LMS's quadrature and the
/// order of sums may differ in the last bit, which differences of λ or log ρ between close steps make
/// greater. The worst case measured was 6.4e-6, for DEIS.
constexpr double kTolerance = 1e-5;

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  const double size = expected.to(at::kDouble).norm().item<double>();
  return (found.to(at::kDouble) - expected.to(at::kDouble)).norm().item<double>() / std::max(size, 1e-12);
}

struct Case {
  const SchedulerEntry& entry;
  const json::object& json;
  std::string name;

  at::Tensor golden(const std::string& key) const { return tensors().at(name + "." + key); }
  const json::object& config() const { return json.at("config").as_object(); }
  size_t begin() const { return static_cast<size_t>(json.at("begin").as_int64()); }
  std::unique_ptr<Scheduler> make() const {
    RunSettings settings{.num_inference_steps = json.at("steps").as_int64()};
    if (const json::value* eta = json.if_contains("eta")) settings.eta = eta->to_number<double>();
    return entry.make(config_for(entry, config()), settings, "golden");
  }
};

class MatchesDiffusers : public testing::TestWithParam<SchedulerEntry> {
 protected:
  template <typename Check>
  void for_each_case(Check check) const {
    size_t count = 0;
    for (const json::value& value : document().at("cases").as_array()) {
      const json::object& json = value.as_object();
      if (json.at("class").as_string() !=
          json::string_view(GetParam().class_name.data(), GetParam().class_name.size()))
        continue;
      SCOPED_TRACE(to_text(value));
      check(Case{GetParam(), json, std::string(json.at("name").as_string())});
      ++count;
    }
    EXPECT_GE(count, 15u);
  }
};

TEST_P(MatchesDiffusers, InTimesteps) {
  for_each_case([](const Case& c) {
    const auto scheduler = c.make();
    const at::Tensor golden = c.golden("timesteps");
    const auto& found = scheduler->timesteps();
    ASSERT_EQ(found.size(), static_cast<size_t>(golden.numel()));
    for (size_t i = 0; i < found.size(); ++i) {
      const double expected = golden[static_cast<int64_t>(i)].item<double>();
      EXPECT_NEAR(found[i], expected, 1e-6 * std::max(1.0, std::abs(expected))) << "at " << i;
    }
  });
}

TEST_P(MatchesDiffusers, InTheScaleOfTheInitialNoise) {
  for_each_case([](const Case& c) {
    const double expected = c.golden("init_noise_sigma").item<double>();
    EXPECT_NEAR(c.make()->init_noise_sigma(), expected, 1e-6 * expected);
  });
}

// Reads σ back through add_noise: of (0, 1) it is σ, or σ / √(1 + σ²) where samples keep unit variance.
TEST_P(MatchesDiffusers, InNoiseLevels) {
  for_each_case([](const Case& c) {
    if (!tensors().contains(c.name + ".sigmas")) return;
    const auto scheduler = c.make();
    const at::Tensor sigmas = c.golden("sigmas");
    const at::Tensor one = at::Tensor(tensors().at("noise")).new_ones({1});
    // diffusers keeps the levels of these samplers' second calls elsewhere.
    const size_t stride = c.entry.name == "dpm2" || c.entry.name == "dpmpp_sde" ? 2 : 1;
    for (size_t i = 0; i < scheduler->timesteps().size(); i += stride) {
      const double sigma = sigmas[static_cast<int64_t>(i)].item<double>();
      const bool exploding = scheduler->add_noise(one, 0 * one, i).item<double>() == 1.0;
      const bool flows = c.entry.name.starts_with("flow_match");
      const double expected = exploding || flows ? sigma : sigma / std::sqrt(1 + sigma * sigma);
      // Powers of float32 differ in the last bit; the greatest difference was 1.4e-6, with ρ = 5.
      EXPECT_NEAR(scheduler->add_noise(0 * one, one, i).item<double>(), expected, 2e-6 * expected)
          << "at " << i;
    }
  });
}

TEST_P(MatchesDiffusers, InTheFinalSample) {
  for_each_case([](const Case& c) {
    if (!tensors().contains(c.name + ".final")) return;  // a grid alone
    const auto scheduler = c.make();
    const std::vector<uint64_t> seeds{7, 8};
    const NoiseSource noise = NoiseSource::seeded(seeds);
    const at::Tensor outputs = tensors().at("outputs");
    at::Tensor sample = c.golden("start");
    const int64_t channels = sample.size(1);
    const bool learned = c.config().contains("variance_type") &&
                         c.config().at("variance_type").as_string().starts_with("learned");
    for (size_t i = c.begin(); i < scheduler->timesteps().size(); ++i) {
      const auto call = static_cast<int64_t>(i - c.begin());
      const at::Tensor output =
          outputs[call % outputs.size(0)].narrow(1, 0, learned ? 2 * channels : channels);
      EXPECT_TRUE(scheduler->scale_model_input(sample, i).defined());
      sample = scheduler->step(output, i, sample, noise);
      if (tensors().contains(c.name + ".samples"))
        EXPECT_LE(relative_error(sample, c.golden("samples")[call]), kTolerance) << "after call " << i;
    }
    EXPECT_LE(relative_error(sample, c.golden("final")), kTolerance);
  });
}

TEST_P(MatchesDiffusers, InTheNoisedStartOfImageToImage) {
  for_each_case([](const Case& c) {
    if (c.begin() == 0) return;
    const auto scheduler = c.make();
    const at::Tensor start = scheduler->add_noise(tensors().at("original"), tensors().at("noise"), c.begin());
    EXPECT_LE(relative_error(start, c.golden("start")), 1e-6);
  });
}

/// Rows that diffusers has a class for. Its KDPM2AncestralDiscreteScheduler does not do what k-diffusion's sampler of the
/// name does (its own authors say so): see kdiffusion_test.cpp. DPMSolverSDEScheduler draws from one seed for all pictures:
/// only its grid is compared.
std::vector<SchedulerEntry> of_diffusers() {
  std::vector<SchedulerEntry> out;
  for (const SchedulerEntry& entry : all())
    if (!entry.class_name.empty() && entry.name != "dpm2_ancestral") out.push_back(entry);
  return out;
}

INSTANTIATE_TEST_SUITE_P(Table, MatchesDiffusers, testing::ValuesIn(of_diffusers()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace limn::schedulers
