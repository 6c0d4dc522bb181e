// SPDX-License-Identifier: Apache-2.0
// Attention's arithmetic, once for each of Highway's targets. Vector lanes are queries: maxima and sums over keys need
// no shuffles, no head size is padded, and a query never meets the arithmetic of another.
#if defined(LIMN_KERNELS_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIMN_KERNELS_ATTENTION_INL_H_
#undef LIMN_KERNELS_ATTENTION_INL_H_
#else
#define LIMN_KERNELS_ATTENTION_INL_H_
#endif

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "hwy/highway.h"
#include "limn/kernels/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace {
namespace attention_lanes {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr D d;
constexpr int64_t kLanes = hn::MaxLanes(d);
/// Queries of a tile: two vectors.
constexpr int64_t kTile = 2 * kLanes;
/// Rows of a tile, keys or channels: accumulators, two queries and one broadcast fill the registers (32; 16 with AVX2).
constexpr int kRows = kLanes == 8 ? 6 : kLanes == 1 ? 4 : 14;

/// Σ panel[i][r] · lanes[i] onto sums, i < depth in order.
template <int Rows>
HWY_INLINE void accumulate(const float* HWY_RESTRICT panel, const float* HWY_RESTRICT lanes, int64_t depth,
                           V (&sums)[Rows][2]) {
  for (int64_t i = 0; i < depth; ++i, panel += Rows, lanes += kTile) {
    const V left = hn::Load(d, lanes), right = hn::Load(d, lanes + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const V row = hn::Set(d, panel[r]);
      sums[r][0] = hn::MulAdd(row, left, sums[r][0]);
      sums[r][1] = hn::MulAdd(row, right, sums[r][1]);
    }
  }
}

/// scores[key][query] = Σ keys[channel][key] · queries[channel][query] for Rows keys; `top` rises to their maxima.
template <int Rows>
HWY_NOINLINE void score_tile(const float* HWY_RESTRICT keys, const float* HWY_RESTRICT queries,
                             int64_t channels, float* HWY_RESTRICT scores, float* HWY_RESTRICT top) {
  V sums[Rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) sums[r][0] = sums[r][1] = hn::Zero(d);
  accumulate<Rows>(keys, queries, channels, sums);
  V left = hn::Load(d, top), right = hn::Load(d, top + kLanes);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    hn::Store(sums[r][0], d, scores + r * kTile);
    hn::Store(sums[r][1], d, scores + r * kTile + kLanes);
    left = hn::Max(sums[r][0], left);
    right = hn::Max(sums[r][1], right);
  }
  hn::Store(left, d, top);
  hn::Store(right, d, top + kLanes);
}

/// out[channel][query] = out · factor[query] + Σ values[key][channel] · weights[key][query] for Rows channels.
template <int Rows>
HWY_NOINLINE void value_tile(const float* HWY_RESTRICT values, const float* HWY_RESTRICT weights,
                             int64_t keys, float* HWY_RESTRICT out, float* HWY_RESTRICT factor) {
  const V left = hn::Load(d, factor), right = hn::Load(d, factor + kLanes);
  V sums[Rows][2];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    sums[r][0] = hn::Mul(left, hn::Load(d, out + r * kTile));
    sums[r][1] = hn::Mul(right, hn::Load(d, out + r * kTile + kLanes));
  }
  accumulate<Rows>(values, weights, keys, sums);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    hn::Store(sums[r][0], d, out + r * kTile);
    hn::Store(sums[r][1], d, out + r * kTile + kLanes);
  }
}

using TileFunction = void (*)(const float*, const float*, int64_t, float*, float*);
template <int... Rows>
constexpr std::array<TileFunction, kRows> score_tiles(std::integer_sequence<int, Rows...>) {
  return {&score_tile<Rows + 1>...};
}
template <int... Rows>
constexpr std::array<TileFunction, kRows> value_tiles(std::integer_sequence<int, Rows...>) {
  return {&value_tile<Rows + 1>...};
}
constexpr auto kScoreTiles = score_tiles(std::make_integer_sequence<int, kRows>());
constexpr auto kValueTiles = value_tiles(std::make_integer_sequence<int, kRows>());

