// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "limn/image/image.h"

namespace limn::datasets {

/// What a picture's own texts say it shows: the prompt of A1111's "parameters", a PNG's or EXIF's description, XMP's
/// dc:description. Empty when they do not say.
std::string caption_in(std::span<const TextEntry> texts);

struct CleanCaption {
  std::string text;     // UTF-8, words parted by one space; empty when it was left out
  std::string problem;  // why it was; empty when all is well
};
CleanCaption clean_caption(std::string_view caption);

}  // namespace limn::datasets
