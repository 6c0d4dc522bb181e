// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace limn::weights {

static_assert(std::endian::native == std::endian::little, "limn reads little-endian files by copying");

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Reads one stretch of a file from front to back and never past its end. Offsets are those of the file. One
/// thread at a time; the bytes must outlive it and all that it returns.
class ByteReader {
 public:
  /// @throws Error{BadFile} when begin..end does not lie inside the file
  ByteReader(std::span<const std::byte> file, std::string where, uint64_t begin, uint64_t end);
  ByteReader(std::span<const std::byte> file, std::string where) : ByteReader(file, where, 0, file.size()) {}

  size_t offset() const { return offset_; }
  size_t remaining() const { return end_ - offset_; }
  const std::string& where() const { return where_; }

  /// @throws Error{BadFile} when fewer are left; so do all of the following
  std::span<const std::byte> take(uint64_t count);
  std::string_view text(uint64_t count) { return as_text(take(count)); }
  /// The text before the next line feed, which is skipped.
  std::string_view line();
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  /// Error{BadFile} at `where @offset`.
  [[noreturn]] void fail(size_t offset, const std::string& what) const;

 private:
  std::span<const std::byte> file_;
  std::string where_;
  size_t offset_, end_;
};

}  // namespace limn::weights
