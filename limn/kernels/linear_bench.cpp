// SPDX-License-Identifier: Apache-2.0
// Linear layers of Stable Diffusion 1.5 at 512 × 512 with guidance: rows × depth × columns. The last part of a name is the
// type of x and y, then that of the weights where it is another.
#include "limn/kernels/kernels_bench.h"
#include "limn/kernels/linear.h"

namespace limn::kernels {
namespace {

using benching::noise;

struct Case {
  int64_t rows, depth, columns;
  bool geglu;
};
constexpr Case kCases[] = {{8192, 320, 2560, true},  {8192, 1280, 320, false}, {8192, 320, 320, false},
                           {2048, 640, 5120, true},  {512, 5120, 1280, false}, {512, 1280, 10240, true},
                           {128, 1280, 1280, false}, {154, 768, 320, false}};

template <typename T, typename Weight>
void run(benchmark::State& state, Case c, ElementType type, bool int8_x) {
  const int64_t width = c.geglu ? c.columns / 2 : c.columns;
  const auto x = noise<T>(c.rows * c.depth, 0), residual = noise<T>(c.rows * width, 1);
  const auto weight = noise<Weight>(c.columns * c.depth, 2);
  const auto bias = noise<float>(c.columns, 3);
  std::vector<T> y(residual.size());
  for (auto _ : state)
    linear(LinearArguments<T>{.x = x.data(),
                              .rows = c.rows,
                              .depth = c.depth,
                              .x_stride = c.depth,
                              .weight = {weight.data(), type, bias.data()},
                              .columns = c.columns,
                              .bias = bias.data(),
                              .geglu = c.geglu,
                              .residual = c.geglu ? nullptr : residual.data(),
                              .residual_stride = width,
                              .y = y.data(),
                              .y_stride = width,
                              .int8_x = int8_x});
  benching::report(state, c.rows * c.depth * c.columns);
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const Case& c : kCases) {
    const std::string name = "linear/" + std::to_string(c.rows) + "x" + std::to_string(c.depth) + "x" +
                             std::to_string(c.columns) + (c.geglu ? "_geglu/" : "/");
    benching::add(name + "float32", run<float, float>, c, ElementType::Float32, false);
    benching::add(name + "bfloat16", run<uint16_t, uint16_t>, c, ElementType::BFloat16, false);
    benching::add(name + "bfloat16_int8", run<uint16_t, int8_t>, c, ElementType::Int8, false);
    benching::add(name + "bfloat16_int8_x", run<uint16_t, int8_t>, c, ElementType::Int8, true);
  }
  return true;
}();

}  // namespace
}  // namespace limn::kernels
