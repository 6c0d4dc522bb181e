// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/fit.h"

#include <algorithm>
#include <cmath>

namespace limn::datasets {
namespace {

constexpr double kMostAspect = 2.5;

Image over_white(const Image& image) {
  if (image.channels != 4) return to_rgb(image);
  Image out{image.width, image.height, 3, std::vector<uint8_t>(image.pixels.size() / 4 * 3)};
  for (size_t i = 0; i < image.pixels.size() / 4; ++i)
    for (size_t c = 0; c < 3; ++c) {
      const int alpha = image.pixels[4 * i + 3];
      out.pixels[3 * i + c] =
          static_cast<uint8_t>((image.pixels[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  return out;
}

}  // namespace

std::vector<Size> bucket_sizes(int resolution, int buckets) {
  const int step = resolution >= 512 ? 64 : 8;
  std::vector<Size> out;
  const int each_way = buckets / 2;
  for (int i = -each_way; i <= each_way; ++i) {
    const double aspect = i == 0 ? 1 : std::pow(kMostAspect, static_cast<double>(i) / each_way);
    const auto rounded = [&](double side) {
      return std::max(step, static_cast<int>(std::lround(side / step)) * step);
    };
    out.push_back({rounded(resolution * std::sqrt(aspect)), rounded(resolution / std::sqrt(aspect))});
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Size nearest_size(std::span<const Size> sizes, int64_t width, int64_t height) {
  const double aspect = std::log(static_cast<double>(width) / static_cast<double>(height));
  return *std::ranges::min_element(sizes, {}, [&](const Size& size) {
    return std::abs(std::log(static_cast<double>(size.width) / size.height) - aspect);
  });
}

Image fitted(const Image& image, Size size, bool pad) {
  const double x = static_cast<double>(size.width) / image.width,
               y = static_cast<double>(size.height) / image.height;
  const double scale = pad ? std::min(x, y) : std::max(x, y);
  const int width = std::max(1, static_cast<int>(std::lround(image.width * scale)));
  const int height = std::max(1, static_cast<int>(std::lround(image.height * scale)));
  const Image scaled = over_white(
      width == image.width && height == image.height ? image : resize_lanczos(image, width, height));
  Image out{size.width, size.height, 3,
            std::vector<uint8_t>(static_cast<size_t>(size.width * size.height * 3), 255)};
  const int dx = (width - size.width) / 2, dy = (height - size.height) / 2;
  for (int row = 0; row < size.height; ++row)
    for (int column = 0; column < size.width; ++column) {
      const int sx = column + dx, sy = row + dy;
      if (sx < 0 || sy < 0 || sx >= width || sy >= height) continue;
      std::copy_n(&scaled.pixels[static_cast<size_t>((sy * width + sx) * 3)], 3,
                  &out.pixels[static_cast<size_t>((row * size.width + column) * 3)]);
    }
  return out;
}

}  // namespace limn::datasets
