// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace limn::cli {

struct OutputPath {
  std::filesystem::path path;
  std::string format;  // of image_formats()
};

/// Where the pictures of a request go, checked before any work is done.
/// @param output  a file; a folder (existing, or ending in '/'), which gets limn-SEED.png; or a template with
///                {seed} and {index}. Empty: limn-{seed}.png here. Several pictures to one file name get
///                name-0.png, name-1.png, …
/// @throws Error{InvalidArgument}: a file exists and not `force`, its format is unknown, or its folder cannot
///         be written
std::vector<OutputPath> output_paths(const std::string& output, uint64_t seed, int64_t count, bool force);

/// Makes the parent folder of a file to be written.
/// @throws Error{InvalidArgument} at `field` when it cannot be written, or exists and `force` is off
void check_writable(const char* field, const std::filesystem::path& path, bool force);

}  // namespace limn::cli
