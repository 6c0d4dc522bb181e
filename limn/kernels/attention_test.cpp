// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "hwy/targets.h"
#include "limn/base/error.h"

namespace limn::kernels {
namespace {

// Sums of up to a few hundred float32 products of numbers near 1, rescaled and added in blocks: some dozens of
// roundings of 6e-8 each, and 2ˣ that is off by 2e-7 at most. Outputs are averages of values, so the error is absolute,
// in units of the values.
constexpr double kFloat32 = 4e-6;
// Eight bits of fraction: half a unit in the last place is 2⁻⁹ of values that reach 4, once for the result and once, at
// most, for each weight.
constexpr double kBFloat16 = 0.02;

struct Shape {
  int64_t batch = 1, heads = 1, tokens = 1, context = 1, head_size = 1;
  int64_t gap = 0;  // unused elements after each row
};

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "batch " << s.batch << ", heads " << s.heads << ", tokens " << s.tokens << ", context "
             << s.context << ", head size " << s.head_size << ", gap " << s.gap;
}

std::vector<float> normal(int64_t n, unsigned seed, float size = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution(0, size);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = distribution(random);
  return values;
}

uint16_t narrow(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
float wide(uint16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }
float wide(float x) { return x; }

constexpr float kUntouched = 12345;

template <typename T>
struct Problem {
  Shape shape;
  std::vector<T> q, k, v;
  std::optional<float> scale;

  int64_t stride() const { return shape.heads * shape.head_size + shape.gap; }

  AttentionArguments<T> args(std::vector<T>& out) const {
    AttentionArguments<T> args;
    args.q = q.data(), args.k = k.data(), args.v = v.data(), args.out = out.data();
    args.q_stride = args.k_stride = args.v_stride = args.out_stride = stride();
    args.batch = shape.batch, args.heads = shape.heads, args.head_size = shape.head_size;
    args.tokens = shape.tokens, args.context = shape.context, args.scale = scale;
    return args;
  }

  std::vector<T> solve() const {
    std::vector<T> out(q.size(), static_cast<T>(kUntouched));
    attention(args(out));
    return out;
  }
};

Problem<float> problem(const Shape& shape, float size = 1) {
  Problem<float> made{shape, {}, {}, {}, {}};
  made.q = normal(shape.batch * shape.tokens * made.stride(), 1, size);
  made.k = normal(shape.batch * shape.context * made.stride(), 2, size);
  made.v = normal(shape.batch * shape.context * made.stride(), 3);
  return made;
}

Problem<uint16_t> narrowed(const Problem<float>& from) {
  Problem<uint16_t> made{from.shape, {}, {}, {}, from.scale};
  std::transform(from.q.begin(), from.q.end(), std::back_inserter(made.q), narrow);
  std::transform(from.k.begin(), from.k.end(), std::back_inserter(made.k), narrow);
  std::transform(from.v.begin(), from.v.end(), std::back_inserter(made.v), narrow);
  return made;
}

/// Vaswani et al. 2017, eq. 1, in double precision.
template <typename T>
std::vector<double> definition(const Problem<T>& p) {
  const Shape& s = p.shape;
  const double scale = p.scale ? *p.scale : 1 / std::sqrt(static_cast<double>(s.head_size));
  std::vector<double> out(p.q.size(), kUntouched), weights(static_cast<size_t>(s.context));
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t i = 0; i < s.tokens; ++i) {
        const T* q = &p.q[static_cast<size_t>((b * s.tokens + i) * p.stride() + h * s.head_size)];
        const size_t first = static_cast<size_t>(b * s.context * p.stride() + h * s.head_size);
        double top = -std::numeric_limits<double>::infinity(), sum = 0;
        for (int64_t j = 0; j < s.context; ++j) {
          double score = 0;
          for (int64_t c = 0; c < s.head_size; ++c)
            score += double{wide(q[c])} * wide(p.k[first + static_cast<size_t>(j * p.stride() + c)]);
          weights[static_cast<size_t>(j)] = score * scale;
          top = std::max(top, score * scale);
        }
        for (double& weight : weights) sum += weight = std::exp(weight - top);
        for (int64_t c = 0; c < s.head_size; ++c) {
          double mean = 0;
          for (int64_t j = 0; j < s.context; ++j)
            mean += weights[static_cast<size_t>(j)] / sum *
                    wide(p.v[first + static_cast<size_t>(j * p.stride() + c)]);
          out[static_cast<size_t>((b * s.tokens + i) * p.stride() + h * s.head_size + c)] = mean;
        }
      }
  return out;
}

template <typename T>
double greatest_difference(const std::vector<T>& a, const std::vector<double>& b) {
  double greatest = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double difference =
        std::abs(wide(a[i]) - (b[i] == kUntouched ? wide(static_cast<T>(kUntouched)) : b[i]));
    if (!(difference <= greatest)) greatest = difference;  // NaN stays
  }
  return greatest;
}

