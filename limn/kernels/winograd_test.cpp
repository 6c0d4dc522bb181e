// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/winograd.h"

#include <gtest/gtest.h>

#include "limn/kernels/kernels_testing.h"
#include "limn/kernels/quantize.h"

namespace limn::kernels {
namespace {

using testing::Floats;

// The transforms lose about 8 times what a sum of products in float32 does (Lavin & Gray 2016 need 1e-5 for F(4×4)).
constexpr double kTolerance = 4e-6;
// Of rounding y to the nearest bfloat16, 2⁻⁷ / √12 of its power of two: at most 2.3e-3 of y.
constexpr double kBf16Tolerance = 2.3e-3;

struct Case {
  int64_t batch, height, width, channels, out;
  bool norm = false, silu = true, extras = true;
};

struct Operands {
  Floats x, scale, shift, weight, bias, addition, residual;
  explicit Operands(const Case& c)
      : x(testing::noise(c.batch * c.height * c.width * c.channels, 1)),
        scale(testing::noise(c.batch * c.channels, 2)),
        shift(testing::noise(c.batch * c.channels, 3)),
        weight(testing::noise(c.out * c.channels * 9, 4)),
        bias(testing::noise(c.out, 5)),
        addition(testing::noise(c.batch * c.out, 6)),
        residual(testing::noise(c.batch * c.height * c.width * c.out, 7)) {}

  /// Pictures become numbers of bfloat16.
  void cut() {
    x = testing::cut_to_bfloat16(x);
    residual = testing::cut_to_bfloat16(residual);
  }

  template <typename T = float>
  Floats run(const Case& c, Weights weights) const {
    const std::vector<T> in = testing::stored<T>(x), more = testing::stored<T>(residual);
    std::vector<T> out(static_cast<size_t>(c.batch * c.height * c.width * c.out));
    winograd_conv3x3(Conv3x3Arguments<T>{.x = in.data(),
                                         .batch = c.batch,
                                         .height = c.height,
                                         .width = c.width,
                                         .channels = c.channels,
                                         .scale = c.norm ? scale.data() : nullptr,
                                         .shift = c.norm ? shift.data() : nullptr,
                                         .silu = c.silu,
                                         .weight = weights,
                                         .out_channels = c.out,
                                         .bias = c.extras ? bias.data() : nullptr,
                                         .addition = c.extras ? addition.data() : nullptr,
                                         .residual = c.extras ? more.data() : nullptr,
                                         .y = out.data()});
    return testing::as_floats(out);
  }
  Floats run(const Case& c) const { return run(c, {weight.data(), ElementType::Float32}); }
  Floats run_bf16(const Case& c) const { return run<uint16_t>(c, {weight.data(), ElementType::Float32}); }

  double input(const Case& c, int64_t picture, int64_t row, int64_t column, int64_t channel) const {
    if (row < 0 || column < 0 || row >= c.height || column >= c.width) return 0;  // padding is not normalised
    const double value =
        x[static_cast<size_t>(((picture * c.height + row) * c.width + column) * c.channels + channel)];
    if (!c.norm) return value;
    const auto at = static_cast<size_t>(picture * c.channels + channel);
    const double y = value * scale[at] + shift[at];
    return c.silu ? y / (1 + std::exp(-y)) : y;
  }

  /// The definition, in double.
  std::vector<double> wanted(const Case& c) const {
    std::vector<double> y;
    for (int64_t p = 0; p < c.batch; ++p)
      for (int64_t row = 0; row < c.height; ++row)
        for (int64_t column = 0; column < c.width; ++column)
          for (int64_t o = 0; o < c.out; ++o) {
            double sum = c.extras ? bias[static_cast<size_t>(o)] +
                                        static_cast<double>(addition[static_cast<size_t>(p * c.out + o)]) +
                                        residual[y.size()]
                                  : 0;
            for (int64_t i = 0; i < c.channels; ++i)
              for (int64_t tap = 0; tap < 9; ++tap)
                sum += input(c, p, row + tap / 3 - 1, column + tap % 3 - 1, i) *
                       weight[static_cast<size_t>((o * c.channels + i) * 9 + tap)];
            y.push_back(sum);
          }
    return y;
  }
};

const std::vector<Case> kCases{
    {1, 1, 1, 1, 1},   {1, 4, 4, 16, 32},        {2, 7, 9, 5, 3, true},
    {1, 8, 8, 17, 33}, {3, 13, 6, 40, 70, true}, {1, 16, 16, 300, 34, true, false},
    {8, 5, 3, 20, 8},  {1, 2, 40, 64, 31, true}, {2, 12, 12, 32, 64, false, true, false}};

TEST(Winograd, IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      const Operands operands(c);
      EXPECT_LT(testing::relative_l2(operands.run(c), operands.wanted(c)), kTolerance)
          << target << ": " << c.batch << " × " << c.height << " × " << c.width << ", " << c.channels << " → "
          << c.out;
    }
  });
}

