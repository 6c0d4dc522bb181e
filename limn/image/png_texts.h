// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "limn/image/codec.h"

namespace limn {

inline constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1A\n";

/// One chunk of a PNG file.
struct PngChunk {
  std::string_view type;  // 4 letters
  Bytes data;
  size_t offset;  // of the data in the file
};

/// The chunks from IHDR to IEND, their checksums checked; views into `bytes`.
/// @throws Error{BadFile} with the offset of what is damaged
std::vector<PngChunk> png_chunks(Bytes bytes, const std::string& where);

/// The texts of a file's chunks, eXIf among them.
std::vector<TextEntry> png_texts(std::span<const PngChunk> chunks, const std::string& where);

/// A chunk to write: its type and data.
struct PngTextChunk {
  std::string type;
  std::string data;
};
/// tEXt where Latin-1 can hold the text (and a reader would not take it for UTF-8), else iTXt.
/// @throws Error{InvalidArgument} for a keyword or text that PNG cannot hold
PngTextChunk make_png_text(const TextEntry& entry);

}  // namespace limn