/// body once for each instruction set that kernels are compiled for and this processor has.
template <typename Body>
void on_every_target(const Body& body) {
  const int64_t all = hwy::SupportedTargets();
  for (int64_t left = all; left != 0; left &= left - 1) {
    SCOPED_TRACE(hwy::TargetName(left & -left));
    hwy::SetSupportedTargetsForTest(left & -left);
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = [] {
    std::vector<Shape> made;
    for (const int64_t head_size : {1, 2, 7, 8, 15, 40, 64, 77, 80, 128, 160, 256, 512}) {
      made.push_back({.batch = 1, .heads = 2, .tokens = 33, .context = 77, .head_size = head_size, .gap = 5});
      made.push_back({.batch = 2, .heads = 1, .tokens = 65, .context = 300, .head_size = head_size});
    }
    for (const int64_t tokens : {1, 2, 31, 32, 127, 129, 257})
      made.push_back({.batch = 1, .heads = 3, .tokens = tokens, .context = 131, .head_size = 40});
    for (const int64_t context : {1, 2, 13, 14, 15, 16, 127, 128, 129, 256, 257, 1000})
      made.push_back({.batch = 3, .heads = 2, .tokens = 17, .context = context, .head_size = 24, .gap = 1});
    return made;
  }();
  return all;
}

TEST(Attention, MatchesTheDefinitionOnEveryTarget) {
  for (const Shape& shape : shapes()) {
    const auto p = problem(shape);
    const auto expected = definition(p);
    on_every_target([&] { EXPECT_LT(greatest_difference(p.solve(), expected), kFloat32) << shape; });
  }
}

TEST(Attention, MatchesTheDefinitionInBFloat16) {
  for (const Shape& shape : shapes()) {
    const auto p = narrowed(problem(shape));
    const auto expected = definition(p);
    on_every_target([&] { EXPECT_LT(greatest_difference(p.solve(), expected), kBFloat16) << shape; });
  }
}

TEST(Attention, AScaleThatIsOffByAHundredthFails) {
  auto p = problem({.heads = 2, .tokens = 33, .context = 77, .head_size = 40});
  const auto expected = definition(p);
  p.scale = 1.01F / std::sqrt(40.0F);
  EXPECT_GT(greatest_difference(p.solve(), expected), 100 * kFloat32);
  EXPECT_LT(greatest_difference(p.solve(), definition(p)), kFloat32);
}

TEST(Attention, LargeScoresNeitherOverflowNorLoseTheirOrder) {
  // Scores reach ±3e5, e^score would overflow; with such gaps one key takes everything, save where two are within
  // float32's rounding of a score (0.03), so the greatest value must be matched in nearly every row, not in all.
  const auto p = problem({.heads = 2, .tokens = 64, .context = 300, .head_size = 40}, /*size=*/200);
  const auto expected = definition(p);
  on_every_target([&] {
    const auto found = p.solve();
    size_t close = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_TRUE(std::isfinite(found[i]));
      close += std::abs(found[i] - expected[i]) < kFloat32;
    }
    EXPECT_GT(close, found.size() * 95 / 100);
  });
  // Scores of some hundreds: each is rounded by up to 3e-5, weights by the same relative amount.
  const auto milder = problem({.heads = 2, .tokens = 64, .context = 300, .head_size = 40}, /*size=*/7);
  on_every_target([&] { EXPECT_LT(greatest_difference(milder.solve(), definition(milder)), 1e-4); });
}

TEST(Attention, ScoresThatRiseOrFallFromBlockToBlockAreRescaled) {
  for (const float step : {0.2F, -0.2F}) {
    auto p = problem({.heads = 1, .tokens = 33, .context = 700, .head_size = 8});
    std::fill(p.q.begin(), p.q.end(), 1.0F);
    for (size_t i = 0; i < p.k.size(); ++i) p.k[i] = step * static_cast<float>(i / 8);
    const auto expected = definition(p);
    // Scores of up to 400 are rounded by 3e-5 at most.
    on_every_target([&] { EXPECT_LT(greatest_difference(p.solve(), expected), 1e-4) << step; });
  }
}

/// The batch entries [first, first + batch) with some of their tokens.
template <typename T>
Problem<T> piece(const Problem<T>& whole, int64_t first, int64_t batch, int64_t first_token, int64_t tokens) {
  Problem<T> made = whole;
  made.shape.batch = batch, made.shape.tokens = tokens;
  const int64_t stride = whole.stride(), context = whole.shape.context * stride;
  made.q.clear();
  for (int64_t b = first; b < first + batch; ++b) {
    const auto from = whole.q.begin() + (b * whole.shape.tokens + first_token) * stride;
    made.q.insert(made.q.end(), from, from + tokens * stride);
  }
  made.k.assign(whole.k.begin() + first * context, whole.k.begin() + (first + batch) * context);
  made.v.assign(whole.v.begin() + first * context, whole.v.begin() + (first + batch) * context);
  return made;
}

