// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>

#include "limn/weights/index.h"

namespace limn::weights {

/// Reads PyTorch's torch.save files, zip or legacy, as data: a pickle machine that builds tensors, containers
/// and scalars only. Globals outside an allow-list are refused by name; nothing is imported or called. Nested
/// dicts become dotted keys, lists numbered ones; a file that is one tensor has the key "tensor". Where the
/// top dict has a dict "state_dict", only that one's tensors are taken. The top dict's numbers and texts go
/// to metadata.
/// @param file        the whole file; entries point into it
/// @param keep_alive  what holds the bytes
/// @throws Error{BadFile} with offset or tensor key; Error{Refused} naming the global; Error{Unsupported} for
///         element types limn does not have, views that repeat elements, compressed archives, TorchScript,
///         big-endian
///         files
Index parse_pickle(std::span<const std::byte> file, std::shared_ptr<const void> keep_alive,
                   const std::string& where);

}  // namespace limn::weights
