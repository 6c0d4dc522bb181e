// SPDX-License-Identifier: Apache-2.0
// Attention at the sizes of Stable Diffusion, beside the rate of fused multiply-adds and of a plain matrix product on
// the same threads.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <benchmark/benchmark.h>
#include <omp.h>

#include "limn/kernels/attention.h"
#include "limn/kernels/parallel.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace limn::kernels {
namespace {

void report(benchmark::State& state, double flop) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * flop * 1e-9, benchmark::Counter::kIsRate);
}

std::vector<float> normal(int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = distribution(random);
  return values;
}

#if defined(__x86_64__)
/// 2 · 24 · 16 operations at each of `turns`.
__attribute__((target("avx512f"))) void multiply_add(int64_t turns) {
  __m512 sums[24], x = _mm512_set1_ps(0.5F);
  for (__m512& sum : sums) sum = _mm512_set1_ps(1.0F);
  for (int64_t i = 0; i < turns; ++i) {
    asm volatile("" : "+v"(x));
#pragma GCC unroll 24
    for (int r = 0; r < 24; ++r) sums[r] = _mm512_fmadd_ps(sums[r], x, x);
  }
#pragma GCC unroll 24
  for (int r = 0; r < 24; ++r) asm volatile("" : : "v"(sums[r]));
}

/// c[14][32] += a[depth][14] b[depth][32]
__attribute__((target("avx512f"))) void multiply_tile(const float* a, const float* b, int64_t depth,
                                                      float* c) {
  __m512 sums[14][2];
#pragma GCC unroll 14
  for (int r = 0; r < 14; ++r) {
    sums[r][0] = _mm512_loadu_ps(c + r * 32);
    sums[r][1] = _mm512_loadu_ps(c + r * 32 + 16);
  }
  for (int64_t i = 0; i < depth; ++i, a += 14, b += 32) {
    const __m512 left = _mm512_load_ps(b), right = _mm512_load_ps(b + 16);
#pragma GCC unroll 14
    for (int r = 0; r < 14; ++r) {
      const __m512 row = _mm512_set1_ps(a[r]);
      sums[r][0] = _mm512_fmadd_ps(row, left, sums[r][0]);
      sums[r][1] = _mm512_fmadd_ps(row, right, sums[r][1]);
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < 14; ++r) {
    _mm512_storeu_ps(c + r * 32, sums[r][0]);
    _mm512_storeu_ps(c + r * 32 + 16, sums[r][1]);
  }
}

void fma_peak(benchmark::State& state) {
  omp_set_num_threads(static_cast<int>(state.range(0)));
  constexpr int64_t kTurns = 1 << 20;
  for (auto _ : state)
    parallel_for(state.range(0), state.range(0) << 30, [](int64_t) { multiply_add(kTurns); });
  report(state, static_cast<double>(state.range(0) * kTurns * 24 * 32));
}

/// 1008 × 1024 × 1024 with both sides packed before, in blocks of 256 of the depth.
void gemm(benchmark::State& state) {
  omp_set_num_threads(static_cast<int>(state.range(0)));
  constexpr int64_t kRows = 1008, kColumns = 1024, kDepth = 1024, kBlock = 256;
  const auto copy_to = [](int slot, const std::vector<float>& x) {
    float* to = scratch(slot, static_cast<int64_t>(x.size()));
    std::copy(x.begin(), x.end(), to);
    return to;
  };
  const float* a = copy_to(2, normal(kRows * kDepth, 0));
  const float* b = copy_to(3, normal(kDepth * kColumns, 1));
  std::vector<float> c(kRows * kColumns);
  for (auto _ : state) {
    std::fill(c.begin(), c.end(), 0.0F);
    parallel_for(8, int64_t{1} << 30, [&](int64_t part) {
      for (int64_t k = 0; k < kDepth; k += kBlock)
        for (int64_t row = part * 9; row < part * 9 + 9; ++row)
          for (int64_t column = 0; column < kColumns / 32; ++column)
            multiply_tile(a + k * kRows + row * 14 * kBlock, b + k * kColumns + column * 32 * kBlock, kBlock,
                          c.data() + (row * (kColumns / 32) + column) * 14 * 32);
    });
  }
  report(state, 2.0 * kRows * kColumns * kDepth);
}
#endif

template <typename T>
std::vector<T> values(int64_t n, unsigned seed) {
  const std::vector<float> from = normal(n, seed);
  if constexpr (std::is_same_v<T, float>) return from;
  std::vector<T> to;
  for (const float x : from) to.push_back(static_cast<T>(std::bit_cast<uint32_t>(x) >> 16));
  return to;
}

struct Case {
  const char* name;
  int64_t tokens, context, heads, head_size;
};
constexpr Case kCases[] = {
    {"attention/4096x320", 4096, 4096, 8, 40},
    {"attention/1024x640", 1024, 1024, 8, 80},
    {"attention/256x1280", 256, 256, 8, 160},
    {"attention/64x1280", 64, 64, 8, 160},
    {"attention/4096x640_heads_of_64", 4096, 4096, 10, 64},
    {"attention/4096x512_one_head", 4096, 4096, 1, 512},
    {"cross_attention/4096x320", 4096, 77, 8, 40},
    {"cross_attention/1024x640", 1024, 77, 8, 80},
    {"cross_attention/256x1280", 256, 77, 8, 160},
};

template <typename T>
void run(benchmark::State& state, const Case& c) {
  omp_set_num_threads(static_cast<int>(state.range(0)));
  constexpr int64_t kBatch = 2;
  const int64_t width = c.heads * c.head_size;
  const std::vector<T> q = values<T>(kBatch * c.tokens * width, 0),
                       k = values<T>(kBatch * c.context * width, 1);
  const std::vector<T> v = values<T>(kBatch * c.context * width, 2);
  std::vector<T> out(q.size());
  AttentionArguments<T> args;
  args.q = q.data(), args.k = k.data(), args.v = v.data(), args.out = out.data();
  args.batch = kBatch, args.heads = c.heads, args.tokens = c.tokens, args.context = c.context;
  args.head_size = c.head_size;
  for (auto _ : state) attention(args);
  report(state, 4.0 * static_cast<double>(kBatch * c.tokens * c.context * width));
}

}  // namespace
}  // namespace limn::kernels

int main(int argc, char** argv) {
  using namespace limn::kernels;
  const int most = omp_get_max_threads();
  const auto add = [&](const char* name, auto body) {
    auto* entry = benchmark::RegisterBenchmark(name, body)
                      ->ArgName("threads")
                      ->Unit(benchmark::kMillisecond)
                      ->UseRealTime()
                      ->MeasureProcessCPUTime();
    entry->Arg(1);
    if (most > 1) entry->Arg(most);
  };
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    add("fma_peak", fma_peak);
    add("gemm", gemm);
  }
#endif
  for (const Case& c : kCases) add(c.name, [c](benchmark::State& state) { run<float>(state, c); });
  for (const Case& c : kCases)
    add(("bf16_" + std::string(c.name)).c_str(), [c](benchmark::State& state) { run<uint16_t>(state, c); });
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
