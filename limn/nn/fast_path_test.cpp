// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/fast_path.h"

#include <functional>
#include <string>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "limn/nn/layers.h"

namespace limn::nn {
namespace {

// Rounding of float32 sums, three times what the kernels' own tests allow; of bfloat16, 2⁻⁹ an operation.
constexpr double kFloat32 = 1e-5, kBFloat16 = 2e-2;

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

template <typename Layer>
void fill(Layer& layer, at::ScalarType weights, at::ScalarType rest) {
  uint64_t seed = 100;
  for (const auto& [name, tensor] : layer.parameters()) {
    const bool is_weight = name == "weight" && tensor->dim() > 1;
    *tensor = (noise(tensor->sizes(), ++seed) * 0.3).to(is_weight ? weights : rest);
  }
}

double gap(const at::Tensor& found, const at::Tensor& wanted) {
  EXPECT_EQ(found.sizes(), wanted.sizes());
  EXPECT_EQ(found.scalar_type(), wanted.scalar_type());
  const at::Tensor f = found.to(at::kDouble), w = wanted.to(at::kDouble);
  return (at::linalg_vector_norm(f - w) / at::linalg_vector_norm(w)).item<double>();
}

struct Types {
  const char* name;
  at::ScalarType x, weights;
  double tolerance;
};
constexpr Types kTypes[] = {{"float32", at::kFloat, at::kFloat, kFloat32},
                            {"float32 with float16 weights", at::kFloat, at::kHalf, kFloat32},
                            {"bfloat16", at::kBFloat16, at::kBFloat16, kBFloat16}};

/// run() with kernels and without, for all types.
void compare(const std::string& what, const Types& types, const std::function<at::Tensor()>& run) {
  const at::NoGradGuard no_grad;
  const at::Tensor fast = run();
  const PlainPath plain;
  EXPECT_LT(gap(fast, run()), types.tolerance) << what << ", " << types.name;
}

TEST(FastPath, OfLinearLayersIsTheirPlainDefinition) {
  for (const Types& types : kTypes)
    for (const bool bias : {true, false}) {
      Linear layer(24, 40, bias);
      fill(layer, types.weights, types.x);
      const at::Tensor x = noise({3, 7, 24}, 1).to(types.x), residual = noise({3, 7, 40}, 2).to(types.x);
      compare("linear", types, [&] { return layer.forward(x); });
      compare("linear, residual", types, [&] { return layer.forward(x, residual); });
      compare("linear, of a view", types, [&] { return layer.forward(x.transpose(0, 1)); });
      compare("geglu", types, [&] { return layer.geglu(x); });
    }
}

TEST(FastPath, OfConvolutionsIsTheirPlainDefinition) {
  struct Case {
    int64_t in, out, kernel;
    Conv2dOptions options;
  };
  const Case cases[] = {{32, 48, 3, {.padding = 1}},
                        {32, 48, 3, {.padding = 1, .bias = false}},
                        {32, 48, 3, {.stride = 2, .padding = 1}},
                        {4, 32, 3, {.padding = 1}},
                        {32, 16, 1, {}},
                        {32, 16, 5, {.padding = 2}}};
  for (const Types& types : kTypes)
    for (const Case& c : cases)
      for (const bool wraps : {false, true}) {
        Conv2d conv(c.in, c.out, c.kernel, c.options);
        conv.wraps_x = wraps;
        fill(conv, types.weights, types.x);
        GroupNorm norm(c.in / 4, c.in, 1e-5);
        fill(norm, types.x, types.x);
        const at::Tensor x = noise({2, c.in, 18, 21}, 1).to(types.x);
        const std::string what =
            std::to_string(c.kernel) + " × " + std::to_string(c.in) + " → " + std::to_string(c.out);
        compare(what, types, [&] { return conv.forward(x); });
        compare(what + ", channels last", types,
                [&] { return conv.forward(x.contiguous(at::MemoryFormat::ChannelsLast)); });
        const at::Tensor addition = noise({2, c.out}, 2).to(types.x), residual = [&] {
          const at::NoGradGuard no_grad;
          return noise(conv.forward(x).sizes(), 3).to(types.x);
        }();
        for (const char* activation : {"silu", "relu"})
          compare(what + ", extras with " + activation, types, [&] {
            return conv.forward(x, {&norm, find_activation(activation, "here"), addition, residual});
          });
        compare(what + ", norm alone", types, [&] { return conv.forward(x, {.norm = &norm}); });
      }
}

TEST(FastPath, GivesMapsTheSameBitsAloneAndWithAnyNumberOfThreads) {
  const at::NoGradGuard no_grad;
  const auto with_threads = [](int threads, const std::function<at::Tensor()>& run) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const at::Tensor out = run();
    at::set_num_threads(before);
    return out;
  };
  struct Case {
    int64_t in, out, kernel, side;
    Conv2dOptions options;
  };
  // Winograd, a linear layer, and what goes to oneDNN: first and last convolutions, strides, small and odd maps.
  const Case cases[] = {{32, 48, 3, 20, {.padding = 1}},
                        {32, 16, 1, 9, {}},
                        {4, 32, 3, 8, {.padding = 1}},
                        {4, 320, 3, 64, {.padding = 1}},
                        {32, 4, 3, 8, {.padding = 1}},
                        {32, 32, 3, 8, {.stride = 2, .padding = 1}},
                        {320, 320, 3, 16, {.stride = 2, .padding = 1}},
                        {32, 32, 3, 9, {.stride = 2}},
                        {8, 8, 5, 7, {.padding = 2}}};
  for (const Case& c : cases) {
    Conv2d conv(c.in, c.out, c.kernel, c.options);
    fill(conv, at::kFloat, at::kFloat);
    const at::Tensor x = noise({8, c.in, c.side, c.side}, 1);
    const at::Tensor wanted = with_threads(1, [&] { return conv.forward(x); });
    for (const int threads : {1, 2, 5})
      for (const int64_t batch : {1, 2, 8})
        EXPECT_TRUE(at::equal(with_threads(threads, [&] { return conv.forward(x.slice(0, 0, batch)); }),
                              wanted.slice(0, 0, batch)))
            << c.kernel << " × " << c.in << " → " << c.out << " at " << c.side << ", batch " << batch << ", "
            << threads << " threads";
  }
}

TEST(FastPath, OfNormsAndAttentionIsTheirPlainDefinition) {
  for (const Types& types : kTypes) {
    GroupNorm group(4, 24, 1e-6);
    LayerNorm layer(24);
    fill(group, types.x, types.x);
    fill(layer, types.x, types.x);
    const at::Tensor map = noise({2, 24, 9, 5}, 1).to(types.x), tokens = noise({2, 33, 24}, 2).to(types.x),
                     context = noise({2, 11, 24}, 3).to(types.x);
    compare("group norm", types, [&] { return group.forward(map); });
    compare("layer norm", types, [&] { return layer.forward(tokens); });
    compare("self-attention", types, [&] { return attention(tokens, tokens, tokens, 3); });
    compare("cross-attention", types, [&] { return attention(tokens, context, context, 3); });
  }
}

TEST(FastPath, OfInt8WeightsIsThePlainDefinitionWithTheSameWeights) {
  for (const Types& types : {kTypes[0], kTypes[2]}) {
    Linear linear(32, 48);
    Conv2d conv(32, 48, 3, {.padding = 1}), pointwise(32, 48, 1);
    fill(linear, types.weights, types.x);
    fill(conv, types.weights, types.x);
    fill(pointwise, types.weights, types.x);
    const at::Tensor row = noise({5, 32}, 1).to(types.x), map = noise({2, 32, 16, 16}, 2).to(types.x);
    const at::NoGradGuard no_grad;
    const at::Tensor before = linear.forward(row);
    linear.int8 = Int8Weights::of(linear.weight, false);
    conv.int8 = Int8Weights::of(conv.weight, false);
    pointwise.int8 = Int8Weights::of(pointwise.weight, false);
    compare("linear", types, [&] { return linear.forward(row); });
    compare("geglu", types, [&] { return linear.geglu(row); });
    compare("3 × 3", types, [&] { return conv.forward(map); });
    compare("1 × 1", types, [&] { return pointwise.forward(map); });
    // 8 bits: half a step of max / 127, against a spread of max / 3 or so.
    EXPECT_GT(gap(linear.forward(row), before), types.x == at::kFloat ? 1e-4 : 0);
    EXPECT_LT(gap(linear.forward(row), before), 2e-2);
    linear.int8->rounds_inputs = true;
    EXPECT_LT(gap(linear.forward(row), before), 3e-2);
  }
}

TEST(FastPath, IsLeftWhereGradientsAreWanted) {
  Conv2d conv(32, 32, 3, {.padding = 1});
  GroupNorm norm(8, 32, 1e-5);
  fill(conv, at::kFloat, at::kFloat);
  fill(norm, at::kFloat, at::kFloat);
  const at::Tensor x = noise({1, 32, 12, 12}, 1).requires_grad_(), direction = noise(x.sizes(), 2);
  const auto run = [&](const at::Tensor& from) {
    return conv.forward(from, {&norm, find_activation("silu", "here"), {}, from}).sum();
  };
  run(x).backward();
  ASSERT_TRUE(x.grad().defined());
  // The slope along a direction, by the kernels.
  const at::NoGradGuard no_grad;
  constexpr double kStep = 1e-2;
  const double slope =
      ((run(x + kStep * direction) - run(x - kStep * direction)) / (2 * kStep)).item<double>();
  EXPECT_NEAR((x.grad() * direction).sum().item<double>() / slope, 1, 2e-3);
}

TEST(FastPath, SeesAWeightThatChanged) {
  const at::NoGradGuard no_grad;
  Conv2d conv(32, 32, 3, {.padding = 1});
  Linear linear(32, 32);
  fill(conv, at::kFloat, at::kFloat);
  fill(linear, at::kFloat, at::kFloat);
  const at::Tensor x = noise({1, 32, 16, 16}, 1), row = noise({4, 32}, 2);
  const std::function<void()> changes[] = {
      [&] { conv.weight.add_(0.1), linear.weight.add_(0.1); },                    // an optimizer's step
      [&] { conv.weight = conv.weight * 2, linear.weight = linear.weight * 2; },  // a LoRA
      [&] { conv.weight = conv.weight.to(at::kBFloat16), linear.weight = linear.weight.to(at::kHalf); }};
  for (const auto& change : changes) {
    const at::Tensor map = conv.forward(x), rows = linear.forward(row);
    change();
    EXPECT_FALSE(at::equal(conv.forward(x), map));
    EXPECT_FALSE(at::equal(linear.forward(row), rows));
    compare("convolution", kTypes[0], [&] { return conv.forward(x); });
    compare("linear", kTypes[0], [&] { return linear.forward(row); });
  }
}

}  // namespace
}  // namespace limn::nn
