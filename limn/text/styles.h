// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace limn::text {

/// A named addition to prompts.
struct Style {
  std::string name, prompt, negative_prompt;
};

/// Reads A1111's styles.csv: a header with "name", "prompt" and "negative_prompt" in any order, fields quoted as RFC 4180
/// says, UTF-8 with or without a byte order mark.
/// @throws Error{NotFound}; Error{BadFile} with the line of what is wrong
std::vector<Style> read_styles(const std::filesystem::path& path);

/// The prompt with a style's text: in the place of "{prompt}" in it, else before it, a comma between.
std::string with_style(const std::string& style, const std::string& prompt);

}  // namespace limn::text
