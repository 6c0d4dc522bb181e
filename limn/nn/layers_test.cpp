// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/layers.h"

#include <cmath>
#include <functional>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/triu.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/nn/checkpoint.h"

namespace limn::nn {
namespace {

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

/// The definition, written out: softmax(QKᵀ/√d)V head by head.
at::Tensor attention_by_definition(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   int64_t heads, bool causal) {
  const int64_t d = q.size(2) / heads;
  const auto split = [&](const at::Tensor& x) { return x.view({x.size(0), x.size(1), heads, d}); };
  at::Tensor scores = at::einsum("bihd,bjhd->bhij", {split(q), split(k)}) / std::sqrt(static_cast<double>(d));
  if (causal) scores = scores + at::triu(at::full({q.size(1), k.size(1)}, -INFINITY), 1);
  return at::einsum("bhij,bjhd->bihd", {at::softmax(scores, -1), split(v)}).reshape(q.sizes());
}

TEST(Attention, IsItsDefinition) {
  for (const bool causal : {false, true})
    for (const int64_t heads : {1, 5}) {
      const at::Tensor q = noise({2, 7, 40}, 1), k = noise({2, causal ? 7 : 11, 40}, 2),
                       v = noise(k.sizes(), 3);
      EXPECT_TRUE(at::allclose(attention(q, k, v, heads, causal),
                               attention_by_definition(q, k, v, heads, causal), 1e-5, 1e-6));
    }
}

TEST(TimestepEmbedding, IsSinesAndCosinesOfFallingFrequency) {
  const at::Tensor t = at::tensor({0.0f, 7.0f});
  const at::Tensor plain = timestep_embedding(t, 6, false, 1), flipped = timestep_embedding(t, 6, true, 0);
  for (int64_t i = 0; i < 3; ++i) {
    // Vaswani et al. 2017, §3.5; freq_shift 1 makes the last frequency exactly 1/10000.
    EXPECT_NEAR(plain[1][i].item<double>(), std::sin(7 * std::pow(10000.0, -static_cast<double>(i) / 2)),
                1e-6);
    EXPECT_NEAR(plain[1][i + 3].item<double>(), std::cos(7 * std::pow(10000.0, -static_cast<double>(i) / 2)),
                1e-6);
    EXPECT_NEAR(flipped[1][i].item<double>(), std::cos(7 * std::pow(10000.0, -static_cast<double>(i) / 3)),
                1e-6);
    EXPECT_EQ(flipped[0][i].item<double>(), 1.0);
  }
}

TEST(Activations, AreNamedAndRefusedByName) {
  const at::Tensor x = noise({9}, 4);
  EXPECT_TRUE(find_activation("quick_gelu", "here")(x).allclose(x / (1 + (x * -1.702).exp())));
  try {
    find_activation("snake", "config: act_fn");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::Unsupported);
    EXPECT_STREQ(error.what(),
                 "config: act_fn: no activation 'snake' (known: silu, swish, gelu, quick_gelu, mish, relu)");
  }
}

TEST(Module, KeepsShapesWithoutMemoryUntilLoaded) {
  struct Two : Module {
    Two() : first(3, 4), second(4, 5, false) {
      register_module("first", first);
      register_module("list", list);
      list.emplace(2, 2);
      register_module("second", second);
    }
    Linear first, second;
    ModuleList<Linear> list;
  } module;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : module.parameters("model")) {
    EXPECT_TRUE(tensor->is_meta());
    names.push_back(name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"model.first.weight", "model.first.bias", "model.list.0.weight",
                                             "model.list.0.bias", "model.second.weight"}));
}

TEST(Layers, LetGradientsThrough) {
  Linear layer(3, 2);
  layer.weight = noise({2, 3}, 5).requires_grad_();
  layer.bias = noise({2}, 6).requires_grad_();
  layer.forward(noise({4, 3}, 7)).sum().backward();
  EXPECT_TRUE(layer.bias.grad().equal(at::full({2}, 4.0f)));
}

/// Compares autograd's gradient of Σ f(x)² with central differences, in float64.
void expect_gradients(const std::function<at::Tensor()>& f, const std::vector<at::Tensor>& leaves) {
  for (const at::Tensor& leaf : leaves) leaf.requires_grad_(true);
  f().square().sum().backward();
  constexpr double kStep = 1e-5;
  for (const at::Tensor& leaf : leaves) {
    const at::NoGradGuard no_grad;
    const at::Tensor flat = leaf.detach().view(-1), gradient = leaf.grad().reshape(-1);
    for (int64_t i = 0; i < flat.size(0); i += 3) {
      const double kept = flat[i].item<double>();
      flat[i].fill_(kept + kStep);
      const double above = f().square().sum().item<double>();
      flat[i].fill_(kept - kStep);
      const double below = f().square().sum().item<double>();
      flat[i].fill_(kept);
      EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * kStep),
                  1e-5 * std::max(1.0, std::abs(gradient[i].item<double>())));
    }
  }
}

at::Tensor random64(at::IntArrayRef shape) { return at::randn(shape, at::kDouble); }

TEST(LowRank, GradientsOfLinearAndConvolutionAreThoseOfDifferences) {
  Linear linear(5, 4);
  linear.weight = random64({4, 5});
  linear.bias = random64({4});
  linear.low_rank = LowRank{random64({2, 5}), random64({4, 2}), 1.5};
  const at::Tensor x = random64({3, 5});
  expect_gradients([&] { return linear.forward(x); }, {x, linear.low_rank->down, linear.low_rank->up});

  Conv2d conv(3, 4, 3, {.stride = 2, .padding = 1});
  conv.weight = random64({4, 3, 3, 3});
  conv.bias = random64({4});
  conv.low_rank = LowRank{random64({2, 3, 3, 3}), random64({4, 2, 1, 1}), 0.5};
  const at::Tensor map = random64({1, 3, 6, 6});
  expect_gradients([&] { return conv.forward(map); }, {map, conv.low_rank->down, conv.low_rank->up});
}

TEST(Checkpointed, GivesTheSameGradientsAndRunsTwice) {
  const at::Tensor weight = random64({4, 4});
  int runs = 0;
  const at::Tensor x = random64({2, 4});
  const auto layer = [&](const std::vector<at::Tensor>& inputs) {
    ++runs;
    return at::linear(inputs[0], weight).tanh() * inputs[1];
  };
  const at::Tensor scale = random64({4});
  expect_gradients([&] { return checkpointed(layer, {x, scale}); }, {x, scale, weight});
  runs = 0;
  checkpointed(layer, {x, scale}).sum().backward();
  EXPECT_EQ(runs, 2);
}

}  // namespace
}  // namespace limn::nn
