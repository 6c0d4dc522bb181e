// SPDX-License-Identifier: Apache-2.0
#include "limn/server/zip.h"

#include <algorithm>

#include <boost/crc.hpp>

namespace limn::server {
namespace {

constexpr uint16_t kVersion = 10, kStored = 0;
constexpr int kFirstYear = 1980;

/// Little-endian fields, one after the other.
class LittleEndian {
 public:
  LittleEndian& u16(uint16_t value) { return number(value, 2); }
  LittleEndian& u32(uint32_t value) { return number(value, 4); }
  LittleEndian& text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  LittleEndian& number(uint32_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xff);
    return *this;
  }
  std::string bytes_;
};

struct DosTime {
  uint16_t date, time;
};
DosTime dos_time(Time at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(at - day));
  const auto year = std::clamp(static_cast<int>(date.year()) - kFirstYear, 0, 127);
  return {static_cast<uint16_t>(year << 9 | static_cast<unsigned>(date.month()) << 5 |
                                static_cast<unsigned>(date.day())),
          static_cast<uint16_t>(clock.hours().count() << 11 | clock.minutes().count() << 5 |
                                clock.seconds().count() / 2)};
}

}  // namespace

bool ZipWriter::put(const std::string& bytes) {
  offset_ += static_cast<uint32_t>(bytes.size());
  return write_(bytes);
}

bool ZipWriter::add(std::string_view name, std::string_view bytes, Time changed) {
  boost::crc_32_type crc;
  crc.process_bytes(bytes.data(), bytes.size());
  const DosTime dos = dos_time(changed);
  const auto size = static_cast<uint32_t>(bytes.size());
  LittleEndian common;
  common.u16(kVersion)
      .u16(0)
      .u16(kStored)
      .u16(dos.time)
      .u16(dos.date)
      .u32(crc.checksum())
      .u32(size)
      .u32(size);
  common.u16(static_cast<uint16_t>(name.size())).u16(0);

  directory_ += LittleEndian()
                    .text("PK\1\2")
                    .u16(kVersion)
                    .text(common.bytes())
                    .u16(0)
                    .u16(0)
                    .u16(0)
                    .u32(0)
                    .u32(offset_)
                    .text(name)
                    .bytes();
  ++files_;
  const bool wanted = put(LittleEndian().text("PK\3\4").text(common.bytes()).text(name).bytes());
  offset_ += size;
  return wanted && write_(bytes);
}

bool ZipWriter::finish() {
  const auto size = static_cast<uint32_t>(directory_.size());
  const uint32_t begin = offset_;
  return put(directory_ + LittleEndian()
                              .text("PK\5\6")
                              .u16(0)
                              .u16(0)
                              .u16(files_)
                              .u16(files_)
                              .u32(size)
                              .u32(begin)
                              .u16(0)
                              .bytes());
}

}  // namespace limn::server
