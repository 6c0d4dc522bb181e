// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limn/base/json.h"
#include "limn/image/image.h"

namespace limn::datasets {

/// A picture as a source holds it, with what lies beside it. The views are valid during the call only.
struct Item {
  std::string where;                   // for messages: file, or file and member
  std::string name;                    // of the picture, without folder
  std::string extension;               // ".png"
  std::span<const std::byte> bytes;    // of the picture's file
  json::object fields;                 // of a JSON sidecar or a manifest's row
  std::string fields_origin;           // "json" or "manifest"
  std::optional<std::string> caption;  // of a text sidecar
  std::string notes;                   // of NAME.headers, NAME.html and NAME.xmp: what its publisher said
  std::filesystem::path folder;        // it, or the archive it is in, lies in; absolute
};

/// Every picture of a folder (with NAME.txt or NAME.json beside NAME.png), a WebDataset .tar or a manifest .jsonl, in a
/// fixed order. A file that is missing or a row that cannot be read is told to `broken`, and the rest goes on.
/// @throws Error{NotFound}, Error{InvalidArgument} for another kind of source, Error{BadFile} for a damaged archive
void for_each_item(const std::filesystem::path& source, const std::function<void(const Item&)>& visit,
                   const std::function<void(const std::string& where, const std::string& problem)>& broken);

/// One file of a tar archive.
struct TarMember {
  std::string name;
  std::span<const std::byte> bytes;
};
/// Ordinary files of a tar archive in memory (ustar, GNU long names, pax paths and sizes).
/// @throws Error{BadFile} with the offset of what is wrong
std::vector<TarMember> read_tar(std::span<const std::byte> file, const std::string& where);

/// What a picture and its surroundings say, in lower case.
struct Said {
  std::string words;       // texts inside it, sidecars
  std::string everything;  // words, and all bytes of its file
  std::string extension;   // ".png"
  std::vector<std::pair<std::string, std::string>>
      above;  // robots.txt and the like in its folder and those above it, nearest first: name, text
};

/// A way in which makers say that a picture may not be trained on, so that machines can read it.
struct OptOutSignal {
  std::string_view name;
  std::string_view source;
  /// @return  the evidence, or nothing
  std::optional<std::string> (*find)(const Said& said);
};
std::span<const OptOutSignal> opt_out_signals();

/// The first signal found, as "name: evidence".
/// @param texts  inside the picture
std::optional<std::string> find_opt_out(const Item& item, std::span<const TextEntry> texts);

std::string lower_case(std::string_view ascii);

}  // namespace limn::datasets