template <typename T>
void expect_the_same_bits_for(const Problem<T>& p) {
  const int threads = omp_get_max_threads();
  const Shape& s = p.shape;
  on_every_target([&] {
    const auto whole = p.solve();
    for (const int count : {1, 2, 5}) {
      omp_set_num_threads(count);
      EXPECT_EQ(p.solve(), whole) << count << " threads";
    }
    omp_set_num_threads(threads);
    for (int64_t b = 0; b < s.batch; ++b) {
      for (const auto& [first, count] :
           {std::pair<int64_t, int64_t>{0, s.tokens}, {3, 1}, {0, 5}, {17, 70}}) {
        const auto alone = piece(p, b, 1, first, count).solve();
        EXPECT_TRUE(
            std::equal(alone.begin(), alone.end(), whole.begin() + (b * s.tokens + first) * p.stride()))
            << "batch entry " << b << ", tokens from " << first << ", " << count;
      }
    }
  });
}

TEST(Attention, HasTheSameBitsForEveryBatchSizeThreadCountAndSetOfRows) {
  for (const int64_t head_size : {40, 300}) {
    const auto p = problem({.batch = 3, .heads = 2, .tokens = 140, .context = 140, .head_size = head_size});
    expect_the_same_bits_for(p);
    expect_the_same_bits_for(narrowed(p));
  }
}

TEST(Attention, TakesSlicesOfOneFusedProjection) {
  const Shape shape{.batch = 2, .heads = 2, .tokens = 50, .context = 50, .head_size = 20};
  const auto p = problem(shape);
  const int64_t width = p.stride(), rows = shape.batch * shape.tokens;
  std::vector<float> fused(static_cast<size_t>(rows * 3 * width)), out(p.q.size());
  for (int64_t row = 0; row < rows; ++row) {
    int64_t at = row * 3 * width;
    for (const auto* x : {&p.q, &p.k, &p.v}) {
      std::copy_n(x->begin() + row * width, width, fused.begin() + at);
      at += width;
    }
  }
  auto args = p.args(out);
  args.q = fused.data(), args.k = fused.data() + width, args.v = fused.data() + 2 * width;
  args.q_stride = args.k_stride = args.v_stride = 3 * width;
  args.out_stride = 0;
  attention(args);
  EXPECT_EQ(out, p.solve());
}

TEST(Attention, MayWriteOverItsQueries) {
  auto p = problem({.batch = 2, .heads = 3, .tokens = 150, .context = 20, .head_size = 8});
  const auto expected = p.solve();
  auto args = p.args(p.q);
  args.q = p.q.data();
  attention(args);
  EXPECT_EQ(p.q, expected);
}

TEST(Attention, NegativeScalesTurnTheOrderAround) {
  auto p = problem({.heads = 2, .tokens = 40, .context = 90, .head_size = 40});
  p.scale = -0.5F;
  on_every_target([&] {
    EXPECT_LT(greatest_difference(p.solve(), definition(p)), kFloat32);
    EXPECT_LT(greatest_difference(narrowed(p).solve(), definition(narrowed(p))), kBFloat16);
  });
}

TEST(Attention, NotFiniteInputsGiveNaNInTheirOwnRowsOnly) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(), std::bit_cast<float>(0x7FC00001U)}) {
    auto p = problem({.heads = 2, .tokens = 40, .context = 150, .head_size = 16});
    const auto clean = p.solve();
    p.q[5 * 32 + 3] = bad;
    on_every_target([&] {
      const auto clean_here = problem(p.shape).solve();
      const auto found = p.solve();
      for (size_t i = 0; i < found.size(); ++i) {
        if (i / 32 == 5 && i % 32 < 16)
          EXPECT_TRUE(std::isnan(found[i])) << bad << " at " << i;
        else
          EXPECT_EQ(found[i], clean_here[i]);
      }
    });
    for (float& x : p.k) x = bad;
    on_every_target([&] { EXPECT_TRUE(std::isnan(p.solve()[0])); });
    // A key of NaN is met by every query of its head, whatever comes before and after it.
    auto one_key = problem(p.shape);
    one_key.k[70 * 32 + 2] = std::bit_cast<float>(0x7FC00001U);
    on_every_target([&] {
      const auto found = one_key.solve();
      for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(std::isnan(found[i]), i % 32 < 16) << i;
    });
  }
}

TEST(Attention, NothingToSeeGivesZerosAndImpossibleSizesAreErrors) {
  EXPECT_EQ(problem({.heads = 2, .tokens = 3, .context = 0, .head_size = 4}).solve(),
            std::vector<float>(24, 0.0F));
  EXPECT_TRUE(problem({.heads = 2, .tokens = 0, .context = 3, .head_size = 4}).solve().empty());
  EXPECT_TRUE(problem({.batch = 0, .heads = 2, .tokens = 2, .context = 3, .head_size = 4}).solve().empty());
  AttentionArgs args;
  EXPECT_THROW(attention(args), Error);
  args.head_size = 4, args.tokens = -1;
  EXPECT_THROW(attention(args), Error);
}

}  // namespace
}  // namespace limn::kernels
