// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/zip.h"

#include <algorithm>
#include <vector>

#include "limn/base/error.h"
#include "limn/weights/bytes.h"
#include "limn/weights/layout.h"

namespace limn::weights {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50,
                   kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr size_t kEndSize = 22, kLocatorSize = 20, kMaxComment = 0xFFFF;
constexpr uint16_t kZip64Field = 1, kEncrypted = 1, kSizesFollow = 8;
constexpr uint32_t kIn64 = 0xFFFFFFFF;  // the real value stands in the ZIP64 field

struct Directory {
  uint64_t entries, size, offset;
  size_t end;  // where the records after it start
};

struct Entry {
  std::string name;
  uint16_t flags, method;
  uint64_t packed, size, offset;
  size_t described_at;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  ZipEntries read() {
    const Directory directory = find_directory();
    ByteReader reader = at(directory.offset, directory.end);
    ZipEntries entries;
    for (uint64_t i = 0; i < directory.entries; ++i) {
      const Entry entry = read_entry(reader);
      if (!entries.emplace(entry.name, data_of(entry, directory.offset)).second)
        reader.fail(entry.described_at, "zip entry " + shown(entry.name) + " stands twice");
    }
    if (reader.offset() != directory.offset + directory.size)
      reader.fail(directory.offset, "expected a zip directory of " + std::to_string(directory.size) +
                                        " bytes, found " +
                                        std::to_string(reader.offset() - directory.offset));
    check_overlaps();
    return entries;
  }

 private:
  ByteReader at(uint64_t begin, uint64_t end) const { return {file_, where_, begin, end}; }

  size_t find_end() const {
    const size_t last = file_.size() < kEndSize ? 0 : file_.size() - kEndSize;
    const size_t first = last > kMaxComment ? last - kMaxComment : 0;
    for (size_t offset = last + 1; file_.size() >= kEndSize && offset-- > first;) {
      ByteReader reader = at(offset, file_.size());
      if (reader.number<uint32_t>() != kEnd) continue;
      reader.take(16);
      if (reader.number<uint16_t>() == reader.remaining()) return offset;
    }
    at(0, 0).fail(file_.size(),
                  "expected a zip directory at the end of the file, found none: the file is cut short");
  }

  Directory find_directory() const {
    const size_t end = find_end();
    ByteReader reader = at(end, file_.size());
    reader.take(4);
    const auto disk = reader.number<uint16_t>(), first_disk = reader.number<uint16_t>();
    const auto here = reader.number<uint16_t>(), entries = reader.number<uint16_t>();
    const auto size = reader.number<uint32_t>(), offset = reader.number<uint32_t>();
    const bool in_64 = here == 0xFFFF || entries == 0xFFFF || size == kIn64 || offset == kIn64;
    const Directory directory = in_64 ? find_directory_64(end) : Directory{entries, size, offset, end};
    if (!in_64 && (disk != 0 || first_disk != 0 || here != entries))
      reader.fail(end, "expected a zip archive in one part, found one of several");
    if (directory.offset > directory.end || directory.size > directory.end - directory.offset)
      reader.fail(end, "expected the zip directory inside the file, found " + std::to_string(directory.size) +
                           " bytes at " + std::to_string(directory.offset));
    return directory;
  }

  Directory find_directory_64(size_t end) const {
    ByteReader locator = at(end < kLocatorSize ? 0 : end - kLocatorSize, end);
    if (locator.number<uint32_t>() != kEnd64Locator)
      locator.fail(end, "expected a ZIP64 locator before, found none");
    locator.take(4);
    const auto offset = locator.number<uint64_t>();
    ByteReader reader = at(offset, end);
    if (reader.number<uint32_t>() != kEnd64)
      reader.fail(offset, "expected a ZIP64 directory record, found none");
    reader.take(20);
    const auto here = reader.number<uint64_t>(), entries = reader.number<uint64_t>();
    if (here != entries) reader.fail(offset, "expected a zip archive in one part, found one of several");
    const auto directory_size = reader.number<uint64_t>(), directory_offset = reader.number<uint64_t>();
    return {entries, directory_size, directory_offset, static_cast<size_t>(offset)};
  }

