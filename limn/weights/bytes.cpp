// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/bytes.h"

#include "limn/base/error.h"

namespace limn::weights {

ByteReader::ByteReader(std::span<const std::byte> file, std::string where, uint64_t begin, uint64_t end)
    : file_(file), where_(std::move(where)), offset_(begin), end_(end) {
  if (begin > end || end > file.size())
    fail(begin,
         "expected data up to byte " + std::to_string(end) + ", the file has " + std::to_string(file.size()));
}

std::span<const std::byte> ByteReader::take(uint64_t count) {
  if (count > remaining())
    fail(offset_, "expected " + std::to_string(count) + " more bytes, found " + std::to_string(remaining()));
  const auto bytes = file_.subspan(offset_, count);
  offset_ += count;
  return bytes;
}

std::string_view ByteReader::line() {
  const std::string_view rest = as_text(file_.subspan(offset_, remaining()));
  const size_t length = rest.find('\n');
  if (length == std::string_view::npos) fail(offset_, "expected a line of text, found no end of it");
  offset_ += length + 1;
  return rest.substr(0, length);
}

void ByteReader::fail(size_t offset, const std::string& what) const {
  throw Error(ErrorCode::BadFile, where_ + " @" + std::to_string(offset), what);
}

}  // namespace limn::weights
