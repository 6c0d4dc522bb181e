// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/quantize.h"

#include <gtest/gtest.h>

#include "limn/kernels/kernels_testing.h"

namespace limn::kernels {
namespace {

using testing::Floats;

struct Quantized {
  std::vector<int8_t> integers;
  Floats scales;

  Quantized(const Weights& weights, int64_t rows, int64_t row_size)
      : integers(static_cast<size_t>(rows * row_size)), scales(static_cast<size_t>(rows)) {
    quantize_rows(weights, rows, row_size, integers.data(), scales.data());
  }
};

TEST(QuantizeRows, RoundsToTheNearestOnEveryTarget) {
  testing::for_each_target([](const std::string& target) {
    for (const int64_t size : {1, 5, 16, 333}) {
      const int64_t rows = 9;
      const Floats weights = testing::noise(rows * size, 1, 0.02F);
      const Quantized found({weights.data(), ElementType::Float32}, rows, size);
      for (int64_t row = 0; row < rows; ++row) {
        const float* from = weights.data() + row * size;
        float most = 0;
        for (int64_t i = 0; i < size; ++i) most = std::max(most, std::abs(from[i]));
        const float scale = found.scales[static_cast<size_t>(row)];
        EXPECT_FLOAT_EQ(scale, most / 127) << target;
        for (int64_t i = 0; i < size; ++i) {
          const int integer = found.integers[static_cast<size_t>(row * size + i)];
          EXPECT_LE(std::abs(integer), 127) << target;
          EXPECT_NEAR(static_cast<float>(integer) * scale, from[i], 0.5001F * scale) << target;
        }
      }
    }
  });
}

TEST(QuantizeRows, ReadsNarrowWeights) {
  Floats weights = testing::noise(7 * 50, 3);
  const auto narrow = testing::rounded_to_bfloat16(weights);
  const Quantized found({narrow.data(), ElementType::BFloat16}, 7, 50);
  const Quantized wanted({weights.data(), ElementType::Float32}, 7, 50);
  EXPECT_EQ(found.integers, wanted.integers);
  EXPECT_EQ(found.scales, wanted.scales);

  const std::vector<uint16_t> half{0x3C00, 0xBC00, 0x3800, 0};  // 1, -1, ½, 0
  const Quantized of_half({half.data(), ElementType::Float16}, 1, 4);
  EXPECT_EQ(of_half.integers, (std::vector<int8_t>{127, -127, 64, 0}));
}

TEST(QuantizeRows, OfZerosIsZeroAndOfWhatIsNotFiniteIsNaN) {
  testing::for_each_target([](const std::string& target) {
    Floats weights(5 * 40, 0.25F);
    std::fill_n(weights.begin(), 40, 0.0F);
    std::fill_n(weights.begin() + 40, 40, 1e-44F);
    weights[2 * 40 + 39] = NAN;
    weights[3 * 40] = -INFINITY;
    const Quantized found({weights.data(), ElementType::Float32}, 5, 40);
    EXPECT_EQ(found.scales[0], 0.0F) << target;
    EXPECT_EQ(found.scales[1], 0.0F) << target;
    EXPECT_TRUE(std::isnan(found.scales[2])) << target;
    EXPECT_TRUE(std::isnan(found.scales[3])) << target;
    for (size_t i = 0; i < 4 * 40; ++i) EXPECT_EQ(found.integers[i], 0) << target;
    for (size_t i = 4 * 40; i < 5 * 40; ++i) EXPECT_EQ(found.integers[i], 127) << target;
  });
}

}  // namespace
}  // namespace limn::kernels