TEST(Winograd, OfRandomShapesIsItsDefinition) {
  std::mt19937 generator(11);
  const auto upto = [&](int64_t most) { return std::uniform_int_distribution<int64_t>(1, most)(generator); };
  for (int i = 0; i < 40; ++i) {
    const Case c{upto(3), upto(14), upto(14), upto(50), upto(40), i % 2 == 0, i % 4 == 0, i % 3 != 0};
    const Operands operands(c);
    EXPECT_LT(testing::relative_l2(operands.run(c), operands.wanted(c)), kTolerance)
        << c.batch << " × " << c.height << " × " << c.width << ", " << c.channels << " → " << c.out;
  }
}

TEST(Winograd, ReadsNarrowWeightsExactly) {
  const Case c{1, 9, 9, 37, 40};
  Operands operands(c);
  const auto narrow = testing::rounded_to_bfloat16(operands.weight);
  EXPECT_EQ(operands.run(c, {narrow.data(), ElementType::BFloat16}), operands.run(c));
}

TEST(Winograd, PicturesHaveTheSameBitsAloneAndWithAnyNumberOfThreads) {
  const Case all{5, 36, 40, 48, 40, true};  // 450 tiles, more than one block
  const Operands operands(all);
  Floats wanted;
  testing::with_threads(1, [&] { wanted = operands.run(all); });
  for (const int threads : {2, 3, 8})
    testing::with_threads(threads, [&] { EXPECT_EQ(operands.run(all), wanted) << threads; });
  Case one = all;
  one.batch = 1;
  Operands alone = operands;
  const auto skip = [](Floats& all_of, int64_t count) {
    all_of.erase(all_of.begin(), all_of.begin() + count);
  };
  skip(alone.x, 3 * all.height * all.width * all.channels);
  skip(alone.scale, 3 * all.channels);
  skip(alone.shift, 3 * all.channels);
  skip(alone.addition, 3 * all.out);
  skip(alone.residual, 3 * all.height * all.width * all.out);
  const Floats found = alone.run(one);
  EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.begin() + 3 * all.height * all.width * all.out));
}

TEST(Winograd, OfBfloat16IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      Operands operands(c);
      operands.cut();
      EXPECT_LT(testing::relative_l2(operands.run_bf16(c), operands.wanted(c)), kBf16Tolerance)
          << target << ": " << c.batch << " × " << c.height << " × " << c.width << ", " << c.channels << " → "
          << c.out;
    }
  });
}

TEST(Winograd, OfBfloat16HasTheSameBitsAloneAndWithAnyNumberOfThreads) {
  const Case all{3, 21, 30, 41, 35, true};
  Operands operands(all);
  operands.cut();
  Floats wanted;
  testing::with_threads(1, [&] { wanted = operands.run_bf16(all); });
  for (const int threads : {2, 3, 8})
    testing::with_threads(threads, [&] { EXPECT_EQ(operands.run_bf16(all), wanted) << threads; });
  Case one = all;
  one.batch = 1;
  const Floats found = operands.run_bf16(one);
  EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.begin()));
}

TEST(Winograd, OfIntegersIsThatOfTheirProductsWithScales) {
  testing::for_each_target([](const std::string& target) {
    const Case c{1, 9, 10, 37, 43};
    Operands operands(c);
    const int64_t row_size = c.channels * 9;
    std::vector<int8_t> integers(operands.weight.size());
    Floats scales(static_cast<size_t>(c.out));
    quantize_rows({operands.weight.data(), ElementType::Float32}, c.out, row_size, integers.data(),
                  scales.data());
    for (size_t i = 0; i < integers.size(); ++i)
      operands.weight[i] = static_cast<float>(integers[i]) * scales[i / static_cast<size_t>(row_size)];
    EXPECT_EQ(operands.run(c, {integers.data(), ElementType::Int8, scales.data()}), operands.run(c))
        << target;
  });
}

TEST(Winograd, KeepsNaNAndInfinityNearTheirPixels) {
  const Case c{2, 12, 12, 20, 8};
  Operands operands(c);
  operands.cut();
  const Floats before = operands.run_bf16(c);
  operands.x[0] = NAN;
  operands.x[static_cast<size_t>(c.channels)] = INFINITY;
  testing::for_each_target([&](const std::string& target) {
    const Floats found = operands.run_bf16(c);
    EXPECT_TRUE(std::isnan(found[0])) << target;
  });
  const Floats found = operands.run_bf16(c);
  EXPECT_TRUE(std::equal(found.begin() + c.height * c.width * c.out, found.end(),
                         before.begin() + c.height * c.width * c.out));
}

TEST(Winograd, PaysForLargeLayersOnly) {
  EXPECT_TRUE(winograd_pays(64, 64, 320, 320));
  EXPECT_TRUE(winograd_pays(16, 16, 1280, 1280));
  EXPECT_TRUE(winograd_pays(512, 512, 128, 128));
  EXPECT_FALSE(winograd_pays(64, 64, 4, 320));
  EXPECT_FALSE(winograd_pays(1, 1, 64, 64));
}

}  // namespace
}  // namespace limn::kernels
