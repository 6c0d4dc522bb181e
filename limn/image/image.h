// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace limn {

/// A picture in memory: 8 bits a channel, rows from the top, interleaved, sRGB, straight alpha. A plain
/// value.
struct Image {
  int width = 0;                // pixels
  int height = 0;               // pixels
  int channels = 3;             // 1 grey, 3 RGB, 4 RGBA
  std::vector<uint8_t> pixels;  // width * height * channels
};

/// One text inside a picture file.
/// PNG: tEXt, zTXt and iTXt by their keyword; tEXt is written where Latin-1 can hold the text, else iTXt.
/// JPEG and WebP: EXIF's UserComment is "parameters"; all other keywords are a JSON list of pairs in the
/// property limn:texts of an XMP packet. A packet of someone else is read as one text, "xmp"; ComfyUI's EXIF
/// strings
/// ("prompt:{…}") by their keyword; EXIF's ImageDescription is "Description".
struct TextEntry {
  std::string keyword;
  std::string text;  // UTF-8
  bool operator==(const TextEntry&) const = default;
};

/// A file format limn reads and writes.
struct ImageFormat {
  std::string_view name;       // "png"
  std::string_view extension;  // ".png"
  std::string_view mime;       // "image/png"
};
std::span<const ImageFormat> image_formats();

/// The most pixels of any picture, 16,384 × 16,384; no side is over kMaxSide.
inline constexpr int64_t kMaxPixels = 268'435'456;
inline constexpr int64_t kMaxSide = 65'535;

/// Decodes PNG, JPEG or WebP, told apart by content. Palettes, 16 bits and grey are made 8-bit RGB (RGBA when
/// the file has transparency); EXIF orientation is applied. Colours are taken as sRGB, profiles are not
/// applied. Of 16 bits the high byte is kept; CMYK becomes RGB as in Pillow.
/// @param where        the file's name, for errors
/// @param most_pixels  a lower limit than kMaxPixels, checked before memory is taken
/// @throws Error{BadFile}: truncated, damaged, over the limit; Error{Unsupported}: another format, animated
/// WebP
Image decode_image(std::span<const std::byte> bytes, const std::string& where,
                   int64_t most_pixels = kMaxPixels);
Image read_image(const std::filesystem::path& path);

/// The texts inside a picture file, in the order of the file, without decoding its pixels; compressed ones
/// may come to 16 MiB in all. PNG's Latin-1 texts that are valid UTF-8 are taken as UTF-8, for many programs
/// write that.
/// @throws Error{BadFile}: truncated or damaged; Error{Unsupported}: another format
std::vector<TextEntry> image_texts(std::span<const std::byte> bytes, const std::string& where);

/// Encodes losslessly as PNG, or as JPEG (which drops alpha; colour at full resolution from 90 up) or WebP of
/// `quality` 1 to 100.
/// @param format  a name of image_formats()
/// @param texts   UTF-8 without NUL; keywords of PNG have 1 to 79 Latin-1 characters; JPEG and WebP hold one
///                "parameters"; in JPEG the texts may take some 64 KiB
/// @throws Error{InvalidArgument} when the format cannot hold the picture or a text
std::string encode_image(const Image& image, std::string_view format, std::span<const TextEntry> texts,
                         int quality = 95);

/// Lanczos (a = 3) resampling of 8-bit pixels, to the bit as Pillow's Image.resize(…, LANCZOS) does it: RGBA
/// is weighted by its alpha.
/// @throws Error{InvalidArgument} for sizes outside 1 to kMaxSide or over kMaxPixels
Image resize_lanczos(const Image& image, int width, int height);

/// Three channels: grey is repeated, alpha is dropped (as Pillow's convert("RGB")).
Image to_rgb(const Image& image);

}  // namespace limn
