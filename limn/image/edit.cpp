// SPDX-License-Identifier: Apache-2.0
#include "limn/image/edit.h"

#include <algorithm>
#include <cmath>

#include "limn/base/error.h"
#include "limn/image/codec.h"

namespace limn {
namespace {

size_t offset_of(const Image& image, int x, int y) {
  return (static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x)) *
         static_cast<size_t>(image.channels);
}

Image same_shape(const Image& image) {
  return {image.width, image.height, image.channels, std::vector<uint8_t>(image.pixels.size())};
}

uint8_t rounded(double value) { return static_cast<uint8_t>(std::clamp(std::lround(value), 0L, 255L)); }

std::vector<double> gaussian(double sigma) {
  const int radius = static_cast<int>(std::ceil(3 * sigma));
  std::vector<double> weights;
  double sum = 0;
  for (int i = -radius; i <= radius; ++i) {
    weights.push_back(std::exp(-0.5 * i * i / (sigma * sigma)));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

/// One pass of a separable blur. @param dx, dy  1 and 0 along rows, 0 and 1 along columns
std::vector<double> blurred_along(const std::vector<double>& in, const Image& shape, int dx, int dy,
                                  const std::vector<double>& weights) {
  std::vector<double> out(in.size());
  const int radius = static_cast<int>(weights.size()) / 2;
  for (int y = 0; y < shape.height; ++y)
    for (int x = 0; x < shape.width; ++x)
      for (int c = 0; c < shape.channels; ++c) {
        double sum = 0;
        for (int i = -radius; i <= radius; ++i) {
          const int sx = std::clamp(x + dx * i, 0, shape.width - 1);
          const int sy = std::clamp(y + dy * i, 0, shape.height - 1);
          sum += weights[static_cast<size_t>(i + radius)] *
                 in[offset_of(shape, sx, sy) + static_cast<size_t>(c)];
        }
        out[offset_of(shape, x, y) + static_cast<size_t>(c)] = sum;
      }
  return out;
}

/// Colours with how much is known of them; one level of a pyramid.
struct Known {
  int width, height;
  std::vector<double> rgb, weight;
};

Known halved(const Known& in) {
  Known out{(in.width + 1) / 2, (in.height + 1) / 2, {}, {}};
  const auto count = static_cast<size_t>(out.width) * static_cast<size_t>(out.height);
  out.rgb.assign(3 * count, 0);
  out.weight.assign(count, 0);
  for (int y = 0; y < in.height; ++y)
    for (int x = 0; x < in.width; ++x) {
      const auto from = static_cast<size_t>(y) * static_cast<size_t>(in.width) + static_cast<size_t>(x);
      const auto to =
          static_cast<size_t>(y / 2) * static_cast<size_t>(out.width) + static_cast<size_t>(x / 2);
      out.weight[to] += in.weight[from];
      for (size_t c = 0; c < 3; ++c) out.rgb[3 * to + c] += in.weight[from] * in.rgb[3 * from + c];
    }
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = 0; c < 3; ++c)
      out.rgb[3 * i + c] = out.weight[i] > 0 ? out.rgb[3 * i + c] / out.weight[i] : 0;
    out.weight[i] = std::min(out.weight[i], 1.0);
  }
  return out;
}

/// Fills what is not known of a level from the coarser one, linearly between its places.
void pull(Known& fine, const Known& coarse) {
  const auto at = [&](int x, int y) {
    x = std::clamp(x, 0, coarse.width - 1);
    y = std::clamp(y, 0, coarse.height - 1);
    return 3 * (static_cast<size_t>(y) * static_cast<size_t>(coarse.width) + static_cast<size_t>(x));
  };
  for (int y = 0; y < fine.height; ++y)
    for (int x = 0; x < fine.width; ++x) {
      const auto place = static_cast<size_t>(y) * static_cast<size_t>(fine.width) + static_cast<size_t>(x);
      if (fine.weight[place] >= 1) continue;
      const double cx = (x - 0.5) / 2, cy = (y - 0.5) / 2;
      const int x0 = static_cast<int>(std::floor(cx)), y0 = static_cast<int>(std::floor(cy));
      const double wx = cx - x0, wy = cy - y0;
      for (size_t c = 0; c < 3; ++c) {
        const double above = (1 - wx) * coarse.rgb[at(x0, y0) + c] + wx * coarse.rgb[at(x0 + 1, y0) + c];
        const double below =
            (1 - wx) * coarse.rgb[at(x0, y0 + 1) + c] + wx * coarse.rgb[at(x0 + 1, y0 + 1) + c];
        double& value = fine.rgb[3 * place + c];
        value = fine.weight[place] * value + (1 - fine.weight[place]) * ((1 - wy) * above + wy * below);
      }
      fine.weight[place] = 1;
    }
}

void check_mask(const Image& picture, const Image& mask) {
  if (mask.channels != 1 || mask.width != picture.width || mask.height != picture.height)
    throw Error(ErrorCode::InvalidArgument, "mask",
                "expected one channel of " + std::to_string(picture.width) + " × " +
                    std::to_string(picture.height) + " pixels");
}

}  // namespace

