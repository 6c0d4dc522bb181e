// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "limn/weights/index.h"

namespace limn::weights {

/// Reads the header of a safetensors file in memory.
/// Source: the format's definition in the safetensors README. Header at most 100 MB; offsets must tile the
/// data; at most 16 dimensions; unknown fields of an entry are ignored.
/// @param file        the whole file; entries point into it
/// @param keep_alive  what holds the bytes
/// @throws Error{BadFile} with byte offset or tensor key; Error{Unsupported} naming the key of an unknown
/// element type
Index parse_safetensors(std::span<const std::byte> file, std::shared_ptr<const void> keep_alive,
                        const std::string& where);

/// Writes a safetensors file, whole or not at all: the header padded so that the data starts at a multiple of
/// 8, then the tensors in order of key, row-major. Same input, same bytes. Tensors go from their bytes to the
/// file piece by piece and are never held in memory.
/// @throws Error{InvalidArgument} for a name or metadata the format cannot hold, or a place that cannot be
/// written
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, TensorEntry>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace limn::weights
