// SPDX-License-Identifier: Apache-2.0
#include "limn/training/optimizer.h"

#include <cmath>
#include <filesystem>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "limn/base/json.h"
#include "limn/base/named_table.h"
#include "limn/weights/tensor.h"

namespace limn::training {
namespace {

const std::filesystem::path kFolder =
    std::filesystem::path(LIMN_SOURCE_DIR) / "tests" / "goldens" / "training";

const std::map<std::string, at::Tensor>& golden() {
  static const auto tensors = weights::load_tensors(kFolder / "optimizers.safetensors");
  return tensors;
}

std::vector<Trainable> start() {
  std::vector<Trainable> out;
  for (int i = 0; i < 3; ++i)
    out.push_back(
        {std::to_string(i), golden().at("start." + std::to_string(i)).clone().requires_grad_(true)});
  return out;
}

void set_gradients(const std::vector<Trainable>& parameters, int step) {
  for (const Trainable& p : parameters)
    p.tensor.mutable_grad() = golden().at("gradient." + std::to_string(step) + "." + p.name).clone();
}

double largest_difference(const std::string& prefix, const std::map<std::string, at::Tensor>& found) {
  double largest = 0;
  for (const auto& [name, tensor] : found)
    largest = std::max(largest, (tensor - golden().at(prefix + name)).abs().max().item<double>());
  return largest;
}

class AgainstTorch : public testing::TestWithParam<const char*> {};

TEST_P(AgainstTorch, SixClippedSteps) {
  const auto parameters = start();
  const std::string name = GetParam();
  const auto optimizer =
      find_named(optimizers(), name, "optimizer")
          .make({.name = name, .beta1 = 0.9, .beta2 = 0.99, .weight_decay = name == "adamw" ? 0.01 : 0},
                parameters);
  Ema ema({.kind = name == "adamw" ? "constant" : "none", .decay = 0.9999}, parameters);
  for (int step = 0; step < 6; ++step) {
    set_gradients(parameters, step);
    EXPECT_GT(clip_gradients(parameters, 1.0), 1.0);
    optimizer->step(1e-2);
    ema.update(step + 1);
    std::map<std::string, at::Tensor> found;
    for (const Trainable& p : parameters) found[p.name] = p.tensor.detach();
    EXPECT_LT(largest_difference(name + "." + std::to_string(step) + ".", found), 1e-6) << step;
    EXPECT_LT(largest_difference("ema." + std::to_string(step) + ".", ema.state()), 1e-6) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, AgainstTorch, testing::Values("adamw", "adafactor"));

TEST(AdamW8Bit, StaysNearAdamW) {
  const auto exact = start(), coarse = start();
  const OptimizerConfig config{.beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.01};
  const auto a = find_named(optimizers(), "adamw", "").make(config, exact);
  const auto b = find_named(optimizers(), "adamw_8bit", "").make(config, coarse);
  for (int step = 0; step < 60; ++step) {
    set_gradients(exact, step % 6);
    set_gradients(coarse, step % 6);
    a->step(1e-2);
    b->step(1e-2);
  }
  for (size_t i = 0; i < exact.size(); ++i) {
    const auto moved =
        (exact[i].tensor - golden().at("start." + exact[i].name)).detach().norm().item<double>();
    const auto apart = (exact[i].tensor - coarse[i].tensor).detach().norm().item<double>();
    EXPECT_LT(apart, 0.1 * moved);  // two moments of 8 bits: some per cent
  }
}

class EveryOptimizer : public testing::TestWithParam<OptimizerEntry> {};

TEST_P(EveryOptimizer, FindsTheMinimumOfABowl) {
  const Trainable p{"p", at::full({4, 300}, 2.0).requires_grad_(true)};
  const auto optimizer = GetParam().make({.weight_decay = 0}, {p});
  for (int step = 0; step < 400; ++step) {
    p.tensor.mutable_grad() = 2 * p.tensor.detach();
    optimizer->step(0.02);
  }
  EXPECT_LT(p.tensor.detach().abs().max().item<double>(), 0.1);
}

TEST_P(EveryOptimizer, GoesOnFromItsState) {
  const auto run = [](bool interrupted) {
    auto parameters = start();
    auto optimizer = GetParam().make({}, parameters);
    for (int step = 0; step < 6; ++step) {
      if (interrupted && step == 3) {
        auto again = GetParam().make({}, parameters);
        for (const auto& [name, tensor] : again->state()) tensor.copy_(optimizer->state().at(name));
        optimizer = std::move(again);
      }
      set_gradients(parameters, step);
      optimizer->step(1e-2);
    }
    return parameters;
  };
  const auto whole = run(false), parts = run(true);
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(whole[i].tensor.equal(parts[i].tensor));
}

TEST_P(EveryOptimizer, LeavesParametersWithoutGradientAlone) {
  const Trainable p{"p", at::ones({3}).requires_grad_(true)};
  GetParam().make({}, {p})->step(0.1);
  EXPECT_TRUE(p.tensor.detach().equal(at::ones({3})));
}

INSTANTIATE_TEST_SUITE_P(Table, EveryOptimizer, testing::ValuesIn(optimizers().begin(), optimizers().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(LearningRate, FollowsDiffusersSchedules) {
  const json::object facts = read_json_object(kFolder / "optimizers.json");
  for (const LearningRateSchedule& schedule : learning_rate_schedules()) {
    const json::array& expected = facts.at(schedule.name).as_array();
    for (size_t step = 0; step < expected.size(); ++step)
      EXPECT_NEAR(learning_rate_factor(schedule, static_cast<int64_t>(step), 20, 200, 0),
                  expected[step].to_number<double>(), 1e-12)
          << schedule.name << " " << step;
  }
  EXPECT_NEAR(learning_rate_factor(find_named(learning_rate_schedules(), "cosine", ""), 200, 20, 200, 0.1),
              0.1, 1e-12);
}

TEST(Ema, OfAPowerFunctionHasTheWidthAskedFor) {
  const json::object facts = read_json_object(kFolder / "optimizers.json");
  for (const double sigma_rel : {0.05, 0.1}) {
    const Trainable p{"p", at::zeros({1}, at::kDouble)};
    Ema ema({.kind = "power", .sigma_rel = sigma_rel}, {p});
    const json::array& expected =
        facts.at("power " + std::string(sigma_rel == 0.05 ? "0.05" : "0.1")).as_array();
    for (int n = 1; n <= 20; ++n) {
      p.tensor.fill_(n * n);
      ema.update(n);
      EXPECT_NEAR(ema.state().at("p").item<double>(),
                  expected[static_cast<size_t>(n - 1)].to_number<double>(), 1e-6);
    }
  }
}

TEST(Ema, SwapsThereAndBack) {
  const auto parameters = start();
  Ema ema({.kind = "constant", .decay = 0.5}, parameters);
  const at::Tensor before = parameters[0].tensor.detach().clone();
  {
    const at::NoGradGuard no_grad;
    parameters[0].tensor.add_(1);
  }
  ema.swap();
  EXPECT_TRUE(parameters[0].tensor.detach().equal(before));
  ema.swap();
  EXPECT_TRUE(parameters[0].tensor.detach().equal(before + 1));
}

}  // namespace
}  // namespace limn::training
