// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>

namespace limn::weights {

using ZipEntries = std::map<std::string, std::span<const std::byte>, std::less<>>;

/// The entries of a zip archive in memory, by name, as spans of the file. Only what torch.save writes:
/// entries stored as they are, on one disk, ZIP64 where needed. Nothing is unpacked, so names are names,
/// never paths. Check sums are not looked at: torch.save can be told to leave them out. Source: PKWARE
/// APPNOTE 6.3.
/// @throws Error{BadFile} with offset; Error{Unsupported} for compressed or encrypted entries
ZipEntries read_zip(std::span<const std::byte> file, const std::string& where);

}  // namespace limn::weights
