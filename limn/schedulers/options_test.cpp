// SPDX-License-Identifier: Apache-2.0
// Fields that only some schedulers read, and grids worked out elsewhere.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/schedulers/lms.h"
#include "limn/schedulers/scheduler.h"
#include "limn/schedulers/sigma_schedule.h"

namespace limn::schedulers {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::HasSubstr;

json::object config_of(const std::string& more) {
  json::object config =
      parse_json(
          R"({"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1})",
          "base")
          .as_object();
  const json::value changes = parse_json(more, "more");
  for (const auto& [key, value] : changes.as_object()) config[key] = value;
  return config;
}

std::unique_ptr<Scheduler> make(std::string_view name, const std::string& more, int64_t steps) {
  return find_named(all(), name, "scheduler").make(config_of(more), {.num_inference_steps = steps}, "config");
}

std::vector<double> sigmas_of(const Scheduler& scheduler) {
  std::vector<double> out;
  const at::Tensor one = at::ones({1}, at::kFloat);
  for (size_t i = 0; i < scheduler.timesteps().size(); ++i)
    out.push_back(scheduler.add_noise(0 * one, one, i).item<double>());
  return out;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << "at " << i;
}

constexpr double kPrinted = 6e-5;  // the grids are printed with four decimals

// Printed grids of diffusers for Stable Diffusion's betas and ten steps.
TEST(ReferenceGrids, OfEuler) {
  expect_near(sigmas_of(*make("euler", R"({"timestep_spacing": "leading"})", 10)),
              {8.3907, 5.1344, 3.3478, 2.2929, 1.6237, 1.1682, .8357, .5741, .3462, .0413}, kPrinted);
  expect_near(sigmas_of(*make("euler", "{}", 10)),
              {14.6146, 7.8399, 4.6092, 2.9183, 1.9502, 1.3449, .9324, .6250, .3687, .0292}, kPrinted);
  expect_near(sigmas_of(*make("euler", R"({"timestep_spacing": "trailing"})", 10)),
              {14.6146, 8.3028, 5.0878, 3.3211, 2.2765, 1.6129, 1.1606, .8299, .5693, .3417}, kPrinted);
  EXPECT_NEAR(make("euler", R"({"timestep_spacing": "leading"})", 10)->init_noise_sigma(), 8.4501, kPrinted);
}

TEST(ReferenceGrids, OfConvertedSigmas) {
  const std::vector<double> exponential{14.6146, 7.3249, 3.6712, 1.8400, .9222,
                                        .4622,   .2317,  .1161,  .0582,  .0292};
  expect_near(sigmas_of(*make("euler", R"({"use_karras_sigmas": true})", 10)),
              {14.6146, 9.1029, 5.4784, 3.1686, 1.7494, .9141, .4469, .2014, .0819, .0292}, kPrinted);
  expect_near(sigmas_of(*make("euler", R"({"use_exponential_sigmas": true})", 10)), exponential, kPrinted);
  std::vector<double> scaled;  // unit variance
  for (double sigma : exponential) scaled.push_back(sigma / std::sqrt(1 + sigma * sigma));
  expect_near(sigmas_of(*make("dpmpp_2m", R"({"use_lu_lambdas": true})", 10)), scaled, kPrinted);
}

TEST(ReferenceGrids, OfTimesteps) {
  EXPECT_THAT(make("dpmpp_2m", "{}", 10)->timesteps(),
              ElementsAre(999, 899, 799, 699, 599, 500, 400, 300, 200, 100));
  EXPECT_THAT(make("dpmpp_2m", R"({"timestep_spacing": "leading"})", 10)->timesteps(),
              ElementsAre(901, 811, 721, 631, 541, 451, 361, 271, 181, 91));
  EXPECT_THAT(make("pndm", R"({"skip_prk_steps": true})", 10)->timesteps(),
              ElementsAre(901, 801, 801, 701, 601, 501, 401, 301, 201, 101, 1));
  EXPECT_THAT(make("euler", R"({"timestep_spacing": "trailing"})", 4)->timesteps(),
              ElementsAre(999, 749, 499, 249));
  EXPECT_THAT(make("euler", R"({"timestep_spacing": "trailing"})", 1)->timesteps(), ElementsAre(999));
  EXPECT_EQ(make("heun", "{}", 5)->timesteps().size(), 9u);
}

