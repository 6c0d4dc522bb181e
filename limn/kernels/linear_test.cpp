// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/linear.h"

#include <gtest/gtest.h>

#include "limn/kernels/kernels_testing.h"
#include "limn/kernels/quantize.h"

namespace limn::kernels {
namespace {

using testing::Floats;

// Sums of products of unit normals in float32: rounding grows with the square root of the depth, 1600 at most here.
constexpr double kTolerance = 2e-6;
// Rounding y to the nearest bfloat16 costs 2⁻⁷ / √12 of its power of two, at most 2.3e-3 of y; cutting it off costs twice
// that.
constexpr double kBf16Tolerance = 2.3e-3;
// Weights rounded to bfloat16 as well: √2 times that.
constexpr double kWideWeightTolerance = 3.3e-3;

struct Case {
  int64_t rows, depth, columns;
  bool geglu = false, bias = true, residual = true;
  int64_t x_gap = 0, y_gap = 0;  // floats between rows

  int64_t width() const { return geglu ? columns / 2 : columns; }
};

struct Operands {
  Floats x, weight, bias, residual;
  explicit Operands(const Case& c)
      : x(testing::noise(c.rows * (c.depth + c.x_gap), 1)),
        weight(testing::noise(c.columns * c.depth, 2)),
        bias(testing::noise(c.columns, 3)),
        residual(testing::noise(c.rows * c.width(), 4)) {}

  /// Everything becomes a number of bfloat16, but for the bias.
  void cut() {
    x = testing::cut_to_bfloat16(x);
    weight = testing::cut_to_bfloat16(weight);
    residual = testing::cut_to_bfloat16(residual);
  }

  template <typename T = float>
  Floats run(const Case& c, Weights weights, bool int8_x = false) const {
    const std::vector<T> in = testing::stored<T>(x), more = testing::stored<T>(residual);
    std::vector<T> out =
        testing::stored<T>(Floats(static_cast<size_t>(c.rows * (c.width() + c.y_gap)), -7.0F));
    linear(LinearArguments<T>{.x = in.data(),
                              .rows = c.rows,
                              .depth = c.depth,
                              .x_stride = c.depth + c.x_gap,
                              .weight = weights,
                              .columns = c.columns,
                              .bias = c.bias ? bias.data() : nullptr,
                              .geglu = c.geglu,
                              .residual = c.residual ? more.data() : nullptr,
                              .residual_stride = c.width(),
                              .y = out.data(),
                              .y_stride = c.width() + c.y_gap,
                              .int8_x = int8_x});
    const Floats y = testing::as_floats(out);
    Floats packed;
    for (int64_t r = 0; r < c.rows; ++r) {
      const auto row = y.begin() + r * (c.width() + c.y_gap);
      packed.insert(packed.end(), row, row + c.width());
      for (int64_t i = 0; i < c.y_gap; ++i) EXPECT_EQ(row[c.width() + i], -7.0F) << "wrote between rows";
    }
    return packed;
  }
  Floats run(const Case& c) const { return run(c, {weight.data(), ElementType::Float32}); }
  Floats run_bf16(const Case& c) const {
    const auto bits = testing::stored<uint16_t>(weight);
    return run<uint16_t>(c, {bits.data(), ElementType::BFloat16});
  }

  /// The weights become those of 8 bits.
  template <typename T>
  Floats run_int8(const Case& c, bool int8_x = false) {
    std::vector<int8_t> integers(weight.size());
    Floats scales(static_cast<size_t>(c.columns));
    quantize_rows({weight.data(), ElementType::Float32}, c.columns, c.depth, integers.data(), scales.data());
    for (size_t i = 0; i < weight.size(); ++i)
      weight[i] = static_cast<float>(integers[i]) * scales[i / static_cast<size_t>(c.depth)];
    return run<T>(c, {integers.data(), ElementType::Int8, scales.data()}, int8_x);
  }

