// SPDX-License-Identifier: Apache-2.0
#include "limn/image/png_texts.h"

#include <algorithm>
#include <cctype>

#include <zlib.h>

#include "limn/image/exif.h"
#include "limn/image/unicode.h"

namespace limn {
namespace {

using namespace std::string_view_literals;

constexpr size_t kAroundData = 12;  // length, type, checksum
constexpr size_t kMaxKeyword = 79;
constexpr size_t kMaxInflated = 16u << 20;  // of all texts of a file together

/// Reads the texts of one file.
class TextReader {
 public:
  explicit TextReader(const std::string& where) : where_(where) {}

  TextEntry latin1(const PngChunk& chunk, bool compressed) {
    std::string_view rest = as_text(chunk.data);
    std::string keyword = latin1_to_utf8(take_until_nul(rest, chunk));
    if (!compressed) return {std::move(keyword), text_of(rest)};
    if (rest.empty() || rest.front() != 0) bad(chunk, "an unknown compression");
    return {std::move(keyword), text_of(inflate(rest.substr(1), chunk))};
  }

  TextEntry international(const PngChunk& chunk) {
    std::string_view rest = as_text(chunk.data);
    std::string keyword = latin1_to_utf8(take_until_nul(rest, chunk));
    if (rest.size() < 2) bad(chunk, "no compression flag");
    const bool compressed = rest[0] != 0;
    if (compressed && rest[1] != 0) bad(chunk, "an unknown compression");
    rest.remove_prefix(2);
    take_until_nul(rest, chunk);  // language
    take_until_nul(rest, chunk);  // translated keyword
    std::string text = compressed ? inflate(rest, chunk) : std::string(rest);
    if (!is_plain_utf8(text)) bad(chunk, "text that is not UTF-8");
    return {std::move(keyword), std::move(text)};
  }

 private:
  [[noreturn]] void bad(const PngChunk& chunk, const std::string& problem) const {
    throw_bad_file(where_, chunk.offset, "PNG chunk " + std::string(chunk.type) + " with " + problem);
  }

  std::string_view take_until_nul(std::string_view& rest, const PngChunk& chunk) const {
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos) bad(chunk, "no end of its keyword");
    const std::string_view taken = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return taken;
  }

  static std::string text_of(std::string_view bytes) {
    return is_plain_utf8(bytes) ? std::string(bytes) : latin1_to_utf8(bytes);
  }

  std::string inflate(std::string_view data, const PngChunk& chunk) {
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    std::string out;
    char buffer[16384];
    int status = Z_OK;
    while (status == Z_OK && out.size() <= left_) {
      stream.next_out = reinterpret_cast<Bytef*>(buffer);
      stream.avail_out = sizeof buffer;
      status = ::inflate(&stream, Z_NO_FLUSH);
      out.append(buffer, sizeof buffer - stream.avail_out);
    }
    inflateEnd(&stream);
    if (out.size() > left_) bad(chunk, "texts of over " + std::to_string(kMaxInflated) + " bytes");
    if (status != Z_STREAM_END) bad(chunk, "damaged compressed text");
    left_ -= out.size();
    return out;
  }

  const std::string& where_;
  size_t left_ = kMaxInflated;
};

}  // namespace

std::vector<PngChunk> png_chunks(Bytes bytes, const std::string& where) {
  std::vector<PngChunk> chunks;
  for (size_t at = kPngSignature.size();;) {
    if (bytes.size() - at < kAroundData) throw_bad_file(where, at, "PNG ends before its IEND chunk");
    const size_t size = big_endian_32(bytes, at);
    const std::string_view type = as_text(bytes).substr(at + 4, 4);
    if (!std::all_of(type.begin(), type.end(), [](char c) { return std::isalpha(static_cast<uint8_t>(c)); }))
      throw_bad_file(where, at + 4, "expected the name of a PNG chunk, found other bytes");
    const std::string name(type);
    if (chunks.empty() && (type != "IHDR" || size != 13))
      throw_bad_file(where, at, "expected PNG chunk IHDR of 13 bytes, found " + name);
    if (size > bytes.size() - at - kAroundData)
      throw_bad_file(where, at,
                     "PNG chunk " + name + " of " + std::to_string(size) + " bytes reaches past the end");
    const Bytes checked = bytes.subspan(at + 4, size + 4);
    const auto* start = reinterpret_cast<const Bytef*>(checked.data());
    if (crc32_z(0, start, checked.size()) != big_endian_32(bytes, at + 8 + size))
      throw_bad_file(where, at, "PNG chunk " + name + " does not match its checksum");
    chunks.push_back({type, checked.subspan(4), at + 8});
    if (type == "IEND") return chunks;
    at += size + kAroundData;
  }
}

std::vector<TextEntry> png_texts(std::span<const PngChunk> chunks, const std::string& where) {
  TextReader reader(where);
  std::vector<TextEntry> texts;
  for (const PngChunk& chunk : chunks) {
    if (chunk.type == "tEXt" || chunk.type == "zTXt")
      texts.push_back(reader.latin1(chunk, chunk.type == "zTXt"));
    else if (chunk.type == "iTXt")
      texts.push_back(reader.international(chunk));
    else if (chunk.type == "eXIf")
      for (TextEntry& entry : exif_texts(chunk.data, where, chunk.offset)) texts.push_back(std::move(entry));
  }
  return texts;
}

PngTextChunk make_png_text(const TextEntry& entry) {
  const std::string where = "text '" + entry.keyword + "'";
  if (!is_plain_utf8(entry.text) || !is_plain_utf8(entry.keyword))
    throw Error(ErrorCode::InvalidArgument, where, "not UTF-8, or holds a NUL");
  const auto keyword = utf8_to_latin1(entry.keyword);
  if (!keyword || keyword->empty() || keyword->size() > kMaxKeyword)
    throw Error(ErrorCode::InvalidArgument, where, "a PNG keyword has 1 to 79 Latin-1 characters");
  const auto text = utf8_to_latin1(entry.text);
  const bool ascii = text && text->size() == entry.text.size();
  if (text && (ascii || !is_plain_utf8(*text))) return {"tEXt", *keyword + '\0' + *text};
  return {"iTXt", *keyword + std::string("\0\0\0\0\0"sv) + entry.text};
}

}  // namespace limn