TEST(ReferenceGrids, OfZeroTerminalSnr) {
  const auto scheduler = make(
      "euler",
      R"({"rescale_betas_zero_snr": true, "timestep_spacing": "trailing", "prediction_type": "v_prediction"})",
      10);
  const std::vector<double> sigmas = sigmas_of(*scheduler);
  EXPECT_DOUBLE_EQ(sigmas[0], 4096);
  EXPECT_NEAR(sigmas[1], 18.13, 0.01);
}

// In 61 parts rounding makes numpy's arange one longer, and a timestep −1; limn leaves that one out.
TEST(TrailingSpacing, HasNoTimestepBelowZero) {
  const auto& t = make("ddim", R"({"timestep_spacing": "trailing"})", 61)->timesteps();
  EXPECT_EQ(t.size(), 61u);
  EXPECT_GE(t.back(), 0);
}

TEST(IntegratedLagrange, OfOneNodeIsTheLength) {
  EXPECT_THAT(integrated_lagrange({3.0}, 0, 3.0, 1.0), DoubleEq(-2));
}

TEST(IntegratedLagrange, IsExactForCubics) {
  const std::vector<double> nodes{2, 3, 5, 9};
  const auto cubic = [](double x) { return x * x * x - 4 * x * x + 2 * x - 7; };
  const auto primitive = [](double x) { return x * x * x * x / 4 - 4 * x * x * x / 3 + x * x - 7 * x; };
  double integral = 0;
  for (size_t k = 0; k < nodes.size(); ++k) integral += cubic(nodes[k]) * integrated_lagrange(nodes, k, 2, 1);
  EXPECT_NEAR(integral, primitive(1) - primitive(2), 1e-12);
}

TEST(SigmaTable, FindsTheTimestepOfItsOwnValuesAndHoldsAtTheEnds) {
  const SigmaTable table({0.1f, 0.5f, 2.0f, 8.0f});
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(table.timestep_of(table.sigmas()[i]), i, 1e-6);
  EXPECT_EQ(table.timestep_of(0), 0);
  EXPECT_EQ(table.timestep_of(1e9), 3);
  EXPECT_EQ(table.sigma_at(-1), 0.1f);
  EXPECT_EQ(table.sigma_at(99), 8.0f);
  EXPECT_NEAR(table.sigma_at(1.5), 1.25, 1e-7);
}

struct Refusal {
  const char *scheduler, *more, *field;
  ErrorCode code;
};

