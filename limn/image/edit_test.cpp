// SPDX-License-Identifier: Apache-2.0
#include "limn/image/edit.h"

#include <numeric>

#include <gtest/gtest.h>

#include "limn/base/error.h"

namespace limn {
namespace {

Image noise(int width, int height, int channels) {
  Image out{width, height, channels, std::vector<uint8_t>(static_cast<size_t>(width * height * channels))};
  uint32_t state = 7;
  for (uint8_t& value : out.pixels)
    value = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  return out;
}
Image mask_of(int width, int height, const Rect& part, uint8_t value = 255) {
  Image out{width, height, 1, std::vector<uint8_t>(static_cast<size_t>(width * height))};
  for (int y = part.y; y < part.y + part.height; ++y)
    for (int x = part.x; x < part.x + part.width; ++x) out.pixels[static_cast<size_t>(y * width + x)] = value;
  return out;
}

TEST(Edit, GreyIsPillowsLuma) {
  // PIL.Image.new("RGB", (1, 1), (r, g, b)).convert("L"): red 76, green 150, blue 29, (12, 200, 99) 132
  const Image colours{4, 1, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 12, 200, 99}};
  EXPECT_EQ(to_grey(colours).pixels, (std::vector<uint8_t>{76, 150, 29, 132}));
}

TEST(Edit, BlurKeepsFlatPicturesAndTheSumOfADot) {
  const Image flat{9, 7, 1, std::vector<uint8_t>(63, 113)};
  EXPECT_EQ(blurred(flat, 2.5).pixels, flat.pixels);
  Image dot = mask_of(41, 41, {20, 20, 1, 1});
  const Image soft = blurred(dot, 1.0);
  // 255 / (2π σ²) at the middle, symmetric around it
  EXPECT_NEAR(soft.pixels[20 * 41 + 20], 255 / 6.2832, 1);
  EXPECT_EQ(soft.pixels[20 * 41 + 18], soft.pixels[22 * 41 + 20]);
  EXPECT_EQ(blurred(dot, 0).pixels, dot.pixels);
}

TEST(Edit, FindsTheMaskAndTheAreaAroundIt) {
  EXPECT_EQ(bounds_of_mask(mask_of(20, 10, {3, 4, 5, 2})), (Rect{3, 4, 5, 2}));
  EXPECT_TRUE(bounds_of_mask(mask_of(20, 10, {})).empty());
  // A square mask in the middle, a square wanted: padding alone.
  EXPECT_EQ(area_around({40, 40, 20, 20}, 10, 64, 64, 100, 100), (Rect{30, 30, 40, 40}));
  // Twice as wide: widened evenly.
  EXPECT_EQ(area_around({40, 40, 20, 20}, 10, 128, 64, 100, 100), (Rect{10, 30, 80, 40}));
  // At the edge: moved inside.
  EXPECT_EQ(area_around({0, 40, 20, 20}, 10, 128, 64, 100, 100), (Rect{0, 30, 80, 40}));
  // No room for the ratio: as much as there is.
  EXPECT_EQ(area_around({0, 0, 10, 90}, 0, 512, 64, 50, 90), (Rect{0, 0, 50, 90}));
}

TEST(Edit, LeavesUnmaskedPixelsAlone) {
  const Image original = noise(16, 12, 3), made = noise(8, 6, 3);
  const Rect area{4, 3, 8, 6};
  Image mask = mask_of(16, 12, {6, 5, 2, 2});
  mask.pixels[5 * 16 + 8] = 128;
  const Image out = composite(original, made, mask, area);
  for (int y = 0; y < 12; ++y)
    for (int x = 0; x < 16; ++x)
      for (int c = 0; c < 3; ++c) {
        const auto place = static_cast<size_t>(3 * (y * 16 + x) + c);
        const int weight = mask.pixels[static_cast<size_t>(y * 16 + x)];
        const bool inside = x >= 4 && x < 12 && y >= 3 && y < 9;
        const int from = inside ? made.pixels[static_cast<size_t>(3 * ((y - 3) * 8 + x - 4) + c)] : 0;
        if (weight == 0) EXPECT_EQ(out.pixels[place], original.pixels[place]);
        if (weight == 255) EXPECT_EQ(out.pixels[place], from);
        if (weight == 128)
          EXPECT_NEAR(out.pixels[place], (128 * from + 127 * original.pixels[place]) / 255.0, 0.51);
      }
  EXPECT_THROW(composite(original, made, mask_of(4, 4, {}), area), Error);
}

TEST(Edit, FillsWithColoursFromAround) {
  Image half{16, 16, 3, std::vector<uint8_t>(768)};
  for (size_t i = 0; i < 768; ++i) half.pixels[i] = (i / 3) % 16 < 8 ? 200 : 40;
  const Image mask = mask_of(16, 16, {6, 6, 4, 4});
  const Image out = filled(half, mask);
  EXPECT_EQ(out.pixels[3 * (2 * 16 + 3)], 200);  // not masked
  EXPECT_GT(out.pixels[3 * (8 * 16 + 6)], out.pixels[3 * (8 * 16 + 9)]);
  for (size_t i = 0; i < 768; ++i) EXPECT_GE(out.pixels[i], 40);
  const Image none = filled(half, mask_of(16, 16, {0, 0, 16, 16}));
  EXPECT_EQ(none.pixels[0], 128);
}

TEST(Edit, ExtendsAtEachSide) {
  const Image picture = noise(10, 8, 3);
  const Extended out = extended(picture, {.left = 4, .top = 0, .right = 2, .bottom = 3}, 2);
  ASSERT_EQ(out.picture.width, 16);
  ASSERT_EQ(out.picture.height, 11);
  EXPECT_EQ(cropped(out.picture, {4, 0, 10, 8}).pixels, picture.pixels);
  const auto mask = [&](int x, int y) { return out.mask.pixels[static_cast<size_t>(y * 16 + x)]; };
  EXPECT_EQ(mask(3, 0), 255);  // new
  EXPECT_EQ(mask(5, 0), 255);  // overlap
  EXPECT_EQ(mask(6, 0), 0);    // kept, no margin above
  EXPECT_EQ(mask(6, 7), 255);
  EXPECT_THROW(extended(picture, {.left = -1}, 2), Error);
  EXPECT_THROW(extended(picture, {.left = 1 << 20}, 2), Error);
  EXPECT_THROW(cropped(picture, {8, 0, 4, 4}), Error);
}

}  // namespace
}  // namespace limn
