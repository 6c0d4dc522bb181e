// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>

// jerror.h needs what jpeglib.h defines
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "limn/image/codec.h"
#include "limn/image/exif.h"

namespace limn {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kExif = "Exif\0\0"sv;
constexpr std::string_view kXmp = "http://ns.adobe.com/xap/1.0/\0"sv;
constexpr uint8_t kApp1 = 0xE1, kStartOfScan = 0xDA, kEndOfImage = 0xD9;
constexpr size_t kMaxSegment = 65'533;
constexpr int kMaxScans = 500;              // progressive files of few bytes can ask for hours of scans
constexpr size_t kMaxPixelsPerByte = 4096;  // four times what Huffman codes of one bit a block can reach
constexpr int kFullColorQuality = 90;

/// Warnings after which pixels are missing or wrong.
constexpr int kDamage[] = {JWRN_JPEG_EOF, JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE, JWRN_MUST_RESYNC,
                           JWRN_ARITH_BAD_CODE};
constexpr int kUnsupported[] = {JERR_BAD_PRECISION, JERR_SOF_UNSUPPORTED, JERR_ARITH_NOTIMPL,
                                JERR_CONVERSION_NOTIMPL, JERR_NOTIMPL};

bool contains(std::span<const int> codes, int code) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

/// libjpeg's error manager with our way out.
struct ErrorManager {
  jpeg_error_mgr base;  // first, so that libjpeg's pointer to it is ours
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

void on_error(j_common_ptr jpeg) {
  auto* errors = reinterpret_cast<ErrorManager*>(jpeg->err);
  errors->base.format_message(jpeg, errors->message);
  std::longjmp(errors->jump, 1);
}
void on_message(j_common_ptr jpeg, int level) {
  if (level < 0 && contains(kDamage, jpeg->err->msg_code)) on_error(jpeg);
}
void on_progress(j_common_ptr jpeg) {
  if (jpeg->is_decompressor && reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMaxScans) {
    jpeg->err->msg_code = JERR_BAD_PROGRESSION;
    on_error(jpeg);
  }
}

jpeg_error_mgr* set_up(ErrorManager& errors) {
  jpeg_std_error(&errors.base);
  errors.base.error_exit = on_error;
  errors.base.emit_message = on_message;
  return &errors.base;
}

struct Decompressor {
  ErrorManager errors;
  jpeg_progress_mgr progress{};
  jpeg_decompress_struct jpeg{};

  Decompressor() {
    jpeg.err = set_up(errors);
    progress.progress_monitor = on_progress;
  }
  ~Decompressor() { jpeg_destroy_decompress(&jpeg); }
};

struct Compressor {
  ErrorManager errors;
  jpeg_compress_struct jpeg{};
  unsigned char* buffer = nullptr;
  unsigned long size = 0;