class RefusedConfigurations : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedConfigurations, AreErrorsAtTheField) {
  const auto [scheduler, more, field, code] = GetParam();
  try {
    make(scheduler, more, 10);
    FAIL() << scheduler << ' ' << more;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.where(), HasSubstr(field));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, RefusedConfigurations,
    testing::Values(
        Refusal{"ddpm", R"({"variance_type": "fixed_large_log"})", "variance_type", ErrorCode::Unsupported},
        Refusal{"ddim", R"({"beta_schedule": "sigmoid"})", "beta_schedule", ErrorCode::Unsupported},
        Refusal{"ddim", R"({"thresholding": true, "dynamic_thresholding_ratio": 1.5})",
                "dynamic_thresholding_ratio", ErrorCode::BadFile},
        Refusal{"ddim", R"({"thresholding": true, "sample_max_value": 0})", "sample_max_value",
                ErrorCode::BadFile},
        Refusal{"ddim", R"({"steps_offset": 200})", "steps_offset", ErrorCode::InvalidArgument},
        Refusal{"pndm", R"({"prediction_type": "sample"})", "prediction_type", ErrorCode::Unsupported},
        Refusal{"euler_ancestral", R"({"prediction_type": "sample"})", "prediction_type",
                ErrorCode::Unsupported},
        Refusal{"euler", R"({"interpolation_type": "cubic"})", "interpolation_type", ErrorCode::Unsupported},
        Refusal{"euler", R"({"timestep_type": "odd"})", "timestep_type", ErrorCode::Unsupported},
        Refusal{"euler", R"({"final_sigmas_type": "half"})", "final_sigmas_type", ErrorCode::Unsupported},
        Refusal{"euler", R"({"use_karras_sigmas": true, "sigma_min": 0})", "sigma_min", ErrorCode::BadFile},
        Refusal{"dpmpp_2m", R"({"algorithm_type": "dpmsolver"})", "final_sigmas_type",
                ErrorCode::Unsupported},
        Refusal{"dpmpp_2m", R"({"algorithm_type": "magic"})", "algorithm_type", ErrorCode::Unsupported},
        Refusal{"dpmpp_2m", R"({"solver_type": "magic"})", "solver_type", ErrorCode::Unsupported},
        Refusal{"dpmpp_2m", R"({"solver_order": 4})", "solver_order", ErrorCode::Unsupported},
        Refusal{"dpmpp_2m", R"({"solver_order": 0})", "solver_order", ErrorCode::Unsupported},
        Refusal{"dpmpp_2m",
                R"({"solver_order": 3, "algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"})",
                "solver_order", ErrorCode::Unsupported},
        Refusal{"dpmpp_2m", R"({"lambda_min_clipped": 100})", "lambda_min_clipped", ErrorCode::BadFile},
        Refusal{"dpmpp_2m", R"({"variance_type": "fixed"})", "variance_type", ErrorCode::Unsupported},
        Refusal{"dpmpp_2m", R"({"use_flow_sigmas": true})", "use_flow_sigmas", ErrorCode::Unsupported},
        Refusal{"unipc", R"({"use_dynamic_shifting": true})", "use_dynamic_shifting", ErrorCode::Unsupported},
        Refusal{"unipc", R"({"shift_terminal": 0.1})", "shift_terminal", ErrorCode::Unsupported},
        Refusal{"unipc", R"({"solver_type": "bh3"})", "solver_type", ErrorCode::Unsupported},
        Refusal{"deis", R"({"algorithm_type": "sde-dpmsolver"})", "algorithm_type", ErrorCode::Unsupported}));

TEST(Ddim, RefusesANegativeEta) {
  const auto& ddim = find_named(all(), "ddim", "scheduler");
  EXPECT_THROW(ddim.make(config_of("{}"), {.num_inference_steps = 5, .eta = -1}, "c"), Error);
}

TEST(Pndm, NeedsFourStepsForRungeKutta) {
  EXPECT_THROW(make("pndm", "{}", 3), Error);
  EXPECT_EQ(make("pndm", "{}", 4)->timesteps().size(), 13u);
}

// diffusers ends such runs in NaN; a step to σ = 0 bears the first order only.
TEST(UniPc, EndsFiniteAtZeroWithoutLowerOrders) {
  for (const char* more : {R"({"lower_order_final": false})", R"({"solver_type": "bh1"})"}) {
    const auto scheduler = make("unipc", more, 25);
    const NoiseSource noise({});
    at::Tensor sample = at::ones({1, 4, 2, 2}, at::kFloat);
    for (size_t i = 0; i < scheduler->timesteps().size(); ++i)
      sample = scheduler->step(0.5 * sample, i, sample, noise);
    EXPECT_TRUE(std::isfinite(sample.sum().item<double>())) << more;
  }
}

}  // namespace
}  // namespace limn::schedulers
