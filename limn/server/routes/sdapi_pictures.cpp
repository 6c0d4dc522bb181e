// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/sdapi_pictures.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/server/base64.h"

namespace limn::server {
namespace {

constexpr uint8_t kMostKept = 128;  // of a mask
constexpr int64_t kMostScaledPixels = 64'000'000;

size_t at(const Image& image, int x, int y) {
  return (static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x)) *
         static_cast<size_t>(image.channels);
}

bool has_holes(const Image& image) {
  if (image.channels != 4) return false;
  for (size_t i = 3; i < image.pixels.size(); i += 4)
    if (image.pixels[i] != 255) return true;
  return false;
}

/// ITU-R 601's luma, rounded as Pillow's convert("L") does.
uint8_t luma(const uint8_t* rgb) {
  return static_cast<uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

/// The picture, laid in the middle of one of another size; its edges go on where it does not reach.
Image centred(const Image& image, int width, int height) {
  Image out{width, height, image.channels, {}};
  out.pixels.resize(static_cast<size_t>(width) * static_cast<size_t>(height) *
                    static_cast<size_t>(image.channels));
  const int left = width / 2 - image.width / 2, top = height / 2 - image.height / 2;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const size_t from =
          at(image, std::clamp(x - left, 0, image.width - 1), std::clamp(y - top, 0, image.height - 1));
      std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(from), image.channels,
                  out.pixels.begin() + static_cast<std::ptrdiff_t>(at(out, x, y)));
    }
  return out;
}

/// A size of the picture's proportions that covers width × height, or lies inside it. Source: A1111's resize_image.
Image scaled(const Image& image, int width, int height, bool covers) {
  const int64_t w = image.width, h = image.height;
  const bool wider = width * h > w * height;  // than the picture
  const int64_t across = wider == covers ? width : w * height / h;
  const int64_t down = wider == covers ? h * width / w : height;
  if (across * down > kMostScaledPixels)
    throw Error(ErrorCode::InvalidArgument, "resize_mode",
                "the picture's proportions are too far from " + std::to_string(width) + " × " +
                    std::to_string(height));
  return resize_lanczos(image, static_cast<int>(std::max<int64_t>(across, 1)),
                        static_cast<int>(std::max<int64_t>(down, 1)));
}

}  // namespace

std::string bytes_of_base64(std::string_view text, const std::string& where) {
  std::string packed;
  packed.reserve(text.size());
  std::ranges::copy_if(text, std::back_inserter(packed),
                       [](char c) { return c != ' ' && c != '\n' && c != '\r' && c != '\t'; });
  if (packed.starts_with("http://") || packed.starts_with("https://"))
    throw Error(ErrorCode::Refused, where, "is an address, which this server does not follow",
                "send the picture itself, as base64");
  const bool has_head = packed.starts_with("data:");
  const size_t comma = packed.find(',');
  if (has_head && (comma == std::string::npos || !packed.substr(0, comma).ends_with(";base64")))
    throw Error(ErrorCode::InvalidArgument, where, "expected data:image/png;base64,…");
  return decode_base64(has_head ? std::string_view(packed).substr(comma + 1) : std::string_view(packed),
                       where);
}

Image on_white(const Image& image) {
  if (image.channels != 4) return to_rgb(image);
  Image out{image.width, image.height, 3, {}};
  out.pixels.reserve(image.pixels.size() / 4 * 3);
  for (size_t i = 0; i < image.pixels.size(); i += 4)
    for (size_t channel = 0; channel < 3; ++channel) {
      const int alpha = image.pixels[i + 3];
      out.pixels.push_back(
          static_cast<uint8_t>((image.pixels[i + channel] * alpha + 255 * (255 - alpha) + 127) / 255));
    }
  return out;
}

Image binary_mask(const Image& image, bool invert) {
  const bool by_alpha = has_holes(image);
  Image out{image.width, image.height, 1, {}};
  const auto channels = static_cast<size_t>(image.channels);
  out.pixels.reserve(image.pixels.size() / channels);
  for (size_t i = 0; i < image.pixels.size(); i += channels) {
    const uint8_t* pixel = image.pixels.data() + i;
    const uint8_t value = by_alpha ? pixel[3] : channels == 1 ? pixel[0] : luma(pixel);
    out.pixels.push_back((value > kMostKept) != invert ? 255 : 0);
  }
  return out;
}

Image fit_cropped(const Image& image, int width, int height) {
  return centred(scaled(image, width, height, /*covers=*/true), width, height);
}

Image fit_filled(const Image& image, int width, int height) {
  return centred(scaled(image, width, height, /*covers=*/false), width, height);
}

}  // namespace limn::server
