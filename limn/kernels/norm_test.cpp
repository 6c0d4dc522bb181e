// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/norm.h"

#include <gtest/gtest.h>

#include "limn/kernels/kernels_testing.h"

namespace limn::kernels {
namespace {

using testing::Floats;

constexpr double kTolerance = 5e-7;  // a few roundings of float32 an element
// Of rounding y to the nearest bfloat16, 2⁻⁷ / √12 of its power of two: at most 2.3e-3 of y.
constexpr double kBf16Tolerance = 2.3e-3;
constexpr double kEps = 1e-5;

struct Case {
  int64_t batch, pixels, channels, groups;
  bool silu;
  float mean;  // of what is normalised
};

template <typename T = float>
Floats group_norm(const Case& c, const Floats& numbers, const Floats& weight, const Floats& bias) {
  const std::vector<T> x = testing::stored<T>(numbers);
  std::vector<T> y(x.size());
  Floats scale(static_cast<size_t>(c.batch * c.channels)), shift(scale.size());
  group_norm_scales(GroupNormArguments<T>{.x = x.data(),
                                          .batch = c.batch,
                                          .pixels = c.pixels,
                                          .channels = c.channels,
                                          .groups = c.groups,
                                          .eps = kEps,
                                          .weight = weight.data(),
                                          .bias = bias.data(),
                                          .scale = scale.data(),
                                          .shift = shift.data()});
  scale_and_shift(x.data(), c.batch, c.pixels, c.channels, scale.data(), shift.data(), c.silu, y.data());
  return testing::as_floats(y);
}

std::vector<double> group_norm_by_definition(const Case& c, const Floats& x, const Floats& weight,
                                             const Floats& bias) {
  std::vector<double> y(x.size());
  const int64_t width = c.channels / c.groups;
  for (int64_t p = 0; p < c.batch; ++p)
    for (int64_t g = 0; g < c.groups; ++g) {
      const auto each = [&](const std::function<void(size_t, size_t)>& visit) {
        for (int64_t i = 0; i < c.pixels; ++i)
          for (int64_t j = g * width; j < (g + 1) * width; ++j)
            visit(static_cast<size_t>((p * c.pixels + i) * c.channels + j), static_cast<size_t>(j));
      };
      double mean = 0, variance = 0;
      const auto count = static_cast<double>(c.pixels * width);
      each([&](size_t at, size_t) { mean += x[at] / count; });
      each([&](size_t at, size_t) { variance += (x[at] - mean) * (x[at] - mean) / count; });
      each([&](size_t at, size_t channel) {
        const double value = (x[at] - mean) / std::sqrt(variance + kEps) * weight[channel] + bias[channel];
        y[at] = c.silu ? value / (1 + std::exp(-value)) : value;
      });
    }
  return y;
}

const std::vector<Case> kCases{{1, 1, 4, 2, false, 0},
                               {2, 49, 40, 8, true, 0},
                               {1, 300, 32, 32, false, 0},
                               {3, 1024, 96, 32, true, 0},
                               {1, 515, 33, 3, true, 2}};

TEST(GroupNorm, IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      Floats x = testing::noise(c.batch * c.pixels * c.channels, 1);
      for (float& value : x) value += c.mean;
      const Floats weight = testing::noise(c.channels, 2), bias = testing::noise(c.channels, 3);
      EXPECT_LT(
          testing::relative_l2(group_norm(c, x, weight, bias), group_norm_by_definition(c, x, weight, bias)),
          kTolerance)
          << target << ": " << c.batch << " × " << c.pixels << " × " << c.channels;
    }
  });
}

TEST(GroupNorm, OfBfloat16IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const Case& c : kCases) {
      Floats x = testing::noise(c.batch * c.pixels * c.channels, 1);
      for (float& value : x) value += c.mean;
      x = testing::cut_to_bfloat16(x);
      const Floats weight = testing::noise(c.channels, 2), bias = testing::noise(c.channels, 3);
      EXPECT_LT(testing::relative_l2(group_norm<uint16_t>(c, x, weight, bias),
                                     group_norm_by_definition(c, x, weight, bias)),
                kBf16Tolerance)
          << target << ": " << c.batch << " × " << c.pixels << " × " << c.channels;
    }
  });
}

