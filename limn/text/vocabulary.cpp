// SPDX-License-Identifier: Apache-2.0
#include "limn/text/vocabulary.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/json.h"
#include "limn/base/spelling.h"

namespace limn::text {
namespace {

constexpr size_t kMostNearest = 3;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80; }

/// What a word may be the plural of.
std::vector<std::string> singulars(const std::string& word) {
  std::vector<std::string> out;
  const auto without = [&](std::string_view ending, std::string_view by) {
    if (word.size() > ending.size() + 2 && word.ends_with(ending))
      out.push_back(word.substr(0, word.size() - ending.size()) + std::string(by));
  };
  without("s", "");
  without("es", "");
  without("ies", "y");
  without("ves", "f");
  without("'s", "");
  return out;
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  const auto end = [&] {
    while (!word.empty() && (word.back() == '\'' || word.back() == '-')) word.pop_back();
    if (std::ranges::any_of(word, is_letter)) out.push_back(word);
    word.clear();
  };
  for (const char given : text) {
    const char c = given >= 'A' && given <= 'Z' ? static_cast<char>(given - 'A' + 'a') : given;
    const bool inside = !word.empty() && (c == '\'' || c == '-');
    if (is_letter(c) || (c >= '0' && c <= '9') || inside)
      word += c;
    else
      end();
  }
  end();
  return out;
}

Vocabulary Vocabulary::read(const std::filesystem::path& path) {
  const json::object object = read_json_object(path);
  const Fields fields(object, path.string());
  Vocabulary out;
  for (std::string& word : fields.strings("words", {})) out.words_.insert(std::move(word));
  out.subjects_ = fields.strings("subjects", {});
  if (const json::value* related = fields.find("related")) {
    if (!related->is_object()) throw Error(ErrorCode::BadFile, path.string() + ": related", "is no object");
    const Fields entries(related->get_object(), path.string() + ": related");
    for (const auto& [word, subjects] : related->get_object())
      out.related_[std::string(word)] = entries.strings(word, {});
  }
  return out;
}

bool Vocabulary::knows(const std::string& word) const {
  return words_.contains(word) || std::ranges::any_of(singulars(word), [&](const std::string& singular) {
           return words_.contains(singular);
         });
}

std::vector<std::string> Vocabulary::nearest(const std::string& word) const {
  std::vector<std::string> forms = singulars(word);
  forms.insert(forms.begin(), word);
  for (const std::string& form : forms)
    if (const auto found = related_.find(form); found != related_.end())
      return {found->second.begin(), found->second.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                 found->second.size(), kMostNearest))};
  std::vector<std::pair<size_t, std::string>> near;  // a slip of the fingers: one edit in each three letters
  for (const std::string& subject : subjects_)
    for (const std::string& part : words_of(subject))
      if (const size_t distance = edit_distance(word, part); distance <= word.size() / 3)
        near.emplace_back(distance, subject);
  std::ranges::sort(near);
  std::vector<std::string> out;
  for (const auto& [distance, subject] : near)
    if (out.size() < kMostNearest && std::ranges::find(out, subject) == out.end()) out.push_back(subject);
  return out;
}

std::vector<UnknownWord> Vocabulary::unknown(std::string_view prompt) const {
  std::vector<UnknownWord> out;
  for (const std::string& word : words_of(prompt))
    if (!knows(word) && std::ranges::find(out, word, &UnknownWord::word) == out.end())
      out.push_back({word, nearest(word)});
  return out;
}

}  // namespace limn::text
