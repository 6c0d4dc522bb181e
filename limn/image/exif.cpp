// SPDX-License-Identifier: Apache-2.0
#include "limn/image/exif.h"

#include <algorithm>
#include <cctype>

#include "limn/image/codec.h"
#include "limn/image/unicode.h"

namespace limn {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kPrefix = "Exif\0\0"sv;
constexpr uint16_t kDescription = 0x010E, kOrientation = 0x0112, kExifPointer = 0x8769, kUserComment = 0x9286;
constexpr uint16_t kComfyPrompt = 0x0110,
                   kComfyFirst = 0x0100;  // the workflow's strings count down from the prompt's
constexpr uint16_t kAscii = 2, kShort = 3, kLong = 4, kUndefined = 7;  // types of values
constexpr size_t kEntrySize = 12;
constexpr size_t kTypeSizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};  // by TIFF type

/// One value of an image file directory.
struct Entry {
  uint16_t tag;
  uint16_t type;
  Bytes value;
};

/// Reads the TIFF structure that EXIF is made of. Source: TIFF 6.0, section 2.
class TiffReader {
 public:
  TiffReader(Bytes tiff, const std::string& where, size_t offset)
      : tiff_(tiff), where_(where), offset_(offset) {
    const std::string_view start = as_text(tiff).substr(0, 4);
    big_endian_ = start == "MM\0*"sv;
    if (!big_endian_ && start != "II*\0"sv) throw_bad_file(where, offset, "EXIF without a TIFF header");
  }

  Utf16Order order() const { return big_endian_ ? Utf16Order::BigEndian : Utf16Order::LittleEndian; }
  std::vector<Entry> first_directory() const { return directory(number(part(4, 4))); }

  /// @param at  offset from the start of the TIFF header
  std::vector<Entry> directory(size_t at) const {
    std::vector<Entry> entries;
    const size_t count = number(part(at, 2));
    const Bytes rows = part(at + 2, count * kEntrySize);
    size_t total = 0;
    for (size_t i = 0; i < count; ++i) {
      const Bytes row = rows.subspan(i * kEntrySize, kEntrySize);
      const auto tag = static_cast<uint16_t>(number(row.subspan(0, 2)));
      const auto type = static_cast<uint16_t>(number(row.subspan(2, 2)));
      const size_t size = type < std::size(kTypeSizes) ? kTypeSizes[type] * number(row.subspan(4, 4)) : 0;
      total += size;
      if (total > tiff_.size()) throw_bad_file(where_, offset_ + at, "EXIF values that overlap");
      entries.push_back(
          {tag, type, size <= 4 ? row.subspan(8, size) : part(number(row.subspan(8, 4)), size)});
    }
    return entries;
  }

  /// The first number of a value of bytes, shorts or longs; 0 when it is empty.
  size_t number(Bytes value, size_t size) const {
    return value.size() < size ? 0 : number(value.first(size));
  }

 private:
  size_t number(Bytes bytes) const {
    size_t value = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
      value = value << 8 | byte_at(bytes, big_endian_ ? i : bytes.size() - 1 - i);
    return value;
  }
  Bytes part(size_t at, size_t size) const {
    if (at > tiff_.size() || size > tiff_.size() - at)
      throw_bad_file(where_, offset_ + std::min(at, tiff_.size()),
                     "EXIF value of " + std::to_string(size) + " bytes reaches past its block");
    return tiff_.subspan(at, size);
  }

  Bytes tiff_;
  std::string where_;
  size_t offset_;
  bool big_endian_;
};

size_t count_ascii(std::string_view utf16, size_t high) {
  size_t count = 0;
  for (size_t i = 0; i + 1 < utf16.size(); i += 2)
    count += utf16[i + high] == 0 && static_cast<uint8_t>(utf16[i + 1 - high]) < 0x80;
  return count;
}

/// EXIF does not say which byte order UTF-16 has: writers take big-endian (piexif) or that of the TIFF
/// header. A mark decides, then what gives more ASCII, then the header.
std::string utf16_comment(std::string_view bytes, Utf16Order header) {
  if (bytes.starts_with("\xFE\xFF")) return utf16_to_utf8(bytes.substr(2), Utf16Order::BigEndian);
  if (bytes.starts_with("\xFF\xFE")) return utf16_to_utf8(bytes.substr(2), Utf16Order::LittleEndian);
  const size_t big = count_ascii(bytes, 0), little = count_ascii(bytes, 1);
  if (big == little) return utf16_to_utf8(bytes, header);
  return utf16_to_utf8(bytes, big > little ? Utf16Order::BigEndian : Utf16Order::LittleEndian);
}

/// Source: EXIF 2.32, UserComment: 8 bytes name the character code.
std::string user_comment(Bytes value, Utf16Order header) {
  const std::string_view code = as_text(value).substr(0, 8);
  const std::string_view text = as_text(value).substr(code.size());
  if (code == "UNICODE\0"sv) return utf16_comment(text, header);
  if (code == "ASCII\0\0\0"sv || code == "\0\0\0\0\0\0\0\0"sv) return text_of_bytes(text);
  return {};
}

