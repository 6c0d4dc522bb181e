// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <png.h>

#include "limn/image/codec.h"
#include "limn/image/exif.h"
#include "limn/image/png_texts.h"

namespace limn {
namespace {

constexpr size_t kMaxDeflateRatio = 1032;  // a stream of deflate never grows more than that when unpacked

/// What libpng's callbacks share with our calls. Ends libpng's objects when it goes.
struct PngState {
  png_structp png = nullptr;
  png_infop info = nullptr;
  bool writes = false;
  std::jmp_buf jump;
  char message[128] = "out of memory";
  Bytes input;
  size_t position = 0;
  std::string output;

  ~PngState() {
    if (writes)
      png_destroy_write_struct(&png, &info);
    else
      png_destroy_read_struct(&png, &info, nullptr);
  }
};

void on_error(png_structp png, png_const_charp message) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  std::strncpy(state->message, message, sizeof state->message - 1);
  std::longjmp(state->jump, 1);
}
void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, size_t size) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (size > state->input.size() - state->position) png_error(png, "ends early");
  std::memcpy(out, state->input.data() + state->position, size);
  state->position += size;
}

bool append(std::string& out, png_const_bytep data, size_t size) {
  try {
    out.append(reinterpret_cast<const char*>(data), size);
    return true;
  } catch (const std::bad_alloc&) {  // must not pass through C
    return false;
  }
}
void on_write(png_structp png, png_bytep data, size_t size) {
  if (!append(static_cast<PngState*>(png_get_io_ptr(png))->output, data, size))
    png_error(png, "out of memory");
}
void on_flush(png_structp) {}

bool recognises(Bytes bytes) { return as_text(bytes).starts_with(kPngSignature); }

/// Only what makes pixels; texts and profiles are not libpng's business here.
void ignore_other_chunks(png_structp png) {
  static constexpr png_byte kIgnored[] =
      "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0"
      "zTXt";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kIgnored, (sizeof kIgnored) / 5);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
}

struct PngHeader {
  png_uint_32 width = 0, height = 0;
  size_t packed_row = 0;  // bytes of a row as the file packs it
  int channels = 0;
};

/// Reads up to the pixels and asks for 8-bit RGB or RGBA.
PngHeader read_header(PngState& state) {
  png_structp png = state.png;
  png_set_user_limits(png, kMaxSide, kMaxSide);
  ignore_other_chunks(png);
  png_set_read_fn(png, &state, on_read);
  png_read_info(png, state.info);
  const size_t packed_row = png_get_rowbytes(png, state.info);
  png_set_expand(png);
  png_set_strip_16(png);
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, state.info);
  return {png_get_image_width(png, state.info), png_get_image_height(png, state.info), packed_row,
          png_get_channels(png, state.info)};
}

void read_rows(PngState& state, uint8_t* pixels, size_t height, size_t row_bytes, int passes) {
  for (int pass = 0; pass < passes; ++pass)
    for (size_t y = 0; y < height; ++y) png_read_row(state.png, pixels + y * row_bytes, nullptr);
  png_read_end(state.png, nullptr);
}

[[noreturn]] void throw_libpng(const PngState& state, const std::string& where) {
  throw_bad_file(where, state.position, std::string("PNG: ") + state.message);
}

Image decode(Bytes bytes, const std::string& where, int64_t most_pixels) {
  const std::vector<PngChunk> chunks = png_chunks(bytes, where);
  PngState state;
  state.input = bytes;
  state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  if (state.png) state.info = png_create_info_struct(state.png);
  if (!state.info) throw std::bad_alloc();

  PngHeader header;
  if (!runs_without_jump(state.jump, [&] { header = read_header(state); })) throw_libpng(state, where);
  size_t packed = 0;
  for (const PngChunk& chunk : chunks)
    if (chunk.type == "IDAT") packed += chunk.data.size();
  if (header.packed_row * header.height / kMaxDeflateRatio > packed)
    throw Error(ErrorCode::BadFile, where,
                std::to_string(packed) + " bytes of picture data cannot hold " +
                    std::to_string(header.width) + " × " + std::to_string(header.height) + " pixels");

  Image image = allocate_image(header.width, header.height, header.channels, where, most_pixels);
  const size_t row_bytes = size_t{header.width} * header.channels;
  const int passes = png_get_interlace_type(state.png, state.info) == PNG_INTERLACE_NONE ? 1 : 7;
  LIMN_CHECK(png_get_rowbytes(state.png, state.info) == row_bytes, "libpng's rows are not 8-bit RGB or RGBA");
  uint8_t* pixels = image.pixels.data();
  if (!runs_without_jump(state.jump, [&] { read_rows(state, pixels, header.height, row_bytes, passes); }))
    throw_libpng(state, where);

  const auto exif =
      std::find_if(chunks.begin(), chunks.end(), [](const PngChunk& c) { return c.type == "eXIf"; });
  return exif == chunks.end() ? image : upright(std::move(image), exif_orientation(exif->data));
}

std::vector<TextEntry> texts(Bytes bytes, const std::string& where) {
  return png_texts(png_chunks(bytes, where), where);
}

void write_png(PngState& state, const Image& image, std::span<const PngTextChunk> texts) {
  const int color = image.channels == 1   ? PNG_COLOR_TYPE_GRAY
                    : image.channels == 3 ? PNG_COLOR_TYPE_RGB
                                          : PNG_COLOR_TYPE_RGB_ALPHA;
  png_structp png = state.png;
  png_set_write_fn(png, &state, on_write, on_flush);
  png_set_IHDR(png, state.info, image.width, image.height, 8, color, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, state.info);
  for (const PngTextChunk& text : texts)
    png_write_chunk(png, reinterpret_cast<png_const_bytep>(text.type.data()),
                    reinterpret_cast<png_const_bytep>(text.data.data()), text.data.size());
  const size_t row_bytes = size_t(image.width) * image.channels;
  for (int y = 0; y < image.height; ++y) png_write_row(png, image.pixels.data() + y * row_bytes);
  png_write_end(png, state.info);
}

std::string encode(const Image& image, std::span<const TextEntry> texts, int /*quality*/) {
  std::vector<PngTextChunk> chunks;
  for (const TextEntry& entry : texts) chunks.push_back(make_png_text(entry));
  PngState state;
  state.writes = true;
  state.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  if (state.png) state.info = png_create_info_struct(state.png);
  if (!state.info) throw std::bad_alloc();
  if (!runs_without_jump(state.jump, [&] { write_png(state, image, chunks); }))
    throw Error(ErrorCode::OutOfMemory, "png", state.message);
  return std::move(state.output);
}

}  // namespace

Codec png_codec() { return {{"png", ".png", "image/png"}, recognises, decode, texts, encode}; }

}  // namespace limn
