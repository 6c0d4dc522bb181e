// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/error.h"
#include "limn/image/image.h"

namespace limn {

using Bytes = std::span<const std::byte>;

/// What one file format brings to the table in image.cpp.
struct Codec {
  ImageFormat format;
  bool (*recognises)(Bytes bytes);
  Image (*decode)(Bytes bytes, const std::string& where, int64_t most_pixels);
  std::vector<TextEntry> (*texts)(Bytes bytes, const std::string& where);
  std::string (*encode)(const Image& image, std::span<const TextEntry> texts, int quality);
};

Codec png_codec();
Codec jpeg_codec();
Codec webp_codec();

/// An empty picture of this size, its pixels allocated and zero.
/// @throws Error{BadFile} when a side or the number of pixels is out of range
Image allocate_image(int64_t width, int64_t height, int channels, const std::string& where,
                     int64_t most_pixels);

/// @throws Error{InvalidArgument} unless size, channels and number of bytes agree and sides are at most
/// `longest`
void check_image(const Image& image, int64_t longest = kMaxSide);

[[noreturn]] void throw_bad_file(const std::string& where, size_t offset, const std::string& problem);

inline uint8_t byte_at(Bytes bytes, size_t offset) { return std::to_integer<uint8_t>(bytes[offset]); }
inline uint32_t big_endian_32(Bytes bytes, size_t offset) {
  return uint32_t{byte_at(bytes, offset)} << 24 | uint32_t{byte_at(bytes, offset + 1)} << 16 |
         uint32_t{byte_at(bytes, offset + 2)} << 8 | byte_at(bytes, offset + 3);
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes as_byte_span(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Runs calls into a C library that reports errors by longjmp(jump); false when it did. `body` must hold no
/// object with a destructor while it is inside the library.
template <typename Body>
[[nodiscard]] bool runs_without_jump(std::jmp_buf& jump, const Body& body) {
  if (setjmp(jump)) return false;
  body();
  return true;
}

}  // namespace limn
