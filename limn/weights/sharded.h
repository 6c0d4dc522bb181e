// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "limn/weights/index.h"

namespace limn::weights {

/// Opens one file of tensors; nothing when its content is of no known format. Index files are not followed.
std::optional<Index> try_open_single_file(const std::filesystem::path& path);

/// Opens `*.index.json` and the shards its weight_map names, which must be files of the same folder and hold
/// exactly the tensors it gives them. Source: the format that huggingface_hub writes.
/// @throws Error{BadFile} listing the differences; Error{Refused} for names that lead elsewhere;
/// Error{NotFound}
Index open_sharded(const std::filesystem::path& path);

}  // namespace limn::weights