/// 2ˣ for x ≤ 0, relative error below 2e-7: 1 at 0, at least 2⁻¹²⁶ or 0 for small x, NaN for NaN. The polynomial is the
/// minimax one of degree 5 that is 1 at 0.
HWY_INLINE V exp2_of(V x) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  // Two instructions that only AVX-512 has: x - ⌊x⌋, and scaling by 2^⌊x⌋ with its under- and overflow.
  const V fraction{_mm512_reduce_ps(x.raw, 0x09)};
  V p = hn::Set(d, 0.0018671300495F);
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.0090170307085F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.0557999126613F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.2401644438511F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.6931512951851F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 1.0F));
  return V{_mm512_scalef_ps(p.raw, x.raw)};
#else
  const hn::RebindToUnsigned<D> bits;
  const V shift = hn::Set(d, 0x1.8p23F);  // leaves the nearest integer in the low bits
  const V least = hn::Set(d, -126.0F);
  const V clamped = hn::IfThenElse(hn::Lt(x, least), least, x);  // not Max, which need not keep NaN
  const V shifted = hn::Add(clamped, shift);
  const V fraction = hn::Sub(clamped, hn::Sub(shifted, shift));
  V p = hn::Set(d, 0.0013264727313F);
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.0096715129912F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.0555073358119F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.2402224242687F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 0.6931470036507F));
  p = hn::MulAdd(p, fraction, hn::Set(d, 1.0F));
  const auto power = hn::ShiftLeft<23>(hn::Add(hn::BitCast(bits, shifted), hn::Set(bits, 127)));
  return hn::Mul(p, hn::BitCast(d, power));
#endif
}

/// What is known of a tile's queries after some keys. Arrays of kTile.
struct Running {
  float* top;     // the greatest score so far
  float* next;    // with the present block
  float* sum;     // Σ 2^(score - top)
  float* factor;  // what earlier blocks' sums are multiplied by
};

HWY_INLINE void follow(const Running& running, int64_t at, V next, V shift, V sum) {
  const V factor = exp2_of(shift);
  hn::Store(factor, d, running.factor + at);
  hn::Store(hn::MulAdd(hn::Load(d, running.sum + at), factor, sum), d, running.sum + at);
  hn::Store(next, d, running.top + at);
}

/// scores[key][query] → 2^(score - next); sum and factor follow.
HWY_NOINLINE void soften(float* HWY_RESTRICT scores, int64_t keys, const Running& running) {
  const V left = hn::Load(d, running.next), right = hn::Load(d, running.next + kLanes);
  V left_sum = hn::Zero(d), right_sum = left_sum;
  for (int64_t i = 0; i < keys; ++i, scores += kTile) {
    const V a = exp2_of(hn::Sub(hn::Load(d, scores), left));
    const V b = exp2_of(hn::Sub(hn::Load(d, scores + kLanes), right));
    hn::Store(a, d, scores);
    hn::Store(b, d, scores + kLanes);
    left_sum = hn::Add(left_sum, a);
    right_sum = hn::Add(right_sum, b);
  }
  follow(running, 0, left, hn::Sub(hn::Load(d, running.top), left), left_sum);
  follow(running, kLanes, right, hn::Sub(hn::Load(d, running.top + kLanes), right), right_sum);
}

/// The same for scores yet to be scaled, rounded to bfloat16: pairs[key / 2][query], the even key in the low half, in
/// place of the scores. Sums are those of the rounded weights, so that these still add up to 1.
HWY_NOINLINE void soften_to_pairs(float* scores, int64_t keys, const Running& running, float scale) {
  const hn::RebindToUnsigned<D> bits;
  const V factor = hn::Set(d, scale);
  const auto half = hn::Set(bits, 0x8000U), upper = hn::Set(bits, 0xFFFF0000U);
  for (int64_t at = 0; at < kTile; at += kLanes) {
    const V next = hn::Load(d, running.next + at), top = hn::Mul(next, factor);
    V sum = hn::Zero(d);
    const auto rounded = [&](int64_t key) HWY_ATTR {
      const V weight = exp2_of(hn::MulSub(hn::Load(d, scores + key * kTile + at), factor, top));
      const auto word = hn::And(hn::Add(hn::BitCast(bits, weight), half), upper);
      sum = hn::Add(sum, hn::BitCast(d, word));
      return word;
    };
    for (int64_t key = 0; key < keys; key += 2) {
      auto word = hn::ShiftRight<16>(rounded(key));
      if (key + 1 < keys) word = hn::Or(word, rounded(key + 1));
      hn::Store(hn::BitCast(d, word), d, scores + key / 2 * kTile + at);
    }
    follow(running, at, next, hn::MulSub(hn::Load(d, running.top + at), factor, top), sum);
  }
}