TEST(GroupNorm, OfBfloat16KeepsNaNInItsPictureAndGroup) {
  const Case c{2, 300, 24, 3, true, 0};
  Floats x = testing::noise(c.batch * c.pixels * c.channels, 1);
  const Floats ones(static_cast<size_t>(c.channels), 1.0F), zeros(ones.size(), 0.0F);
  const Floats before = group_norm<uint16_t>(c, x, ones, zeros);
  x[7 * 24 + 9] = NAN;  // group 1
  const Floats found = group_norm<uint16_t>(c, x, ones, zeros);
  for (size_t i = 0; i < x.size(); ++i) {
    const bool hit = i < x.size() / 2 && i % 24 / 8 == 1;
    EXPECT_TRUE(hit ? std::isnan(found[i]) : found[i] == before[i]) << i;
  }
}

TEST(GroupNorm, LosesLittleWhereTheMeanIsFarFromZero) {
  // float32 holds x to 3e-8 · 1000 here: the normalised values cannot be better than 3e-5.
  const Case c{1, 700, 16, 4, false, 1000};
  Floats x = testing::noise(c.pixels * c.channels, 1);
  for (float& value : x) value += c.mean;
  const Floats ones(static_cast<size_t>(c.channels), 1.0F), zeros(ones.size(), 0.0F);
  EXPECT_LT(testing::relative_l2(group_norm(c, x, ones, zeros), group_norm_by_definition(c, x, ones, zeros)),
            1e-4);
}

TEST(GroupNorm, PicturesHaveTheSameBitsAloneAndWithAnyNumberOfThreads) {
  const Case all{3, 900, 40, 8, true, 0};
  const Floats x = testing::noise(all.batch * all.pixels * all.channels, 1),
               weight = testing::noise(all.channels, 2), bias = testing::noise(all.channels, 3);
  Floats wanted;
  testing::with_threads(1, [&] { wanted = group_norm(all, x, weight, bias); });
  testing::with_threads(5, [&] { EXPECT_EQ(group_norm(all, x, weight, bias), wanted); });
  Case one = all;
  one.batch = 1;
  const int64_t size = all.pixels * all.channels;
  const Floats found = group_norm(one, Floats(x.begin() + 2 * size, x.end()), weight, bias);
  EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.begin() + 2 * size));
}

template <typename T>
void expect_layer_norm(const std::string& target, double tolerance) {
  for (const int64_t features : {1, 7, 16, 40, 320, 1281}) {
    const int64_t rows = 67;
    const auto x = testing::stored<T>(testing::noise(rows * features, 1, 3));
    const Floats numbers = testing::as_floats(x), weight = testing::noise(features, 2),
                 bias = testing::noise(features, 3);
    std::vector<T> y(x.size());
    layer_norm(x.data(), rows, features, kEps, weight.data(), bias.data(), y.data());
    std::vector<double> wanted;
    for (int64_t row = 0; row < rows; ++row) {
      double mean = 0, variance = 0;
      const float* from = numbers.data() + row * features;
      for (int64_t i = 0; i < features; ++i) mean += from[i] / static_cast<double>(features);
      for (int64_t i = 0; i < features; ++i)
        variance += (from[i] - mean) * (from[i] - mean) / static_cast<double>(features);
      for (int64_t i = 0; i < features; ++i)
        wanted.push_back((from[i] - mean) / std::sqrt(variance + kEps) * weight[static_cast<size_t>(i)] +
                         bias[static_cast<size_t>(i)]);
    }
    EXPECT_LT(testing::relative_l2(testing::as_floats(y), wanted), tolerance) << target << ": " << features;
  }
}

TEST(LayerNorm, IsItsDefinitionOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    expect_layer_norm<float>(target, kTolerance);
    expect_layer_norm<uint16_t>(target, kBf16Tolerance);
  });
}

}  // namespace
}  // namespace limn::kernels