Image to_grey(const Image& image) {
  if (image.channels == 1) return image;
  Image out{image.width, image.height, 1, {}};
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < image.pixels.size(); i += channels) {
    const uint32_t luma =
        image.pixels[i] * 19595U + image.pixels[i + 1] * 38470U + image.pixels[i + 2] * 7471U + 0x8000U;
    out.pixels.push_back(static_cast<uint8_t>(luma >> 16));
  }
  return out;
}

Image blurred(const Image& image, double sigma) {
  if (sigma <= 0) return image;
  const std::vector<double> weights = gaussian(sigma);
  std::vector<double> values(image.pixels.begin(), image.pixels.end());
  values = blurred_along(values, image, 1, 0, weights);
  values = blurred_along(values, image, 0, 1, weights);
  Image out = same_shape(image);
  std::ranges::transform(values, out.pixels.begin(), rounded);
  return out;
}

Rect bounds_of_mask(const Image& mask) {
  int left = mask.width, top = mask.height, right = 0, bottom = 0;
  for (int y = 0; y < mask.height; ++y)
    for (int x = 0; x < mask.width; ++x)
      if (mask.pixels[offset_of(mask, x, y)] > 0) {
        left = std::min(left, x);
        top = std::min(top, y);
        right = std::max(right, x + 1);
        bottom = std::max(bottom, y + 1);
      }
  return right > left ? Rect{left, top, right - left, bottom - top} : Rect{};
}

Rect area_around(const Rect& part, int padding, int width, int height, int picture_width,
                 int picture_height) {
  const auto within = [](int start, int end, int side) {
    return std::pair(std::clamp(start, 0, side), std::clamp(end, 0, side));
  };
  auto [left, right] = within(part.x - padding, part.x + part.width + padding, picture_width);
  auto [top, bottom] = within(part.y - padding, part.y + part.height + padding, picture_height);
  const auto widen = [](int& start, int& end, int wanted, int side) {
    const int size = std::min(wanted, side);
    if (size <= end - start) return;
    start = std::clamp(start - (size - (end - start)) / 2, 0, side - size);
    end = start + size;
  };
  const double ratio = static_cast<double>(width) / height;
  if (right - left < ratio * (bottom - top))
    widen(left, right, static_cast<int>(std::lround(ratio * (bottom - top))), picture_width);
  else
    widen(top, bottom, static_cast<int>(std::lround((right - left) / ratio)), picture_height);
  return {left, top, right - left, bottom - top};
}

