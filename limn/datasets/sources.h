// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

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
  std::filesystem::path folder;        // it lies in; empty inside an archive
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

/// Why a picture may not be trained on, as its maker said so in a way machines read.
struct OptOutSignal {
  std::string_view name;
  std::string_view source;
  /// @return  the evidence, or nothing
  std::optional<std::string> (*find)(const Item& item, const std::vector<std::string>& texts);
};
std::span<const OptOutSignal> opt_out_signals();

/// The first signal found, as "name: evidence".
/// @param texts  inside the picture
std::optional<std::string> find_opt_out(const Item& item, const std::vector<std::string>& texts);

}  // namespace limn::datasets
