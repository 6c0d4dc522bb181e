// SPDX-License-Identifier: Apache-2.0
// Convolutions of Stable Diffusion 1.5 at 512 × 512 with guidance, and of its VAE: batch × height × width × channels × out.
// Rates are of the direct method's operations, so that they may pass the processor's peak.
#include "limn/kernels/kernels_bench.h"
#include "limn/kernels/winograd.h"

namespace limn::kernels {
namespace {

using benching::noise;

struct Case {
  int64_t batch, size, channels, out;
};
constexpr Case kCases[] = {{2, 64, 320, 320},   {2, 32, 640, 640}, {2, 16, 1280, 1280}, {2, 8, 1280, 1280},
                           {2, 16, 2560, 1280}, {1, 64, 512, 512}, {1, 256, 256, 256},  {1, 512, 128, 128}};

template <typename T, typename Weight>
void run(benchmark::State& state, Case c, ElementType type) {
  const int64_t pixels = c.batch * c.size * c.size;
  const auto x = noise<T>(pixels * c.channels, 0), residual = noise<T>(pixels * c.out, 1);
  const auto weight = noise<Weight>(c.out * c.channels * 9, 2);
  const auto scale = noise<float>(c.batch * c.channels, 3), shift = noise<float>(c.batch * c.channels, 4),
             bias = noise<float>(c.out, 5);
  std::vector<T> y(residual.size());
  for (auto _ : state)
    winograd_conv3x3(Conv3x3Arguments<T>{.x = x.data(),
                                         .batch = c.batch,
                                         .height = c.size,
                                         .width = c.size,
                                         .channels = c.channels,
                                         .scale = scale.data(),
                                         .shift = shift.data(),
                                         .silu = true,
                                         .weight = {weight.data(), type, bias.data()},
                                         .out_channels = c.out,
                                         .bias = bias.data(),
                                         .residual = residual.data(),
                                         .y = y.data()});
  benching::report(state, 9 * pixels * c.channels * c.out);
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const Case& c : kCases) {
    const std::string size = std::to_string(c.size);
    const std::string name = "winograd/" + std::to_string(c.batch) + "x" + size + "x" + size + "x" +
                             std::to_string(c.channels) + "x" + std::to_string(c.out) + "/";
    benching::add(name + "float32", run<float, float>, c, ElementType::Float32);
    benching::add(name + "bfloat16", run<uint16_t, uint16_t>, c, ElementType::BFloat16);
    benching::add(name + "bfloat16_int8", run<uint16_t, int8_t>, c, ElementType::Int8);
  }
  return true;
}();

}  // namespace
}  // namespace limn::kernels