  /// x becomes what 8 bits hold of it.
  void round_x(const Case& c) {
    std::vector<int8_t> integers(static_cast<size_t>(c.depth));
    for (int64_t row = 0; row < c.rows; ++row) {
      float* from = x.data() + row * (c.depth + c.x_gap);
      float scale = 0;
      quantize_rows({from, ElementType::Float32}, 1, c.depth, integers.data(), &scale);
      for (int64_t k = 0; k < c.depth; ++k)
        from[k] = static_cast<float>(integers[static_cast<size_t>(k)]) * scale;
    }
  }

  /// The definition, in double.
  std::vector<double> wanted(const Case& c) const {
    const auto product = [&](int64_t row, int64_t column) {
      double sum = c.bias ? bias[static_cast<size_t>(column)] : 0;
      for (int64_t k = 0; k < c.depth; ++k)
        sum += static_cast<double>(x[static_cast<size_t>(row * (c.depth + c.x_gap) + k)]) *
               weight[static_cast<size_t>(column * c.depth + k)];
      return sum;
    };
    std::vector<double> out;
    for (int64_t r = 0; r < c.rows; ++r)
      for (int64_t column = 0; column < c.width(); ++column) {
        double y = product(r, column);
        if (c.geglu) {
          const double gate = product(r, c.width() + column);
          y *= gate * 0.5 * std::erfc(-gate / std::sqrt(2.0));
        }
        out.push_back(y + (c.residual ? residual[static_cast<size_t>(r * c.width() + column)] : 0));
      }
    return out;
  }
};

const std::vector<Case> kCases{{1, 1, 1},
                               {1, 3, 2, true},
                               {5, 7, 6, true},
                               {13, 40, 33, false, false, true},
                               {14, 64, 32, false, true, false},
                               {57, 100, 70, true, false, false},
                               {128, 1600, 96},
                               {130, 77, 31, false, true, true, 5, 3},
                               {600, 64, 320, true, true, true, 0, 1}};

TEST(Linear, IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      const Operands operands(c);
      EXPECT_LT(testing::relative_l2(operands.run(c), operands.wanted(c)), kTolerance)
          << target << ": " << c.rows << " × " << c.depth << " × " << c.columns;
    }
  });
}

TEST(Linear, OfRandomShapesIsItsDefinition) {
  std::mt19937 generator(9);
  const auto upto = [&](int64_t most) { return std::uniform_int_distribution<int64_t>(1, most)(generator); };
  for (int i = 0; i < 60; ++i) {
    const bool geglu = i % 3 == 0;
    const Case c{upto(90),    upto(200),  geglu ? 2 * upto(60) : upto(120), geglu, i % 2 == 0, i % 5 != 0,
                 upto(4) - 1, upto(3) - 1};
    const Operands operands(c);
    EXPECT_LT(testing::relative_l2(operands.run(c), operands.wanted(c)), kTolerance)
        << c.rows << " × " << c.depth << " × " << c.columns;
  }
}

TEST(Linear, ReadsNarrowWeightsExactly) {
  const Case c{33, 130, 50};
  Operands operands(c);
  const auto narrow = testing::rounded_to_bfloat16(operands.weight);
  EXPECT_EQ(operands.run(c, {narrow.data(), ElementType::BFloat16}), operands.run(c));

  // Half precision: 1 + k/1024 is 0x3C00 + k.
  std::vector<uint16_t> half(operands.weight.size());
  for (size_t i = 0; i < half.size(); ++i) {
    half[i] = static_cast<uint16_t>(0x3C00 + i * 7 % 1024 + (i % 2 == 0 ? 0x8000 : 0));
    operands.weight[i] = (i % 2 == 0 ? -1.0F : 1.0F) * (1 + static_cast<float>(i * 7 % 1024) / 1024);
  }
  EXPECT_EQ(operands.run(c, {half.data(), ElementType::Float16}), operands.run(c));
}

TEST(Linear, RowsHaveTheSameBitsAloneAndWithAnyNumberOfThreads) {
  for (const bool geglu : {false, true}) {
    const Case all{1200, 96, 200, geglu};
    const Operands operands(all);
    Floats wanted;
    testing::with_threads(1, [&] { wanted = operands.run(all); });
    for (const int threads : {2, 3, 7})
      testing::with_threads(threads, [&] { EXPECT_EQ(operands.run(all), wanted) << threads; });
    for (const int64_t row : {0, 17, 1199}) {
      Case one = all;
      one.rows = 1;
      Operands alone = operands;
      alone.x.erase(alone.x.begin(), alone.x.begin() + row * all.depth);
      alone.residual.erase(alone.residual.begin(), alone.residual.begin() + row * all.width());
      const Floats found = alone.run(one);
      EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.begin() + row * all.width())) << row;
    }
  }
}