Image cropped(const Image& image, const Rect& part) {
  if (part.empty() || part.x < 0 || part.y < 0 || part.x + part.width > image.width ||
      part.y + part.height > image.height)
    throw Error(ErrorCode::InvalidArgument, "crop", "the part does not lie inside the picture");
  Image out{part.width, part.height, image.channels, {}};
  const auto row = static_cast<ptrdiff_t>(part.width) * image.channels;
  for (int y = 0; y < part.height; ++y) {
    const auto from = image.pixels.begin() + static_cast<ptrdiff_t>(offset_of(image, part.x, part.y + y));
    out.pixels.insert(out.pixels.end(), from, from + row);
  }
  return out;
}

Image composite(const Image& original, const Image& made, const Image& mask, const Rect& area) {
  check_mask(original, mask);
  LIMN_CHECK(
      original.channels == 3 && made.channels == 3 && made.width == area.width && made.height == area.height,
      "composite takes RGB of the area's size");
  Image out = original;
  for (int y = 0; y < area.height; ++y)
    for (int x = 0; x < area.width; ++x) {
      const int weight = mask.pixels[offset_of(mask, area.x + x, area.y + y)];
      const size_t to = offset_of(out, area.x + x, area.y + y), from = offset_of(made, x, y);
      for (size_t c = 0; c < 3; ++c)
        out.pixels[to + c] = static_cast<uint8_t>(
            (made.pixels[from + c] * weight + original.pixels[to + c] * (255 - weight) + 127) / 255);
    }
  return out;
}

Image filled(const Image& picture, const Image& mask) {
  check_mask(picture, mask);
  const Image rgb = to_rgb(picture);
  std::vector<Known> levels(1);
  levels[0] = {rgb.width, rgb.height, {rgb.pixels.begin(), rgb.pixels.end()}, {}};
  for (const uint8_t value : mask.pixels) levels[0].weight.push_back(1 - value / 255.0);
  while (levels.back().width > 1 || levels.back().height > 1) levels.push_back(halved(levels.back()));
  Known& coarsest = levels.back();
  if (coarsest.weight[0] <= 0) coarsest.rgb.assign(3, 127.5);
  coarsest.weight[0] = 1;
  for (size_t i = levels.size() - 1; i-- > 0;) pull(levels[i], levels[i + 1]);
  Image out = same_shape(rgb);
  std::ranges::transform(levels[0].rgb, out.pixels.begin(), rounded);
  return out;
}

Extended extended(const Image& picture, const Margins& m, int overlap) {
  if (m.left < 0 || m.top < 0 || m.right < 0 || m.bottom < 0)
    throw Error(ErrorCode::InvalidArgument, "outpaint", "expected margins of 0 pixels or more");
  const Image rgb = to_rgb(picture);
  const int64_t width = int64_t{rgb.width} + m.left + m.right,
                height = int64_t{rgb.height} + m.top + m.bottom;
  if (width > kMaxSide || height > kMaxSide || width * height > kMaxPixels)
    throw Error(ErrorCode::InvalidArgument, "outpaint", "the picture gets too large");
  Extended out{{static_cast<int>(width), static_cast<int>(height), 3, {}},
               {static_cast<int>(width), static_cast<int>(height), 1, {}}};
  out.picture.pixels.resize(static_cast<size_t>(3 * width * height));
  out.mask.pixels.assign(static_cast<size_t>(width * height), 255);
  for (int y = 0; y < rgb.height; ++y)
    std::copy_n(&rgb.pixels[offset_of(rgb, 0, y)], 3 * static_cast<size_t>(rgb.width),
                &out.picture.pixels[offset_of(out.picture, m.left, m.top + y)]);
  const auto inner = [overlap](int margin) { return margin > 0 ? overlap : 0; };
  Image unknown = out.mask;
  for (int y = 0; y < rgb.height; ++y)
    for (int x = 0; x < rgb.width; ++x) {
      const size_t place = offset_of(out.mask, m.left + x, m.top + y);
      unknown.pixels[place] = 0;
      if (x >= inner(m.left) && x < rgb.width - inner(m.right) && y >= inner(m.top) &&
          y < rgb.height - inner(m.bottom))
        out.mask.pixels[place] = 0;
    }
  out.picture = filled(out.picture, unknown);
  return out;
}

}  // namespace limn
