// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>

#include "limn/base/error.h"
#include "limn/image/codec.h"

namespace limn {
namespace {

constexpr double kLobes = 3.0;
constexpr int kFractionBits = 22;  // 32 bits less 8 of the pixel and 2 for overshoot, as Pillow has it

double sinc(double x) { return x == 0.0 ? 1.0 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi); }
double lanczos(double x) { return -kLobes <= x && x < kLobes ? sinc(x) * sinc(x / kLobes) : 0.0; }

/// The source samples that one target sample is made of, and their weights in fixed point.
struct Taps {
  int first;
  std::vector<int> weights;
};

int fixed_point(double weight) {
  return static_cast<int>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kFractionBits));
}

/// Weights of each target sample along one axis; the order of the arithmetic is Pillow's, to get its bits.
std::vector<Taps> taps_of(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kLobes * filter_scale;
  const double inverse = 1.0 / filter_scale;

  std::vector<Taps> axis(to);
  std::vector<double> weights;
  for (int target = 0; target < to; ++target) {
    const double center = (target + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int last = std::min(static_cast<int>(center + support + 0.5), from);
    weights.clear();
    double sum = 0.0;
    for (int source = first; source < last; ++source) {
      weights.push_back(lanczos((source - center + 0.5) * inverse));
      sum += weights.back();
    }
    axis[target].first = first;
    for (const double weight : weights)
      axis[target].weights.push_back(fixed_point(sum != 0.0 ? weight / sum : weight));
  }
  return axis;
}

/// One target sample from source samples `stride` bytes apart.
uint8_t weigh(const uint8_t* source, size_t stride, const std::vector<int>& weights) {
  int sum = 1 << (kFractionBits - 1);
  for (const int weight : weights) {
    sum += *source * weight;
    source += stride;
  }
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

Image resize_horizontally(const Image& image, int width) {
  Image out{width, image.height, image.channels, {}};
  out.pixels.resize(size_t(width) * image.height * image.channels);
  const std::vector<Taps> axis = taps_of(image.width, width);
  const size_t channels = image.channels;
  uint8_t* target = out.pixels.data();
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* row = image.pixels.data() + size_t(y) * image.width * channels;
    for (const Taps& taps : axis)
      for (size_t c = 0; c < channels; ++c)
        *target++ = weigh(row + taps.first * channels + c, channels, taps.weights);
  }
  return out;
}

Image resize_vertically(const Image& image, int height) {
  Image out{image.width, height, image.channels, {}};
  const size_t stride = size_t(image.width) * image.channels;
  out.pixels.resize(stride * height);
  uint8_t* target = out.pixels.data();
  for (const Taps& taps : taps_of(image.height, height)) {
    const uint8_t* column = image.pixels.data() + taps.first * stride;
    for (size_t x = 0; x < stride; ++x) *target++ = weigh(column + x, stride, taps.weights);
  }
  return out;
}

/// a * b / 255, rounded, as Pillow's MULDIV255.
uint8_t multiply_255(int a, int b) {
  const int product = a * b + 128;
  return static_cast<uint8_t>(((product >> 8) + product) >> 8);
}

Image premultiplied(Image image) {
  for (size_t i = 0; i < image.pixels.size(); i += 4)
    for (size_t c = 0; c < 3; ++c)
      image.pixels[i + c] = multiply_255(image.pixels[i + c], image.pixels[i + 3]);
  return image;
}

Image straightened(Image image) {
  for (size_t i = 0; i < image.pixels.size(); i += 4) {
    const int alpha = image.pixels[i + 3];
    if (alpha == 0 || alpha == 255) continue;
    for (size_t c = 0; c < 3; ++c)
      image.pixels[i + c] = static_cast<uint8_t>(std::min(255 * image.pixels[i + c] / alpha, 255));
  }
  return image;
}

}  // namespace

Image resize_lanczos(const Image& image, int width, int height) {
  check_image(image);
  if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide ||
      int64_t{width} * height > kMaxPixels || int64_t{width} * image.height > kMaxPixels)
    throw Error(
        ErrorCode::InvalidArgument, "size",
        "cannot resize to " + std::to_string(width) + " × " + std::to_string(height),
        "sides of 1 to " + std::to_string(kMaxSide) + ", at most " + std::to_string(kMaxPixels) + " pixels");
  if (width == image.width && height == image.height) return image;
  Image out = image.channels == 4 ? premultiplied(image) : image;
  const bool vertically_first =  // as Pillow has it since version 13; samples are rounded between the passes
      height < image.height && image.height - height > 2 * (image.width - width);
  if (vertically_first) out = resize_vertically(out, height);
  if (width != out.width) out = resize_horizontally(out, width);
  if (height != out.height) out = resize_vertically(out, height);
  return out.channels == 4 ? straightened(std::move(out)) : out;
}

}  // namespace limn
