// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/layout.h"

#include <algorithm>

namespace limn::weights {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 56;
constexpr size_t kMaxShown = 120;

/// Number of bytes that follow this first byte of a UTF-8 sequence, or -1.
int continuation_bytes(unsigned char first) {
  if (first < 0x80) return 0;
  if (first >= 0xC2 && first < 0xE0) return 1;
  if (first >= 0xE0 && first < 0xF0) return 2;
  return first >= 0xF0 && first < 0xF5 ? 3 : -1;
}

/// Longer forms than needed, surrogates and what lies above U+10FFFF show in the second byte.
bool is_second_byte_allowed(unsigned char first, unsigned char second) {
  if (first == 0xE0) return second >= 0xA0;
  if (first == 0xED) return second < 0xA0;
  if (first == 0xF0) return second >= 0x90;
  return first != 0xF4 || second < 0x90;
}

}  // namespace

std::optional<int64_t> count_elements(std::span<const int64_t> shape) {
  if (shape.size() > kMaxRank) return std::nullopt;
  int64_t product = 1;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(product, size, &product) || product >= kMaxElements) {
      return std::nullopt;
    }
  }
  return empty ? 0 : product;
}

std::optional<int64_t> reach_of(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  const std::optional<int64_t> count = count_elements(shape);
  if (!count || shape.size() != strides.size()) return std::nullopt;
  int64_t farthest = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (strides[i] < 0 || strides[i] >= kMaxElements) return std::nullopt;
    int64_t step = 0;
    if (shape[i] > 0 && __builtin_mul_overflow(shape[i] - 1, strides[i], &step)) return std::nullopt;
    if (__builtin_add_overflow(farthest, step, &farthest) || farthest >= kMaxElements) return std::nullopt;
  }
  return *count == 0 ? 0 : farthest + 1;
}

bool is_dense(std::span<const int64_t> shape, std::span<const int64_t> strides) {
  if (std::ranges::find(shape, 0) != shape.end()) return true;
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string shown(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F) {
      out += c;
    } else {
      out += std::string("\\x") + "0123456789abcdef"[byte >> 4] + "0123456789abcdef"[byte & 15];
    }
  }
  return out + (text.size() > kMaxShown ? "…'" : "'");
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const int more = continuation_bytes(first);
    if (more < 0 || text.size() - i <= static_cast<size_t>(more)) return false;
    for (int k = 1; k <= more; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if ((byte & 0xC0) != 0x80 || (k == 1 && !is_second_byte_allowed(first, byte))) return false;
    }
    i += more + 1;
  }
  return true;
}

}  // namespace limn::weights