TEST(Linear, OfBfloat16IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      Operands operands(c);
      operands.cut();
      EXPECT_LT(testing::relative_l2(operands.run_bf16(c), operands.wanted(c)), kBf16Tolerance)
          << target << ": " << c.rows << " × " << c.depth << " × " << c.columns;
    }
  });
}

TEST(Linear, OfBfloat16AndRandomShapesIsItsDefinition) {
  std::mt19937 generator(10);
  const auto upto = [&](int64_t most) { return std::uniform_int_distribution<int64_t>(1, most)(generator); };
  for (int i = 0; i < 60; ++i) {
    const bool geglu = i % 3 == 0;
    const Case c{upto(90),    upto(200),  geglu ? 2 * upto(60) : upto(120), geglu, i % 2 == 0, i % 5 != 0,
                 upto(4) - 1, upto(3) - 1};
    Operands operands(c);
    operands.cut();
    for (int64_t r = 0; r < c.rows; ++r)  // between rows lies what must not be read
      std::fill_n(operands.x.begin() + r * (c.depth + c.x_gap) + c.depth, c.x_gap, NAN);
    EXPECT_LT(testing::relative_l2(operands.run_bf16(c), operands.wanted(c)), kBf16Tolerance)
        << c.rows << " × " << c.depth << " × " << c.columns;
  }
}

TEST(Linear, OfBfloat16ReadsOtherWeights) {
  testing::for_each_target([](const std::string& target) {
    const Case c{31, 75, 41};
    Operands operands(c);
    operands.cut();
    // Of three bits, so that half precision and bfloat16 hold them, too.
    std::vector<uint16_t> half(operands.weight.size());
    for (size_t i = 0; i < half.size(); ++i) {
      half[i] = static_cast<uint16_t>(0x3C00 + (i * 7 % 8 << 7) + (i % 3 == 0 ? 0x8000 : 0));
      operands.weight[i] = (i % 3 == 0 ? -1.0F : 1.0F) * (1 + static_cast<float>(i * 7 % 8) / 8);
    }
    const Floats wanted = operands.run_bf16(c);
    EXPECT_EQ(operands.run<uint16_t>(c, {half.data(), ElementType::Float16}), wanted) << target;
    EXPECT_EQ(operands.run<uint16_t>(c, {operands.weight.data(), ElementType::Float32}), wanted) << target;

    operands.weight = testing::noise(c.columns * c.depth, 5);
    EXPECT_LT(testing::relative_l2(operands.run<uint16_t>(c, {operands.weight.data(), ElementType::Float32}),
                                   operands.wanted(c)),
              kWideWeightTolerance)
        << target;
  });
}

TEST(Linear, OfBfloat16HasTheSameBitsAloneAndWithAnyNumberOfThreads) {
  for (const bool geglu : {false, true}) {
    const Case all{1200, 97, 200, geglu};
    Operands operands(all);
    operands.cut();
    Floats wanted;
    testing::with_threads(1, [&] { wanted = operands.run_bf16(all); });
    for (const int threads : {2, 3, 7})
      testing::with_threads(threads, [&] { EXPECT_EQ(operands.run_bf16(all), wanted) << threads; });
    for (const int64_t row : {0, 17, 1199}) {
      Case one = all;
      one.rows = 1;
      Operands alone = operands;
      alone.x.erase(alone.x.begin(), alone.x.begin() + row * all.depth);
      alone.residual.erase(alone.residual.begin(), alone.residual.begin() + row * all.width());
      const Floats found = alone.run_bf16(one);
      EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.begin() + row * all.width())) << row;
    }
  }
}

