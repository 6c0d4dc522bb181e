// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "limn/image/image.h"

namespace limn::server {

/// The bytes of a picture that a client sends as base64, with "data:image/…;base64," before it or not.
/// @throws Error{InvalidArgument} at `where`; Error{Refused} for a URL, which the server never follows
std::string bytes_of_base64(std::string_view text, const std::string& where);

/// Three channels, transparent parts on white, as A1111 takes pictures.
Image on_white(const Image& image);

/// One channel, 255 where it is to be repainted: what is white or opaque, over 128.
Image binary_mask(const Image& image, bool invert);

/// A1111's ways to bring a picture to a size: cut what is too much, or stretch the edges to where nothing is.
Image fit_cropped(const Image& image, int width, int height);
Image fit_filled(const Image& image, int width, int height);

}  // namespace limn::server
