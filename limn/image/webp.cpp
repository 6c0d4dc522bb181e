// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <webp/decode.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "limn/image/codec.h"
#include "limn/image/exif.h"

namespace limn {
namespace {

constexpr size_t kFileHeader = 12, kChunkHeader = 8;

/// One chunk of the RIFF container.
struct Chunk {
  std::string_view type;  // 4 characters
  Bytes data;
  size_t offset;  // of the data in the file
};

uint32_t little_endian_32(Bytes bytes, size_t offset) {
  return byte_at(bytes, offset) | uint32_t{byte_at(bytes, offset + 1)} << 8 |
         uint32_t{byte_at(bytes, offset + 2)} << 16 | uint32_t{byte_at(bytes, offset + 3)} << 24;
}

/// The chunks of the file. Source: Google, WebP Container Specification.
std::vector<Chunk> chunks_of(Bytes bytes, const std::string& where) {
  const size_t end = size_t{little_endian_32(bytes, 4)} + kChunkHeader;
  if (end > bytes.size())
    throw_bad_file(
        where, 4,
        "WebP should have " + std::to_string(end) + " bytes, found " + std::to_string(bytes.size()));
  std::vector<Chunk> chunks;
  for (size_t at = kFileHeader; at < end;) {
    if (end - at < kChunkHeader) throw_bad_file(where, at, "WebP ends inside a chunk's header");
    const size_t size = little_endian_32(bytes, at + 4);
    if (size > end - at - kChunkHeader)
      throw_bad_file(where, at, "WebP chunk of " + std::to_string(size) + " bytes reaches past the end");
    chunks.push_back(
        {as_text(bytes).substr(at, 4), bytes.subspan(at + kChunkHeader, size), at + kChunkHeader});
    at += kChunkHeader + size + (size & 1);
  }
  return chunks;
}

bool recognises(Bytes bytes) {
  const std::string_view text = as_text(bytes);
  return text.size() >= kFileHeader && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP";
}

const uint8_t* data_of(Bytes bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }

Image decode(Bytes bytes, const std::string& where, int64_t most_pixels) {
  const std::vector<Chunk> chunks = chunks_of(bytes, where);
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data_of(bytes), bytes.size(), &features) != VP8_STATUS_OK)
    throw_bad_file(where, kFileHeader, "no WebP picture in the file");
  if (features.has_animation)
    throw Error(ErrorCode::Unsupported, where, "animated WebP", "save one frame as PNG");

  const int channels = features.has_alpha ? 4 : 3;
  Image image = allocate_image(features.width, features.height, channels, where, most_pixels);
  const auto decode_into = features.has_alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto;
  if (!decode_into(data_of(bytes), bytes.size(), image.pixels.data(), image.pixels.size(),
                   features.width * channels))
    throw_bad_file(where, kFileHeader, "WebP pixels are damaged");
  for (const Chunk& chunk : chunks)
    if (chunk.type == "EXIF") return upright(std::move(image), exif_orientation(chunk.data));
  return image;
}

std::vector<TextEntry> texts(Bytes bytes, const std::string& where) {
  std::vector<TextEntry> all;
  for (const Chunk& chunk : chunks_of(bytes, where)) {
    std::vector<TextEntry> found;
    if (chunk.type == "EXIF")
      found = exif_texts(chunk.data, where, chunk.offset);
    else if (chunk.type == "XMP ")
      found = xmp_texts(as_text(chunk.data), where);
    all.insert(all.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  }
  return all;
}

using Mux = std::unique_ptr<WebPMux, decltype(&WebPMuxDelete)>;

[[noreturn]] void throw_out_of_memory() {
  throw Error(ErrorCode::OutOfMemory, "webp", "the picture could not be written");
}

void set_chunk(WebPMux* mux, const char* type, const std::string& data) {
  if (data.empty()) return;
  const WebPData view{reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  if (WebPMuxSetChunk(mux, type, &view, /*copy_data=*/0) != WEBP_MUX_OK) throw_out_of_memory();
}

/// The picture's bytes with its text blocks around them.
std::string with_blocks(const WebPData& picture, const TextBlocks& blocks) {
  if (blocks.exif.empty() && blocks.xmp.empty())
    return {reinterpret_cast<const char*>(picture.bytes), picture.size};
  const Mux mux(WebPMuxCreate(&picture, /*copy_data=*/0), WebPMuxDelete);
  if (!mux) throw_out_of_memory();
  set_chunk(mux.get(), "EXIF", blocks.exif);
  set_chunk(mux.get(), "XMP ", blocks.xmp);
  WebPData file;
  if (WebPMuxAssemble(mux.get(), &file) != WEBP_MUX_OK) throw_out_of_memory();
  const std::unique_ptr<uint8_t, decltype(&WebPFree)> owner(const_cast<uint8_t*>(file.bytes), WebPFree);
  return {reinterpret_cast<const char*>(file.bytes), file.size};
}

std::string encode(const Image& image, std::span<const TextEntry> texts, int quality) {
  check_image(image, WEBP_MAX_DIMENSION);
  const TextBlocks blocks = make_text_blocks(texts);
  const Image colored = image.channels == 1 ? to_rgb(image) : Image{};
  const Image& source = image.channels == 1 ? colored : image;
  const auto encode_pixels = source.channels == 4 ? WebPEncodeRGBA : WebPEncodeRGB;
  uint8_t* bytes = nullptr;
  const size_t size = encode_pixels(source.pixels.data(), source.width, source.height,
                                    source.width * source.channels, static_cast<float>(quality), &bytes);
  const std::unique_ptr<uint8_t, decltype(&WebPFree)> owner(bytes, WebPFree);
  if (size == 0) throw_out_of_memory();
  return with_blocks({bytes, size}, blocks);
}

}  // namespace

Codec webp_codec() { return {{"webp", ".webp", "image/webp"}, recognises, decode, texts, encode}; }

}  // namespace limn
