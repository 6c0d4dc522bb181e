// SPDX-License-Identifier: Apache-2.0
#include "limn/server/base64.h"

#include <array>
#include <cstdint>

#include "limn/base/error.h"

namespace limn::server {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<int8_t, 256> kValues = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  return values;
}();

std::string encode(std::string_view bytes, std::string_view alphabet) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k <= count; ++k) out += alphabet[group >> (18 - 6 * k) & 63];
  }
  return out;
}

}  // namespace

std::string decode_base64(std::string_view text, const std::string& where) {
  const auto refuse = [&](size_t at, const char* problem) {
    throw Error(ErrorCode::InvalidArgument, where,
                "is not base64: " + std::string(problem) + " at " + std::to_string(at));
  };
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  const std::string_view digits = text.substr(0, text.size() - padding);
  if (digits.size() % 4 == 1 || (padding > 0 && text.size() % 4 != 0))
    refuse(text.size(), "it ends inside a group");
  std::string out;
  out.reserve(digits.size() / 4 * 3 + 2);
  uint32_t group = 0;
  int bits = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    const int value = kValues[static_cast<unsigned char>(digits[i])];
    if (value < 0) refuse(i, "there is no such digit");
    group = group << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 0xff);
    }
  }
  // Two texts for the same bytes would be two names for one thing.
  if ((group & ((1u << bits) - 1)) != 0) refuse(digits.size(), "its last digit says too much");
  return out;
}

std::string encode_base64(std::string_view bytes) {
  std::string out = encode(bytes, kAlphabet);
  while (out.size() % 4 != 0) out += '=';
  return out;
}

std::string encode_base64url(std::string_view bytes) { return encode(bytes, kUrlAlphabet); }

}  // namespace limn::server
