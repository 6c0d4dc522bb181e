// SPDX-License-Identifier: Apache-2.0
// Source of the format: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic
// Tar Format" for long names and base-256 sizes.
#include <algorithm>
#include <charconv>
#include <map>

#include "limn/base/error.h"
#include "limn/datasets/sources.h"

namespace limn::datasets {
namespace {

constexpr size_t kBlock = 512;

[[noreturn]] void refuse(const std::string& where, size_t offset, const std::string& problem) {
  throw Error(ErrorCode::BadFile, where + " @" + std::to_string(offset), problem);
}

std::string_view field(std::string_view header, size_t from, size_t length) {
  const std::string_view text = header.substr(from, length);
  return text.substr(0, std::min(text.find('\0'), text.size()));
}

/// Octal digits, or base 256 when the first bit is set.
uint64_t number(std::string_view header, size_t from, size_t length, const std::string& where,
                size_t offset) {
  const std::string_view raw = header.substr(from, length);
  uint64_t value = 0;
  if (static_cast<uint8_t>(raw[0]) & 0x80) {
    for (size_t i = 0; i < length; ++i) {
      if (value >> 55) refuse(where, offset + from, "a size beyond all files");
      value = value << 8 | (static_cast<uint8_t>(raw[i]) & (i == 0 ? 0x7f : 0xff));
    }
    return value;
  }
  const size_t begin = std::min(raw.find_first_not_of(' '), raw.size());
  const auto [end, code] = std::from_chars(raw.data() + begin, raw.data() + raw.size(), value, 8);
  if (code != std::errc() && begin < raw.size() && raw[begin] != '\0')
    refuse(where, offset + from, "expected an octal number");
  return value;
}

void check_sum(std::string_view header, const std::string& where, size_t offset) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<uint8_t>(header[i]);
  if (sum != number(header, 148, 8, where, offset))
    refuse(where, offset, "its checksum is wrong: no tar archive, or a damaged one");
}

/// "LENGTH KEY=VALUE\n" records of a pax header.
std::map<std::string, std::string> pax_records(std::string_view text, const std::string& where,
                                               size_t offset) {
  std::map<std::string, std::string> out;
  for (size_t at = 0; at < text.size() && text[at] != '\0';) {
    size_t length = 0;
    const auto [end, code] = std::from_chars(text.data() + at, text.data() + text.size(), length);
    const auto digits = static_cast<size_t>(end - (text.data() + at));
    if (code != std::errc() || length < digits + 3 || length > text.size() - at || text[at + digits] != ' ')
      refuse(where, offset + at, "a damaged pax record");
    const std::string_view record = text.substr(at + digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) refuse(where, offset + at, "a pax record without '='");
    out[std::string(record.substr(0, equals))] = record.substr(equals + 1);
    at += length;
  }
  return out;
}

}  // namespace

std::vector<TarMember> read_tar(std::span<const std::byte> file, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  std::vector<TarMember> out;
  std::string long_name;
  std::map<std::string, std::string> pax;
  for (size_t at = 0; at + kBlock <= text.size();) {
    const std::string_view header = text.substr(at, kBlock);
    if (header.find_first_not_of('\0') == std::string_view::npos) return out;
    check_sum(header, where, at);
    uint64_t size = number(header, 124, 12, where, at);
    if (const auto found = pax.find("size"); found != pax.end())
      std::from_chars(found->second.data(), found->second.data() + found->second.size(), size);
    const size_t begin = at + kBlock;
    if (size > text.size() - begin)
      refuse(where, at, "ends inside a file of " + std::to_string(size) + " bytes");
    const std::string_view content = text.substr(begin, size);
    const char type = header[156];
    at = begin + (size + kBlock - 1) / kBlock * kBlock;
    if (type == 'L') {
      long_name = content.substr(0, content.find('\0'));
      continue;
    }
    if (type == 'x') {
      pax = pax_records(content, where, begin);
      continue;
    }
    if (type == '0' || type == '\0') {
      std::string name(field(header, 0, 100));
      if (const auto prefix = field(header, 345, 155); header.substr(257, 5) == "ustar" && !prefix.empty())
        name = std::string(prefix) + "/" + name;
      if (!long_name.empty()) name = long_name;
      if (const auto found = pax.find("path"); found != pax.end()) name = found->second;
      out.push_back({std::move(name), file.subspan(begin, size)});
    }
    long_name.clear();
    pax.clear();
  }
  if (text.size() % kBlock != 0) refuse(where, text.size() / kBlock * kBlock, "ends inside a block");
  return out;
}

}  // namespace limn::datasets
