// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "limn/image/image.h"

namespace limn::datasets {

/// Pixels.
struct Size {
  int width, height;
  auto operator<=>(const Size&) const = default;
};

/// More than this many times as long as wide, and cropping leaves too little of a picture.
inline constexpr int kNarrow = 8;

/// Sizes of about resolution² pixels, aspect ratios spread evenly from tall to wide, the square among them; sides
/// divide by 8, from 512 on by 64.
/// @param buckets  how many; even numbers are rounded up, equal sizes are one
std::vector<Size> bucket_sizes(int resolution, int buckets);

/// The one of the nearest aspect ratio.
Size nearest_size(std::span<const Size> sizes, int64_t width, int64_t height);

/// The picture, over white, at exactly this size: scaled to cover it and cropped in the middle, or to fit and padded
/// with white. @param image  not narrower than kNarrow
Image fitted(const Image& image, Size size, bool pad);

}  // namespace limn::datasets