TEST(Linear, OfBfloat16KeepsNaNAndInfinityInTheirRows) {
  const Case c{30, 65, 33};
  Operands operands(c);
  operands.cut();
  const Floats before = operands.run_bf16(c);
  operands.x[3 * 65 + 64] = NAN;
  operands.x[7 * 65] = INFINITY;
  testing::for_each_target([&](const std::string& target) {
    const Floats found = operands.run_bf16(c);
    for (size_t column = 0; column < 33; ++column) {
      EXPECT_TRUE(std::isnan(found[3 * 33 + column])) << target;
      EXPECT_TRUE(std::isinf(found[7 * 33 + column])) << target;
    }
  });
  const Floats found = operands.run_bf16(c);
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_TRUE(i / 33 == 3 || i / 33 == 7 || found[i] == before[i]) << i;
}

TEST(Linear, OfIntegersIsThatOfTheirProductsWithScales) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      Operands operands(c);
      const Floats found = operands.run_int8<float>(c);
      EXPECT_EQ(found, operands.run(c)) << target;
      operands.cut();
      const Floats narrow = operands.run_int8<uint16_t>(c);
      EXPECT_LT(testing::relative_l2(narrow, operands.wanted(c)), kBf16Tolerance)
          << target << ": " << c.rows << " × " << c.depth << " × " << c.columns;
    }
  });
}

TEST(Linear, OfIntegersTimesIntegersIsItsDefinition) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      Operands operands(c);
      operands.cut();
      const Floats found = operands.run_int8<float>(c, true), narrow = operands.run_int8<uint16_t>(c, true);
      if (multiplies_int8()) operands.round_x(c);
      const std::vector<double> wanted = operands.wanted(c);
      EXPECT_LT(testing::relative_l2(found, wanted), kTolerance)
          << target << ": " << c.rows << " × " << c.depth << " × " << c.columns;
      EXPECT_LT(testing::relative_l2(narrow, wanted), kBf16Tolerance)
          << target << ": " << c.rows << " × " << c.depth << " × " << c.columns;
    }
  });
}

TEST(Linear, OfIntegersTimesIntegersHasTheSameBitsAloneAndWithAnyNumberOfThreads) {
  const Case all{700, 99, 130, true};
  Operands operands(all);
  Floats wanted;
  testing::with_threads(1, [&] { wanted = operands.run_int8<float>(all, true); });
  for (const int threads : {2, 5})
    testing::with_threads(threads,
                          [&] { EXPECT_EQ(operands.run_int8<float>(all, true), wanted) << threads; });
  Case less = all;
  less.rows = 3;
  const Floats found = operands.run_int8<float>(less, true);
  EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.begin()));
}

TEST(Linear, OfIntegersTimesIntegersKeepsNaNAndInfinityInTheirRows) {
  const Case c{20, 65, 33};
  Operands operands(c);
  operands.run_int8<float>(c);  // a second rounding of the weights changes them no more
  const Floats before = operands.run_int8<float>(c, true);
  operands.x[3 * 65 + 64] = NAN;
  operands.x[7 * 65] = INFINITY;
  const Floats found = operands.run_int8<float>(c, true);
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_EQ(std::isfinite(found[i]) && found[i] == before[i], i / 33 != 3 && i / 33 != 7) << i;
}

TEST(Linear, SeesAChangedWeightAtOnce) {
  const Case c{8, 32, 40};
  Operands operands(c);
  const Floats before = operands.run(c);
  operands.weight[5] += 1;
  EXPECT_NE(operands.run(c), before);
  EXPECT_LT(testing::relative_l2(operands.run(c), operands.wanted(c)), kTolerance);
}

TEST(Linear, GeluIsExactAtItsEnds) {
  // depth 1, weight 1: the gate is x itself; value is the bias, 1.
  Case c{9, 1, 2, true, true, false};
  Operands operands(c);
  operands.x = {-100, -10, -5.5F, -3, -0.0F, 1e-8F, 3, 10, 100};
  operands.weight = {0, 1};
  operands.bias = {1, 0};
  const Floats found = operands.run(c);
  const std::vector<double> wanted = operands.wanted(c);
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(found[i], wanted[i], 3e-7 * std::max(1.0, std::abs(wanted[i]))) << operands.x[i];
}

}  // namespace
}  // namespace limn::kernels
