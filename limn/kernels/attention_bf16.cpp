// SPDX-License-Identifier: Apache-2.0
// Apart from attention.cpp because Highway's AVX-512 target does not enable AVX512-BF16.
#include "limn/kernels/attention_bf16.h"

#if defined(__x86_64__)
#include <utility>

#include <hwy/base.h>
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")
namespace limn::kernels {
namespace {

constexpr int kTile = 32, kRows = 14;

template <int Rows>
[[gnu::always_inline]] inline void accumulate(const float* panel, const float* lanes, int64_t pairs,
                                              __m512 (&sums)[Rows][2]) {
  for (int64_t i = 0; i < pairs; ++i, panel += Rows, lanes += kTile) {
    const auto left = (__m512bh)_mm512_load_ps(lanes), right = (__m512bh)_mm512_load_ps(lanes + 16);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const auto row = (__m512bh)_mm512_set1_ps(panel[r]);
      sums[r][0] = _mm512_dpbf16_ps(sums[r][0], row, left);
      sums[r][1] = _mm512_dpbf16_ps(sums[r][1], row, right);
    }
  }
}

template <int Rows>
void score_tile(const float* keys, const float* queries, int64_t pairs, float* scores, float* top) {
  __m512 sums[Rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  accumulate<Rows>(keys, queries, pairs, sums);
  __m512 left = _mm512_load_ps(top), right = _mm512_load_ps(top + 16);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    _mm512_store_ps(scores + r * kTile, sums[r][0]);
    _mm512_store_ps(scores + r * kTile + 16, sums[r][1]);
    left = sums[r][0] > left ? sums[r][0] : left;  // GCC 12 warns of _mm512_max_ps, wrongly
    right = sums[r][1] > right ? sums[r][1] : right;
  }
  _mm512_store_ps(top, left);
  _mm512_store_ps(top + 16, right);
}

template <int Rows>
void value_tile(const float* values, const float* weights, int64_t pairs, float* out, float* factor) {
  const __m512 left = _mm512_load_ps(factor), right = _mm512_load_ps(factor + 16);
  __m512 sums[Rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    sums[r][0] = _mm512_mul_ps(left, _mm512_load_ps(out + r * kTile));
    sums[r][1] = _mm512_mul_ps(right, _mm512_load_ps(out + r * kTile + 16));
  }
  accumulate<Rows>(values, weights, pairs, sums);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    _mm512_store_ps(out + r * kTile, sums[r][0]);
    _mm512_store_ps(out + r * kTile + 16, sums[r][1]);
  }
}

template <int... Rows>
constexpr Bf16Tiles tiles_of(std::integer_sequence<int, Rows...>) {
  return {{&score_tile<Rows + 1>...}, {&value_tile<Rows + 1>...}};
}
constexpr Bf16Tiles kTiles = tiles_of(std::make_integer_sequence<int, kRows>());

}  // namespace
}  // namespace limn::kernels
HWY_POP_ATTRIBUTES
#endif

namespace limn::kernels {

const Bf16Tiles* bf16_tiles() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") ? &kTiles : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace limn::kernels
