// SPDX-License-Identifier: Apache-2.0
#include "limn/training/event_file.h"

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

#include <unistd.h>

#include "limn/base/error.h"

namespace limn::training {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    table[i] = crc;
  }
  return table;
}();

// Protocol Buffers' wire format: a field is number << 3 | type, then a varint, a fixed word or a length and bytes.
std::string varint(uint64_t value) {
  std::string out;
  for (; value > 127; value >>= 7) out += static_cast<char>(value | 128);
  return out + static_cast<char>(value);
}
std::string bytes_field(int number, std::string_view bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
std::string varint_field(int number, int64_t value) {
  return varint(static_cast<uint64_t>(number) << 3) + varint(static_cast<uint64_t>(value));
}
template <typename T>
std::string fixed(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}
std::string double_field(int number, double value) {
  return varint(static_cast<uint64_t>(number) << 3 | 1) + fixed(value);
}
std::string float_field(int number, float value) {
  return varint(static_cast<uint64_t>(number) << 3 | 5) + fixed(value);
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// TFRecord's masked checksum.
uint32_t masked(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 255] ^ crc >> 8;
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t step) {
  const auto stamp = std::chrono::system_clock::now().time_since_epoch().count();
  const auto path = folder / ("events.out.tfevents." + std::to_string(stamp / 1'000'000'000) + "." +
                              std::to_string(::getpid()) + "." + std::to_string(stamp % 1'000'000'000));
  out_.open(path, std::ios::binary);
  if (!out_) throw Error(ErrorCode::InvalidArgument, path.string(), "cannot be written");
  add(0, bytes_field(3, "brain.Event:2"));                      // Event.file_version
  if (step > 0) add(step, bytes_field(7, varint_field(1, 1)));  // Event.session_log: START purges later steps
}

void EventFile::add(int64_t step, std::string_view field) {
  const std::string event = double_field(1, now()) + varint_field(2, step) + std::string(field);
  const std::string length = fixed(static_cast<uint64_t>(event.size()));
  out_ << length << fixed(masked(length)) << event << fixed(masked(event));
}

void EventFile::add_scalar(int64_t step, std::string_view tag, double value) {
  const std::string entry = bytes_field(1, tag) + float_field(2, static_cast<float>(value));  // Summary.Value
  add(step, bytes_field(5, bytes_field(1, entry)));
}

void EventFile::add_image(int64_t step, std::string_view tag, int width, int height, std::string_view png) {
  const std::string image =
      varint_field(1, height) + varint_field(2, width) + varint_field(3, 3) + bytes_field(4, png);
  add(step, bytes_field(5, bytes_field(1, bytes_field(1, tag) + bytes_field(4, image))));
}

}  // namespace limn::training
