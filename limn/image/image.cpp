// SPDX-License-Identifier: Apache-2.0
#include "limn/image/image.h"

#include <array>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/image/codec.h"

namespace limn {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMaxFile = size_t{1} << 30;
constexpr std::string_view kConvert = "convert it to PNG, JPEG or WebP first";

std::span<const Codec> codecs() {
  static const std::array table = {png_codec(), jpeg_codec(), webp_codec()};
  return table;
}

/// Formats that limn knows by sight only.
struct Signature {
  size_t offset;
  std::string_view bytes;
  std::string_view name;
};
constexpr Signature kOthers[] = {
    {0, "GIF8"sv, "a GIF"},
    {0, "II*\0"sv, "a TIFF"},
    {0, "MM\0*"sv, "a TIFF"},
    {0, "II+\0"sv, "a BigTIFF"},
    {0, "MM\0+"sv, "a BigTIFF"},
    {0, "BM"sv, "a BMP"},
    {4, "ftypavif"sv, "an AVIF"},
    {4, "ftypavis"sv, "an AVIF"},
    {4, "ftyphei"sv, "an HEIC"},
    {4, "ftyphev"sv, "an HEIC"},
    {4, "ftypmif1"sv, "an HEIF"},
    {4, "ftypmsf1"sv, "an HEIF"},
    {0, "\xFF\x0A"sv, "a JPEG XL"},
    {0, "\0\0\0\x0CJXL "sv, "a JPEG XL"},
    {0, "\0\0\0\x0CjP  "sv, "a JPEG 2000"},
    {0, "\xFF\x4F\xFF\x51"sv, "a JPEG 2000"},
    {0, "8BPS"sv, "a Photoshop"},
    {0, "v/1\x01"sv, "an OpenEXR"},
    {0, "#?RADIANCE"sv, "a Radiance HDR"},
    {0, "qoif"sv, "a QOI"},
    {0, "DDS "sv, "a DDS"},
    {0, "\0\0\1\0"sv, "an ICO"},
    {0, "\x8BJNG"sv, "a JNG"},
    {0, "\x8AMNG"sv, "an MNG"},
};

const Codec& codec_for(Bytes bytes, const std::string& where) {
  for (const Codec& codec : codecs())
    if (codec.recognises(bytes)) return codec;
  const std::string_view text = as_text(bytes);
  for (const Signature& other : kOthers)
    if (text.size() > other.offset && text.substr(other.offset).starts_with(other.bytes))
      throw Error(ErrorCode::Unsupported, where, std::string(other.name) + " picture", std::string(kConvert));
  throw Error(ErrorCode::BadFile, where, "expected a PNG, JPEG or WebP picture, found none of these",
              "check that the file is a picture and is whole");
}

}  // namespace

std::span<const ImageFormat> image_formats() {
  static const auto formats = [] {
    std::vector<ImageFormat> rows;
    for (const Codec& codec : codecs()) rows.push_back(codec.format);
    return rows;
  }();
  return formats;
}

Image decode_image(Bytes bytes, const std::string& where, int64_t most_pixels) {
  return codec_for(bytes, where).decode(bytes, where, std::min(most_pixels, kMaxPixels));
}

Image read_image(const std::filesystem::path& path) {
  const std::string file = read_file(path, kMaxFile);
  return decode_image(as_byte_span(file), path.string());
}

std::vector<TextEntry> image_texts(Bytes bytes, const std::string& where) {
  return codec_for(bytes, where).texts(bytes, where);
}

std::string encode_image(const Image& image, std::string_view format, std::span<const TextEntry> texts,
                         int quality) {
  check_image(image);
  if (quality < 1 || quality > 100)
    throw Error(ErrorCode::InvalidArgument, "quality", "expected 1 to 100, found " + std::to_string(quality));
  std::string known;
  for (const Codec& codec : codecs()) {
    if (codec.format.name == format) return codec.encode(image, texts, quality);
    known += (known.empty() ? "" : ", ") + std::string(codec.format.name);
  }
  throw Error(ErrorCode::InvalidArgument, "format", "no '" + std::string(format) + "'", "known: " + known);
}

Image to_rgb(const Image& image) {
  check_image(image);
  if (image.channels == 3) return image;
  Image rgb{image.width, image.height, 3, {}};
  rgb.pixels.reserve(image.pixels.size() / image.channels * 3);
  for (size_t i = 0; i < image.pixels.size(); i += image.channels)
    for (size_t channel = 0; channel < 3; ++channel)
      rgb.pixels.push_back(image.pixels[i + (image.channels == 1 ? 0 : channel)]);
  return rgb;
}

Image allocate_image(int64_t width, int64_t height, int channels, const std::string& where,
                     int64_t most_pixels) {
  const std::string size = std::to_string(width) + " × " + std::to_string(height) + " pixels";
  if (width < 1 || height < 1) throw Error(ErrorCode::BadFile, where, "a picture of " + size);
  if (width > kMaxSide || height > kMaxSide || width * height > most_pixels)
    throw Error(
        ErrorCode::BadFile, where, size + " are over the limit",
        "at most " + std::to_string(most_pixels) + " pixels, sides of at most " + std::to_string(kMaxSide));
  Image image{static_cast<int>(width), static_cast<int>(height), channels, {}};
  image.pixels.resize(static_cast<size_t>(width * height) * channels);
  return image;
}

void check_image(const Image& image, int64_t longest) {
  const std::string size = std::to_string(image.width) + " × " + std::to_string(image.height);
  if (image.width < 1 || image.height < 1 || image.width > longest || image.height > longest ||
      int64_t{image.width} * image.height > kMaxPixels)
    throw Error(ErrorCode::InvalidArgument, "image", "size " + size + " is out of range",
                "sides of 1 to " + std::to_string(longest) + " pixels");
  if (image.channels != 1 && image.channels != 3 && image.channels != 4)
    throw Error(ErrorCode::InvalidArgument, "image",
                "expected 1, 3 or 4 channels, found " + std::to_string(image.channels));
  if (image.pixels.size() != size_t(image.width) * image.height * image.channels)
    throw Error(ErrorCode::InvalidArgument, "image",
                size + " × " + std::to_string(image.channels) + " does not fit its " +
                    std::to_string(image.pixels.size()) + " bytes");
}

void throw_bad_file(const std::string& where, size_t offset, const std::string& problem) {
  throw Error(ErrorCode::BadFile, where + " @" + std::to_string(offset), problem,
              "the file is damaged or was cut short");
}

}  // namespace limn