  Entry read_entry(ByteReader& reader) const {
    Entry entry{};
    entry.described_at = reader.offset();
    if (reader.number<uint32_t>() != kCentralHeader)
      reader.fail(entry.described_at, "expected a zip directory entry, found something else");
    reader.take(4);
    entry.flags = reader.number<uint16_t>();
    entry.method = reader.number<uint16_t>();
    reader.take(8);
    entry.packed = reader.number<uint32_t>();
    entry.size = reader.number<uint32_t>();
    const auto name = reader.number<uint16_t>(), extra = reader.number<uint16_t>(),
               note = reader.number<uint16_t>();
    reader.take(8);
    entry.offset = reader.number<uint32_t>();
    entry.name = reader.text(name);
    read_zip64_field(at(reader.offset(), reader.offset() + std::min<size_t>(extra, reader.remaining())),
                     entry);
    reader.take(extra);
    reader.take(note);
    return entry;
  }

  static void read_zip64_field(ByteReader reader, Entry& entry) {
    while (reader.remaining() >= 4) {
      const auto id = reader.number<uint16_t>(), size = reader.number<uint16_t>();
      if (id != kZip64Field) {
        reader.take(size);
        continue;
      }
      for (uint64_t* value : {&entry.size, &entry.packed, &entry.offset})
        if (*value == kIn64) *value = reader.number<uint64_t>();
      return;
    }
  }

  /// The local header must agree with the directory: programs that read the one or the other would see two
  /// files.
  std::span<const std::byte> data_of(const Entry& entry, size_t directory) {
    const std::string name = "zip entry " + shown(entry.name);
    const std::string place = where_ + " @" + std::to_string(entry.described_at);
    if (entry.flags & kEncrypted) throw Error(ErrorCode::Unsupported, place, name + " is encrypted");
    if (entry.method != 0)
      throw Error(ErrorCode::Unsupported, place,
                  name + " is compressed; torch.save stores entries as they are",
                  "load the file with torch and save it again");
    ByteReader reader = at(std::min<uint64_t>(entry.offset, directory), directory);
    if (entry.packed != entry.size)
      reader.fail(entry.described_at, name + " is stored, but says " + std::to_string(entry.packed) +
                                          " bytes are " + std::to_string(entry.size));
    if (reader.number<uint32_t>() != kLocalHeader)
      reader.fail(entry.offset, "expected the header of " + name + ", found something else");
    reader.take(2);
    const auto flags = reader.number<uint16_t>(), method = reader.number<uint16_t>();
    reader.take(8);
    const auto packed = reader.number<uint32_t>(), size = reader.number<uint32_t>();
    const auto name_length = reader.number<uint16_t>(), extra = reader.number<uint16_t>();
    const bool sizes_agree = (flags & kSizesFollow) || ((packed == entry.packed || packed == kIn64) &&
                                                        (size == entry.size || size == kIn64));
    if (reader.text(name_length) != entry.name || method != entry.method || !sizes_agree)
      reader.fail(entry.offset, "the header of " + name + " says something else than the zip directory");
    reader.take(extra);
    const auto data = reader.take(entry.size);
    taken_.push_back({entry.offset, reader.offset(), entry.described_at});
    return data;
  }

  void check_overlaps() {
    std::ranges::sort(taken_, {}, &Taken::begin);
    for (size_t i = 1; i < taken_.size(); ++i)
      if (taken_[i].begin < taken_[i - 1].end)
        at(0, 0).fail(taken_[i].described_at, "this zip entry overlaps another");
  }

  struct Taken {
    uint64_t begin, end;
    size_t described_at;
  };

  std::span<const std::byte> file_;
  std::string where_;
  std::vector<Taken> taken_;
};

}  // namespace

ZipEntries read_zip(std::span<const std::byte> file, const std::string& where) {
  return ZipReader(file, where).read();
}

}  // namespace limn::weights
