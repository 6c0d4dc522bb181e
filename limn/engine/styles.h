// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace limn::engine {

/// A style that a request may name.
struct StyleText {
  std::string name, prompt, negative_prompt;
};

/// The styles of a file, in its order. @param file  as a request's styles_file; empty: there are none
/// @throws Error{NotFound}; Error{BadFile} with the line of what is wrong
std::vector<StyleText> styles_of(const std::filesystem::path& file);

}  // namespace limn::engine
