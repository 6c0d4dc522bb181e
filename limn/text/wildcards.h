// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace limn::text {

/// A prompt with its choices made: "__animal__" is a line of animal.txt below `folder` (empty lines and those that begin
/// with # are left out; __a/b__ is a/b.txt), "{red|green}" one of its parts, "{3::red|1::green}" with weights, "{2$$a|b|c}"
/// two different parts with commas between, "{2$$ and $$a|b|c}" with other words between. Lines may hold choices again.
/// What is chosen hangs on `seed` alone.
/// @param folder  empty: no wildcards
/// @throws Error{NotFound} for a wildcard without a file, naming near ones; Error{InvalidArgument} at "prompt" for braces
///         that are not closed, weights that are no numbers, and lines that lead to themselves
std::string expand_choices(const std::string& prompt, const std::filesystem::path& folder, uint64_t seed);

/// Whether a prompt holds choices at all.
bool has_choices(const std::string& prompt);

}  // namespace limn::text