#if HWY_TARGET != HWY_SCALAR
using D4 = hn::FixedTag<float, 4>;
using V4 = hn::Vec<D4>;
constexpr D4 d4;
#endif

/// to[column][row] = factor · from[row][column]
template <typename From, typename To>
HWY_NOINLINE void transpose(const From* HWY_RESTRICT from, int64_t from_stride, int64_t rows, int64_t columns,
                            float factor, To* HWY_RESTRICT to, int64_t to_stride) {
  int64_t whole_rows = 0, whole_columns = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::RepartitionToWide<D4> pairs;
  const V4 scale = hn::Set(d4, factor);
  whole_rows = rows / 4 * 4;
  whole_columns = columns / 4 * 4;
  for (int64_t row = 0; row < whole_rows; row += 4) {
    for (int64_t column = 0; column < whole_columns; column += 4) {
      const From* at = from + row * from_stride + column;
      const V4 a = hn::Mul(scale, storage::load(d4, at)),
               b = hn::Mul(scale, storage::load(d4, at + from_stride));
      const V4 c = hn::Mul(scale, storage::load(d4, at + 2 * from_stride)),
               e = hn::Mul(scale, storage::load(d4, at + 3 * from_stride));
      const auto ab = hn::BitCast(pairs, hn::InterleaveLower(d4, a, b)),
                 ce = hn::BitCast(pairs, hn::InterleaveLower(d4, c, e));
      const auto ab_upper = hn::BitCast(pairs, hn::InterleaveUpper(d4, a, b));
      const auto ce_upper = hn::BitCast(pairs, hn::InterleaveUpper(d4, c, e));
      To* target = to + column * to_stride + row;
      storage::store(hn::BitCast(d4, hn::InterleaveLower(pairs, ab, ce)), d4, target);
      storage::store(hn::BitCast(d4, hn::InterleaveUpper(pairs, ab, ce)), d4, target + to_stride);
      storage::store(hn::BitCast(d4, hn::InterleaveLower(pairs, ab_upper, ce_upper)), d4,
                     target + 2 * to_stride);
      storage::store(hn::BitCast(d4, hn::InterleaveUpper(pairs, ab_upper, ce_upper)), d4,
                     target + 3 * to_stride);
    }
  }
#endif
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = row < whole_rows ? whole_columns : 0; column < columns; ++column)
      storage::narrow(factor * storage::widened(from[row * from_stride + column]),
                      to[column * to_stride + row]);
}

/// to[column / 2][row] = from[row][column] and, in the high half, from[row][column + 1], or 0 past the last.
HWY_INLINE void transpose_pairs(const uint16_t* HWY_RESTRICT from, int64_t from_stride, int64_t rows,
                                int64_t columns, float* HWY_RESTRICT to, int64_t to_stride) {
  for (int64_t row = 0; row < rows; ++row, from += from_stride) {
    for (int64_t column = 0; column < columns; column += 2) {
      const uint32_t word = from[column] | (column + 1 < columns ? uint32_t{from[column + 1]} << 16 : 0);
      std::memcpy(to + column / 2 * to_stride + row, &word, sizeof(word));
    }
  }
}

/// to[row / 2][column] = from[row][column] and, in the high half, from[row + 1][column], or 0 past the last.
HWY_INLINE void pair_rows(const uint16_t* HWY_RESTRICT from, int64_t from_stride, int64_t rows,
                          int64_t columns, float* HWY_RESTRICT to) {
  for (int64_t row = 0; row < rows; row += 2, from += 2 * from_stride, to += columns) {
    for (int64_t column = 0; column < columns; ++column) {
      const uint32_t word = from[column] | (row + 1 < rows ? uint32_t{from[from_stride + column]} << 16 : 0);
      std::memcpy(to + column, &word, sizeof(word));
    }
  }
}

}  // namespace attention_lanes
}  // namespace
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
