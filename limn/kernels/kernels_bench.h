// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <benchmark/benchmark.h>

namespace limn::kernels::benching {

/// Normal numbers as float32, bits of bfloat16 or integers of 8 bits.
template <typename T>
std::vector<T> noise(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<T> out(static_cast<size_t>(count));
  for (T& x : out) {
    const float value = normal(generator);
    if constexpr (std::is_same_v<T, float>)
      x = value;
    else if constexpr (std::is_same_v<T, uint16_t>)
      x = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
    else
      x = static_cast<int8_t>(value * 30);
  }
  return out;
}

/// A case with the threads that OMP_NUM_THREADS says.
template <typename... Args>
void add(const std::string& name, void (*body)(benchmark::State&, Args...),
         std::type_identity_t<Args>... args) {
  benchmark::RegisterBenchmark(name.c_str(), body, args...)
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime()
      ->MeasureProcessCPUTime();
}

/// The rate, where a turn takes so many multiply-adds.
inline void report(benchmark::State& state, int64_t multiply_adds) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 2e-9 * static_cast<double>(multiply_adds),
                         benchmark::Counter::kIsRate);
}

}  // namespace limn::kernels::benching
