// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/image/image.h"

namespace limn {

/// A part of a picture, pixels; may be empty.
struct Rect {
  int x = 0, y = 0, width = 0, height = 0;
  bool empty() const { return width <= 0 || height <= 0; }
  bool operator==(const Rect&) const = default;
};

// Masks are pictures of one channel: 255 is made anew, 0 is kept.

/// One channel: luma of ITU-R 601, as Pillow's convert("L").
Image to_grey(const Image& image);

/// Gaussian blur of standard deviation `sigma` pixels (0: none), edges held.
Image blurred(const Image& image, double sigma);

/// The smallest part that holds all pixels above 0 of a mask; empty when there are none.
Rect bounds_of_mask(const Image& mask);

/// `part` with `padding` pixels around it, then widened to the aspect ratio width : height as far as the picture of
/// that size allows, as A1111's "only masked" does.
Rect area_around(const Rect& part, int padding, int width, int height, int picture_width, int picture_height);

/// @throws Error{InvalidArgument} when the part does not lie inside
Image cropped(const Image& image, const Rect& part);

/// `original` with `made` laid over `area` as far as the mask (of the original's size) says. Where the mask is 0, the
/// pixels are the original's, bit for bit. Both pictures have three channels, `made` has the area's size.
Image composite(const Image& original, const Image& made, const Image& mask, const Rect& area);

/// The picture with what the mask covers replaced by colours from around it, near ones first (push and pull over a
/// pyramid: Gortler et al. 1996, §4.2). Everything masked: mid grey.
Image filled(const Image& picture, const Image& mask);

/// Pixels to add at each side.
struct Margins {
  int left = 0, top = 0, right = 0, bottom = 0;
  bool any() const { return left > 0 || top > 0 || right > 0 || bottom > 0; }
};

/// A larger picture and the mask of what is new, which reaches `overlap` pixels into the old picture.
struct Extended {
  Image picture, mask;
};
/// @throws Error{InvalidArgument} for negative margins or a picture that gets too large
Extended extended(const Image& picture, const Margins& margins, int overlap);

}  // namespace limn
