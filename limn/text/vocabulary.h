// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace limn::text {

/// Words in lower case, with the digits, apostrophes and hyphens inside ("t-shirt", "3d"); numbers alone are none. Letters beyond
/// ASCII stay as they are.
std::vector<std::string> words_of(std::string_view text);

/// A word of a prompt that a model was not trained with, and the subjects it knows that are nearest, best first; perhaps none.
struct UnknownWord {
  std::string word;
  std::vector<std::string> nearest;
};

/// The words that a small model was trained with, from vocabulary.json in its folder. Immutable.
class Vocabulary {
 public:
  /// @param path  JSON: "words", all words of the training captions in lower case; "subjects", what it can draw; "related",
  ///              for a word the subjects that it has to do with
  /// @throws Error{NotFound}; Error{BadFile}
  static Vocabulary read(const std::filesystem::path& path);

  /// Words of a prompt, without its marks for weights, that are in no caption: each once, in order. Plurals and other letters'
  /// cases count as known. Numbers are not looked at.
  std::vector<UnknownWord> unknown(std::string_view prompt) const;

 private:
  bool knows(const std::string& word) const;
  std::vector<std::string> nearest(const std::string& word) const;

  std::set<std::string, std::less<>> words_;
  std::vector<std::string> subjects_;
  std::map<std::string, std::vector<std::string>, std::less<>> related_;
};

}  // namespace limn::text