/// ComfyUI's "prompt:{…}"; nothing when the string is not of that kind.
std::optional<TextEntry> comfy_text(uint16_t tag, const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 >= text.size()) return std::nullopt;
  const auto name_character = [](char c) {
    return c == '_' || c == '-' || std::isalnum(static_cast<uint8_t>(c));
  };
  if (!std::all_of(text.begin(), text.begin() + colon, name_character)) return std::nullopt;
  if (text[colon + 1] != '{' && text[colon + 1] != '[') return std::nullopt;
  if (tag == kComfyPrompt && !text.starts_with("prompt:")) return std::nullopt;
  return TextEntry{text.substr(0, colon), text.substr(colon + 1)};
}

Bytes without_prefix(Bytes exif) {
  return as_text(exif).starts_with(kPrefix) ? exif.subspan(kPrefix.size()) : exif;
}

void append_be(std::string& out, size_t value, int size) {
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}

void append_directory(std::string& out, uint16_t tag, uint16_t type, size_t count, size_t value) {
  append_be(out, 1, 2);  // number of entries
  append_be(out, tag, 2);
  append_be(out, type, 2);
  append_be(out, count, 4);
  append_be(out, value, 4);
  append_be(out, 0, 4);  // no next directory
}

}  // namespace

std::string make_exif(std::string_view text) {
  constexpr size_t kHeader = 8, kDirectory = 2 + kEntrySize + 4;
  const std::string comment = std::string("UNICODE\0"sv) + utf8_to_utf16_be(text);
  std::string out("MM\0*"sv);
  append_be(out, kHeader, 4);
  append_directory(out, kExifPointer, kLong, 1, kHeader + kDirectory);
  append_directory(out, kUserComment, kUndefined, comment.size(), kHeader + 2 * kDirectory);
  return out + comment;
}

std::vector<TextEntry> exif_texts(Bytes exif, const std::string& where, size_t offset) {
  const Bytes tiff = without_prefix(exif);
  const TiffReader reader(tiff, where, offset + exif.size() - tiff.size());
  std::vector<TextEntry> texts;
  std::optional<size_t> exif_directory;
  for (const Entry& entry : reader.first_directory()) {
    if (entry.tag == kExifPointer) exif_directory = reader.number(entry.value, 4);
    if (entry.tag < kComfyFirst || entry.tag > kComfyPrompt || entry.type != kAscii) continue;
    const std::string text = text_of_bytes(as_text(entry.value));
    if (auto comfy = comfy_text(entry.tag, text))
      texts.push_back(*comfy);
    else if (entry.tag == kDescription && !text.empty())
      texts.push_back({"Description", text});
  }
  if (!exif_directory) return texts;
  for (const Entry& entry : reader.directory(*exif_directory)) {
    if (entry.tag != kUserComment) continue;
    std::string text = user_comment(entry.value, reader.order());
    if (!text.empty()) texts.push_back({"parameters", std::move(text)});
  }
  return texts;
}

int exif_orientation(Bytes exif) {
  try {
    const TiffReader reader(without_prefix(exif), "EXIF", 0);
    for (const Entry& entry : reader.first_directory())
      if (entry.tag == kOrientation && entry.type == kShort) {
        const size_t orientation = reader.number(entry.value, 2);
        return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
      }
  } catch (const Error&) {  // a damaged block says nothing about the pixels, which are worth having
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool swap = orientation >= 5;
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image out{swap ? image.height : image.width, swap ? image.width : image.height, image.channels, {}};
  out.pixels.resize(image.pixels.size());
  uint8_t* target = out.pixels.data();
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) {
      const int across = swap ? y : x, down = swap ? x : y;
      const size_t column = flip_x ? image.width - 1 - across : across;
      const size_t row = flip_y ? image.height - 1 - down : down;
      const uint8_t* source = image.pixels.data() + (row * image.width + column) * image.channels;
      target = std::copy_n(source, image.channels, target);
    }
  return out;
}

TextBlocks make_text_blocks(std::span<const TextEntry> texts) {
  TextBlocks blocks;
  std::vector<TextEntry> others;
  for (const TextEntry& entry : texts) {
    if (!is_plain_utf8(entry.text) || !is_plain_utf8(entry.keyword))
      throw Error(ErrorCode::InvalidArgument, "text '" + entry.keyword + "'", "not UTF-8, or holds a NUL");
    if (entry.keyword != "parameters") {
      others.push_back(entry);
    } else if (!blocks.exif.empty()) {
      throw Error(ErrorCode::InvalidArgument, "text 'parameters'", "stands twice; EXIF holds one",
                  "save as PNG");
    } else {
      blocks.exif = make_exif(entry.text);
    }
  }
  if (!others.empty()) blocks.xmp = make_xmp(others);
  return blocks;
}

}  // namespace limn
