// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/image/image.h"

namespace limn {

/// A minimal EXIF block (big-endian TIFF) whose UserComment is `text`: "UNICODE\0" and UTF-16BE, as A1111
/// writes it.
std::string make_exif(std::string_view text);

/// UserComment as "parameters", ImageDescription as "Description" and ComfyUI's "keyword:{json}" strings, from an EXIF
/// block with or without "Exif\0\0".
/// @param offset  where the block is in the file, for errors
/// @throws Error{BadFile} when the block's structure is damaged
std::vector<TextEntry> exif_texts(std::span<const std::byte> exif, const std::string& where, size_t offset);

/// Orientation, 1 to 8; 1 when there is none or the block is damaged.
int exif_orientation(std::span<const std::byte> exif);

/// The picture turned and mirrored upright. Source: TIFF 6.0, tag 274.
Image upright(Image image, int orientation);

/// An XMP packet with `texts` in the property limn:texts.
std::string make_xmp(std::span<const TextEntry> texts);

/// The texts of make_xmp's packet; another's packet is one text, "xmp".
/// @throws Error{BadFile} when the property is damaged
std::vector<TextEntry> xmp_texts(std::string_view packet, const std::string& where);

/// The first language of an XMP packet's dc:description, or an empty text.
/// Source: ISO 16684-1 (XMP), §8.3, Dublin Core.
std::string xmp_description(std::string_view packet);

/// How JPEG and WebP keep texts: "parameters" in EXIF, the others in XMP. Empty strings: none.
struct TextBlocks {
  std::string exif;
  std::string xmp;
};
/// @throws Error{InvalidArgument} for a text that is not UTF-8 or a second "parameters"
TextBlocks make_text_blocks(std::span<const TextEntry> texts);

}  // namespace limn
