// SPDX-License-Identifier: Apache-2.0
// Apart from linear.cpp because Highway's AVX-512 target enables neither AVX512-BF16 nor, everywhere, AVX512-VNNI. A
// compiler uses either only where it is asked to, so both are enabled for the whole file. Nothing of the standard library's
// is called between the pragmas: a copy compiled for AVX-512 might be the one that the linker keeps for all.
#include "limn/kernels/linear_avx512.h"

#if defined(__x86_64__)
#include <hwy/base.h>
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni")
namespace limn::kernels {
namespace {

constexpr int kVector = 16, kPanel = 2 * kVector, kRows = 14;

/// The transpose of 16 × 16 words: 4 × 4 words inside the quarters of vectors, then the quarters.
[[gnu::always_inline]] inline void transpose(__m512 (&x)[kVector]) {
  __m512 y[kVector];
#pragma GCC unroll 4
  for (int i = 0; i < kVector; i += 4) {
    const __m512 a =
        __builtin_shufflevector(x[i], x[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    const __m512 b =
        __builtin_shufflevector(x[i], x[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    const __m512 c =
        __builtin_shufflevector(x[i + 2], x[i + 3], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    const __m512 e = __builtin_shufflevector(x[i + 2], x[i + 3], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27,
                                             14, 30, 15, 31);
    y[i] = __builtin_shufflevector(a, c, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    y[i + 1] = __builtin_shufflevector(a, c, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    y[i + 2] = __builtin_shufflevector(b, e, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    y[i + 3] = __builtin_shufflevector(b, e, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 a = _mm512_maskz_shuffle_f32x4(0xFFFF, y[i], y[i + 4], 0x88),
                 b = _mm512_maskz_shuffle_f32x4(0xFFFF, y[i], y[i + 4], 0xDD);
    const __m512 c = _mm512_maskz_shuffle_f32x4(0xFFFF, y[i + 8], y[i + 12], 0x88),
                 e = _mm512_maskz_shuffle_f32x4(0xFFFF, y[i + 8], y[i + 12], 0xDD);
    x[i] = _mm512_maskz_shuffle_f32x4(0xFFFF, a, c, 0x88);
    x[i + 4] = _mm512_maskz_shuffle_f32x4(0xFFFF, b, e, 0x88);
    x[i + 8] = _mm512_maskz_shuffle_f32x4(0xFFFF, a, c, 0xDD);
    x[i + 12] = _mm512_maskz_shuffle_f32x4(0xFFFF, b, e, 0xDD);
  }
}

/// panel[word][column] = words of from[column][depth]. Word::words() makes 16 of them, of the numbers that its mask names.
template <typename Word>
void pack_columns(const typename Word::Number* from, int64_t columns, int64_t depth, float* panel) {
  constexpr int64_t kPer = Word::kNumbers, kNumbers = kPer * kVector;
  for (int64_t first = 0; first < kPanel; first += kVector, from += kVector * depth)
    for (int64_t k = 0; k < depth; k += kNumbers) {
      const int64_t left = depth - k, words = left < kNumbers ? (left + kPer - 1) / kPer : kVector;
      const uint64_t mask = ~uint64_t{0} >> (left < kNumbers ? 64 - left : 64 - kNumbers);
      __m512 block[kVector];
#pragma GCC unroll 16
      for (int column = 0; column < kVector; ++column)
        block[column] =
            first + column < columns ? Word::words(from + column * depth + k, mask) : _mm512_setzero_ps();
      transpose(block);
      float* to = panel + k / kPer * kPanel + first;
#pragma GCC unroll 16
      for (int i = 0; i < kVector; ++i)
        if (i < words) _mm512_store_ps(to + i * kPanel, block[i]);
    }
}

namespace bf16 {

[[gnu::always_inline]] inline __m512bh pair_of(const uint16_t* from) {
  int word;
  __builtin_memcpy(&word, from, sizeof(word));
  return (__m512bh)_mm512_set1_epi32(word);
}

template <int Rows>
void tile_rows(const uint16_t* a, int64_t a_stride, const float* panel, int64_t depth, float* c) {
  __m512 sums[Rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  int64_t k = 0;
  for (; k + 2 <= depth; k += 2, panel += kPanel) {
    const auto left = (__m512bh)_mm512_load_ps(panel), right = (__m512bh)_mm512_load_ps(panel + kVector);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const __m512bh row = pair_of(a + r * a_stride + k);
      sums[r][0] = _mm512_dpbf16_ps(sums[r][0], row, left);
      sums[r][1] = _mm512_dpbf16_ps(sums[r][1], row, right);
    }
  }
  if (k < depth) {
    const auto left = (__m512bh)_mm512_load_ps(panel), right = (__m512bh)_mm512_load_ps(panel + kVector);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const auto row = (__m512bh)_mm512_set1_epi32(a[r * a_stride + k]);
      sums[r][0] = _mm512_dpbf16_ps(sums[r][0], row, left);
      sums[r][1] = _mm512_dpbf16_ps(sums[r][1], row, right);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    _mm512_store_ps(c + r * kPanel, sums[r][0]);
    _mm512_store_ps(c + r * kPanel + kVector, sums[r][1]);
  }
}

template <int Rows = kRows>
void tile_at_most(int64_t rows, const uint16_t* a, int64_t a_stride, const float* panel, int64_t depth,
                  float* c) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return tile_at_most<Rows - 1>(rows, a, a_stride, panel, depth, c);
  }
  tile_rows<Rows>(a, a_stride, panel, depth, c);
}

void multiply(int64_t rows, const uint16_t* a, int64_t a_stride, const float* panel, int64_t depth,
              float* c) {
  for (int64_t r = 0; r < rows; r += kRows)
    tile_at_most(rows - r, a + r * a_stride, a_stride, panel, depth, c + r * kPanel);
}

/// Words of two numbers for pack_columns.
struct Float32 {
  using Number = float;
  static constexpr int64_t kNumbers = 2;
  static __m512 words(const float* from, uint64_t mask) {
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from);
    const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + kVector);
    return (__m512)_mm512_cvtne2ps_pbh(high, low);
  }
};
struct Float16 {
  using Number = uint16_t;
  static constexpr int64_t kNumbers = 2;
  static __m512 words(const uint16_t* from, uint64_t mask) {
    const __m256i low = _mm256_maskz_loadu_epi16(static_cast<__mmask16>(mask), from);
    const __m256i high = _mm256_maskz_loadu_epi16(static_cast<__mmask16>(mask >> 16), from + kVector);
    return (__m512)_mm512_cvtne2ps_pbh(_mm512_maskz_cvtph_ps(0xFFFF, high),
                                       _mm512_maskz_cvtph_ps(0xFFFF, low));
  }
};
struct BFloat16 {
  using Number = uint16_t;
  static constexpr int64_t kNumbers = 2;
  static __m512 words(const uint16_t* from, uint64_t mask) {
    return (__m512)_mm512_maskz_loadu_epi16(static_cast<__mmask32>(mask), from);
  }
};
struct Int8 {
  using Number = int8_t;
  static constexpr int64_t kNumbers = 2;
  static __m512 words(const int8_t* from, uint64_t mask) {
    const __m128i low = _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), from);
    const __m128i high = _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask >> 16), from + kVector);
    return (__m512)_mm512_cvtne2ps_pbh(
        _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepi8_epi32(0xFFFF, high)),
        _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepi8_epi32(0xFFFF, low)));
  }
};

void pack(const Weights& weights, int64_t first_column, int64_t columns, int64_t depth, float* panel) {
  const int64_t at = first_column * depth;
  switch (weights.type) {
    case ElementType::Float32:
      return pack_columns<Float32>(static_cast<const float*>(weights.data) + at, columns, depth, panel);
    case ElementType::Float16:
      return pack_columns<Float16>(static_cast<const uint16_t*>(weights.data) + at, columns, depth, panel);
    case ElementType::BFloat16:
      return pack_columns<BFloat16>(static_cast<const uint16_t*>(weights.data) + at, columns, depth, panel);
    case ElementType::Int8:
      return pack_columns<Int8>(static_cast<const int8_t*>(weights.data) + at, columns, depth, panel);
  }
}

constexpr Bf16Panels kPanels{&pack, &multiply};

}  // namespace bf16
namespace int8 {

/// What sums are kept as: GCC 12 spills them where they are __m512i, vectors of 64-bit integers to it.
typedef int Integers __attribute__((vector_size(64)));

[[gnu::always_inline]] inline Integers add_products(Integers sums, __m512i column, __m512i row) {
  return (Integers)_mm512_dpbusd_epi32((__m512i)sums, column, row);
}

template <int Rows>
void tile_rows(const Int8Rows& a, int64_t first_row, const float* panel, float* c) {
  const int8_t* from = a.data + first_row * a.stride;
  Integers sums[Rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
    sums[r][0] = sums[r][1] = (Integers)_mm512_set1_epi32(-128 * a.sums[first_row + r]);
  for (int64_t k = 0; k < a.stride; k += 4, panel += kPanel) {
    const __m512i left = _mm512_load_si512(panel), right = _mm512_load_si512(panel + kVector);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      int word;
      __builtin_memcpy(&word, from + r * a.stride + k, sizeof(word));
      const __m512i row = _mm512_set1_epi32(word);
      sums[r][0] = add_products(sums[r][0], left, row);
      sums[r][1] = add_products(sums[r][1], right, row);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    const __m512 scale = _mm512_set1_ps(a.scales[first_row + r]);
    _mm512_store_ps(c + r * kPanel, _mm512_maskz_cvtepi32_ps(0xFFFF, (__m512i)sums[r][0]) * scale);
    _mm512_store_ps(c + r * kPanel + kVector, _mm512_maskz_cvtepi32_ps(0xFFFF, (__m512i)sums[r][1]) * scale);
  }
}

template <int Rows = kRows>
void tile_at_most(int64_t rows, const Int8Rows& a, int64_t first_row, const float* panel, float* c) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return tile_at_most<Rows - 1>(rows, a, first_row, panel, c);
  }
  tile_rows<Rows>(a, first_row, panel, c);
}

void multiply(int64_t rows, const Int8Rows& a, int64_t first_row, const float* panel, float* c) {
  for (int64_t r = 0; r < rows; r += kRows) tile_at_most(rows - r, a, first_row + r, panel, c + r * kPanel);
}

struct Bytes {
  using Number = int8_t;
  static constexpr int64_t kNumbers = 4;
  static __m512 words(const int8_t* from, uint64_t mask) {
    return (__m512)(_mm512_maskz_loadu_epi8(mask, from) ^ _mm512_set1_epi8(-128));
  }
};

void pack(const int8_t* weights, int64_t columns, int64_t depth, float* panel) {
  pack_columns<Bytes>(weights, columns, depth, panel);
}

constexpr Int8Panels kPanels{&pack, &multiply};

}  // namespace int8
}  // namespace
}  // namespace limn::kernels
HWY_POP_ATTRIBUTES
#endif

namespace limn::kernels {

const Bf16Panels* bf16_panels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw")) return &bf16::kPanels;
#endif
  return nullptr;
}

const Int8Panels* int8_panels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) return &int8::kPanels;
#endif
  return nullptr;
}

}  // namespace limn::kernels
