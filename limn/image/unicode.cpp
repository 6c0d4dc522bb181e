// SPDX-License-Identifier: Apache-2.0
#include "limn/image/unicode.h"

#include <cstdint>

namespace limn {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kInvalid = 0xFFFFFFFF;

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

/// The character at text[i], which moves past it; kInvalid for what RFC 3629 forbids.
char32_t next_utf8(std::string_view text, size_t& i) {
  static constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  const auto lead = static_cast<uint8_t>(text[i++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - i < static_cast<size_t>(more)) return kInvalid;
  char32_t c = lead & (0x3F >> more);
  for (int k = 0; k < more; ++k) {
    const auto byte = static_cast<uint8_t>(text[i++]);
    if ((byte & 0xC0) != 0x80) return kInvalid;
    c = c << 6 | (byte & 0x3F);
  }
  const bool surrogate = c >= 0xD800 && c < 0xE000;
  return c < kLeast[more] || c > 0x10FFFF || surrogate ? kInvalid : c;
}

void append_utf16_be(std::string& out, char32_t unit) {
  out += static_cast<char>(unit >> 8);
  out += static_cast<char>(unit & 0xFF);
}

}  // namespace

bool is_plain_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_utf8(text, i);
    if (c == kInvalid || c == 0) return false;
  }
  return true;
}

std::string latin1_to_utf8(std::string_view text) {
  std::string out;
  for (const char c : text) append_utf8(out, static_cast<uint8_t>(c));
  return out;
}

std::optional<std::string> utf8_to_latin1(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_utf8(text, i);
    if (c > 0xFF) return std::nullopt;
    out += static_cast<char>(c);
  }
  return out;
}

std::string utf8_to_utf16_be(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_utf8(text, i);
    if (c >= 0x10000) {
      append_utf16_be(out, 0xD800 + ((c - 0x10000) >> 10));
      append_utf16_be(out, 0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      append_utf16_be(out, c);
    }
  }
  return out;
}

std::string utf16_to_utf8(std::string_view bytes, Utf16Order order) {
  const size_t high = order == Utf16Order::BigEndian ? 0 : 1;
  const auto unit_at = [&](size_t i) {
    return static_cast<char32_t>(static_cast<uint8_t>(bytes[i + high]) << 8 |
                                 static_cast<uint8_t>(bytes[i + 1 - high]));
  };
  size_t size = bytes.size() / 2 * 2;
  while (size > 0 && unit_at(size - 2) == 0) size -= 2;

  std::string out;
  for (size_t i = 0; i < size; i += 2) {
    char32_t c = unit_at(i);
    if (c >= 0xD800 && c < 0xE000) {
      const char32_t low = c < 0xDC00 && i + 2 < size ? unit_at(i + 2) : 0;
      const bool pair = low >= 0xDC00 && low < 0xE000;
      c = pair ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : kReplacement;
      if (pair) i += 2;
    }
    append_utf8(out, c);
  }
  return out;
}

std::string text_of_bytes(std::string_view bytes) {
  bytes = bytes.substr(0, bytes.find('\0'));
  return is_plain_utf8(bytes) ? std::string(bytes) : latin1_to_utf8(bytes);
}

}  // namespace limn
