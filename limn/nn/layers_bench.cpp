// SPDX-License-Identifier: Apache-2.0
// The layers a Stable Diffusion 1 U-Net spends its time in, at the sizes of a 512×512 picture with guidance.
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "limn/nn/layers.h"

namespace limn::nn {
namespace {

void fill(Module& module) {
  for (const auto& [name, tensor] : module.parameters()) *tensor = at::randn(tensor->sizes()).mul_(0.02);
}

void conv_3x3(benchmark::State& state) {
  const c10::InferenceMode inference;
  const int64_t channels = state.range(0), side = state.range(1);
  Conv2d conv(channels, channels, 3, {.padding = 1});
  fill(conv);
  const at::Tensor x = at::randn({2, channels, side, side});
  for (auto _ : state) benchmark::DoNotOptimize(conv.forward(x));
  state.counters["GFLOP/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * 2 * 2 * 9 * channels * channels * side * side) * 1e-9,
      benchmark::Counter::kIsRate);
}
BENCHMARK(conv_3x3)
    ->Args({320, 64})
    ->Args({640, 32})
    ->Args({1280, 16})
    ->Args({1280, 8})
    ->Unit(benchmark::kMillisecond);

void self_attention(benchmark::State& state) {
  const c10::InferenceMode inference;
  const int64_t tokens = state.range(0), channels = state.range(1);
  const at::Tensor x = at::randn({2, tokens, channels});
  for (auto _ : state) benchmark::DoNotOptimize(attention(x, x, x, 8));
  state.counters["GFLOP/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * 2 * 4 * tokens * tokens * channels) * 1e-9,
                         benchmark::Counter::kIsRate);
}
BENCHMARK(self_attention)
    ->Args({4096, 320})
    ->Args({1024, 640})
    ->Args({256, 1280})
    ->Unit(benchmark::kMillisecond);

void linear(benchmark::State& state) {
  const c10::InferenceMode inference;
  const int64_t tokens = state.range(0), channels = state.range(1);
  Linear layer(channels, 8 * channels);
  fill(layer);
  const at::Tensor x = at::randn({2, tokens, channels});
  for (auto _ : state) benchmark::DoNotOptimize(layer.forward(x));
  state.counters["GFLOP/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * 2 * 2 * 8 * tokens * channels * channels) * 1e-9,
      benchmark::Counter::kIsRate);
}
BENCHMARK(linear)->Args({4096, 320})->Args({1024, 640})->Args({256, 1280})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace limn::nn