  Compressor() { jpeg.err = set_up(errors); }
  ~Compressor() {
    jpeg_destroy_compress(&jpeg);
    std::free(buffer);
  }
};

/// One marker segment before the pixels.
struct Segment {
  uint8_t marker;
  Bytes data;
  size_t offset;  // of the data in the file
};

/// The segments up to the first scan. Source: ITU-T T.81, annex B.
std::vector<Segment> segments_of(Bytes bytes, const std::string& where) {
  std::vector<Segment> segments;
  for (size_t at = 2;;) {
    if (bytes.size() - at < 4) throw_bad_file(where, at, "JPEG ends before its pixels");
    if (byte_at(bytes, at) != 0xFF) throw_bad_file(where, at, "expected a JPEG marker, found other bytes");
    const uint8_t marker = byte_at(bytes, at + 1);
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    if (marker == kEndOfImage) throw_bad_file(where, at, "JPEG without pixels");
    const size_t size = size_t{byte_at(bytes, at + 2)} << 8 | byte_at(bytes, at + 3);
    if (size < 2 || size > bytes.size() - at - 2)
      throw_bad_file(where, at, "JPEG segment of " + std::to_string(size) + " bytes reaches past the end");
    segments.push_back({marker, bytes.subspan(at + 4, size - 2), at + 4});
    if (marker == kStartOfScan) return segments;
    at += 2 + size;
  }
}

bool is_app1(const Segment& segment, std::string_view kind) {
  return segment.marker == kApp1 && as_text(segment.data).starts_with(kind);
}

bool recognises(Bytes bytes) { return as_text(bytes).starts_with("\xFF\xD8\xFF"sv); }

void read_header(Decompressor& d, Bytes bytes) {
  jpeg_create_decompress(&d.jpeg);
  d.jpeg.progress = &d.progress;
  jpeg_mem_src(&d.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&d.jpeg, TRUE);
  const bool cmyk = d.jpeg.jpeg_color_space == JCS_CMYK || d.jpeg.jpeg_color_space == JCS_YCCK;
  d.jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
}

void read_rows(Decompressor& d, uint8_t* pixels, size_t row_bytes) {
  jpeg_start_decompress(&d.jpeg);
  while (d.jpeg.output_scanline < d.jpeg.output_height) {
    JSAMPROW row = pixels + d.jpeg.output_scanline * row_bytes;
    jpeg_read_scanlines(&d.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&d.jpeg);
}

[[noreturn]] void throw_libjpeg(const Decompressor& d, Bytes bytes, const std::string& where) {
  const size_t left = d.jpeg.src ? std::min(d.jpeg.src->bytes_in_buffer, bytes.size()) : 0;
  const std::string problem = std::string("JPEG: ") + d.errors.message;
  if (contains(kUnsupported, d.errors.base.msg_code))
    throw Error(ErrorCode::Unsupported, where, problem, "save it as a common 8-bit JPEG");
  throw_bad_file(where, bytes.size() - left, problem);
}

/// Adobe's inverted CMYK to RGB, rounded as Pillow's convert("RGB") does.
Image rgb_of_inverted_cmyk(const Image& cmyk) {
  Image rgb{cmyk.width, cmyk.height, 3, {}};
  rgb.pixels.reserve(cmyk.pixels.size() / 4 * 3);
  for (size_t i = 0; i < cmyk.pixels.size(); i += 4) {
    const int light = cmyk.pixels[i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int product = (255 - cmyk.pixels[i + c]) * light + 128;
      rgb.pixels.push_back(static_cast<uint8_t>(std::max(light - (((product >> 8) + product) >> 8), 0)));
    }
  }
  return rgb;
}

Image decode(Bytes bytes, const std::string& where, int64_t most_pixels) {
  const std::vector<Segment> segments = segments_of(bytes, where);
  Decompressor d;
  if (!runs_without_jump(d.errors.jump, [&] { read_header(d, bytes); })) throw_libjpeg(d, bytes, where);
  const size_t width = d.jpeg.image_width, height = d.jpeg.image_height;
  if (!d.jpeg.arith_code && width * height / kMaxPixelsPerByte > bytes.size())
    throw Error(ErrorCode::BadFile, where,
                std::to_string(bytes.size()) + " bytes cannot hold " + std::to_string(width) + " × " +
                    std::to_string(height) + " pixels");

  const int channels = d.jpeg.out_color_space == JCS_CMYK ? 4 : 3;
  Image image = allocate_image(width, height, channels, where, most_pixels);
  uint8_t* pixels = image.pixels.data();
  if (!runs_without_jump(d.errors.jump, [&] { read_rows(d, pixels, width * channels); }))
    throw_libjpeg(d, bytes, where);
  if (channels == 4) image = rgb_of_inverted_cmyk(image);
  for (const Segment& segment : segments)
    if (is_app1(segment, kExif)) return upright(std::move(image), exif_orientation(segment.data));
  return image;
}

std::vector<TextEntry> texts(Bytes bytes, const std::string& where) {
  std::vector<TextEntry> all;
  for (const Segment& segment : segments_of(bytes, where)) {
    std::vector<TextEntry> found;
    if (is_app1(segment, kExif))
      found = exif_texts(segment.data, where, segment.offset);
    else if (is_app1(segment, kXmp))
      found = xmp_texts(as_text(segment.data).substr(kXmp.size()), where);
    all.insert(all.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  }
  return all;
}

void write_jpeg(Compressor& c, const Image& image, std::span<const std::string> segments, int quality) {
  jpeg_create_compress(&c.jpeg);
  jpeg_mem_dest(&c.jpeg, &c.buffer, &c.size);
  c.jpeg.image_width = image.width;
  c.jpeg.image_height = image.height;
  c.jpeg.input_components = image.channels;
  c.jpeg.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&c.jpeg);
  jpeg_set_quality(&c.jpeg, quality, TRUE);
  if (quality >= kFullColorQuality) c.jpeg.comp_info[0].h_samp_factor = c.jpeg.comp_info[0].v_samp_factor = 1;
  c.jpeg.optimize_coding = TRUE;
  jpeg_start_compress(&c.jpeg, TRUE);
  for (const std::string& segment : segments)
    jpeg_write_marker(&c.jpeg, kApp1, reinterpret_cast<const JOCTET*>(segment.data()),
                      static_cast<unsigned>(segment.size()));
  const size_t row_bytes = size_t(image.width) * image.channels;
  while (c.jpeg.next_scanline < c.jpeg.image_height) {
    auto* row = const_cast<JSAMPROW>(image.pixels.data() + c.jpeg.next_scanline * row_bytes);
    jpeg_write_scanlines(&c.jpeg, &row, 1);
  }
  jpeg_finish_compress(&c.jpeg);
}

std::string encode(const Image& image, std::span<const TextEntry> texts, int quality) {
  check_image(image, JPEG_MAX_DIMENSION);
  const TextBlocks blocks = make_text_blocks(texts);
  std::vector<std::string> segments;
  if (!blocks.exif.empty()) segments.push_back(std::string(kExif) + blocks.exif);
  if (!blocks.xmp.empty()) segments.push_back(std::string(kXmp) + blocks.xmp);
  for (const std::string& segment : segments)
    if (segment.size() > kMaxSegment)
      throw Error(ErrorCode::InvalidArgument, "texts",
                  "need " + std::to_string(segment.size()) + " bytes, a JPEG segment holds " +
                      std::to_string(kMaxSegment),
                  "save as PNG or WebP");

  const Image opaque = image.channels == 4 ? to_rgb(image) : Image{};
  const Image& source = image.channels == 4 ? opaque : image;
  Compressor c;
  if (!runs_without_jump(c.errors.jump, [&] { write_jpeg(c, source, segments, quality); }))
    throw Error(ErrorCode::OutOfMemory, "jpeg", c.errors.message);
  return {reinterpret_cast<const char*>(c.buffer), c.size};
}

}  // namespace

Codec jpeg_codec() { return {{"jpeg", ".jpg", "image/jpeg"}, recognises, decode, texts, encode}; }

}  // namespace limn
