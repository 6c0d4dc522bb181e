// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>

#include "limn/base/file.h"
#include "limn/datasets/sources.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

using Found = std::optional<std::string>;

constexpr size_t kMostFile = 1 << 20;
constexpr int kLevels = 8;  // folders above the picture's that are looked into

bool is_word_character(std::string_view text, size_t at) {
  return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at]));
}

bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1))
    if ((at == 0 || !is_word_character(text, at - 1)) && !is_word_character(text, at + word.size()))
      return true;
  return false;
}

/// `key`, then punctuation (and HTML's `content`), then the word `value`: JSON, XML, HTML and headers alike.
bool says(std::string_view text, std::string_view key, std::string_view value) {
  const auto skip = [](std::string_view rest) {
    return rest.substr(std::min(rest.find_first_not_of("=\":>' "), rest.size()));
  };
  for (size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    std::string_view rest = skip(text.substr(at + key.size()));
    if (rest.starts_with("content")) rest = skip(rest.substr(7));
    if (rest.starts_with(value) && !is_word_character(rest, value.size())) return true;
  }
  return false;
}

/// The rests of the lines that `key` stands in.
std::vector<std::string_view> lines_after(std::string_view text, std::string_view key) {
  std::vector<std::string_view> out;
  for (size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    const std::string_view rest = text.substr(at + key.size());
    out.push_back(rest.substr(0, rest.find_first_of("\r\n")));
  }
  return out;
}

/// The file that reserves, "folder/robots.txt", of those that lie in the picture's folder and above it.
Found above(const Said& said, std::string_view name, const std::function<bool(std::string_view)>& reserves) {
  for (const auto& [path, text] : said.above)
    if (path.ends_with(name) && reserves(text)) return path;
  return {};
}

Found noai(const Said& said) {
  for (const char* word : {"noai", "noimageai"})
    if (has_word(said.words, word)) return word;
  return {};
}

Found tdmrep(const Said& said) {
  if (says(said.everything, "tdm:reservation", "1")) return "tdm:reservation in its XMP";
  if (says(said.words, "tdm-reservation", "1")) return "tdm-reservation beside it";
  return above(said, "tdmrep.json", [](auto text) { return says(text, "tdm-reservation", "1"); });
}

bool forbids_training(std::string_view text) {
  for (const std::string_view line : lines_after(text, "content-usage")) {
    std::string dense(line);
    std::erase(dense, ' ');
    if (has_word(dense, "train-ai=n")) return true;
  }
  return false;
}

Found aipref(const Said& said) {
  if (forbids_training(said.words)) return "Content-Usage beside it";
  if (const Found file = above(said, "robots.txt", forbids_training)) return file;
  return above(said, "ai.txt", forbids_training);
}

Found spawning(const Said& said) {
  return above(said, "ai.txt", [&](std::string_view text) {
    for (std::string_view value : lines_after(text, "disallow:")) {
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      if (value == "/" || value == "*") return true;
      if (value.starts_with('*') && value.substr(1) == said.extension) return true;
    }
    return false;
  });
}

Found c2pa(const Said& said) {
  constexpr size_t kNear = 4096;  // the assertion's own box
  const std::string_view bytes = said.everything;
  for (const char* assertion : {"cawg.training-mining", "c2pa.training-mining"})
    for (size_t at = bytes.find(assertion); at != std::string_view::npos; at = bytes.find(assertion, at + 1))
      if (bytes.substr(at, kNear).find("notallowed") != std::string_view::npos) return assertion;
  return {};
}

Found plus(const Said& said) {
  const std::string_view bytes = said.everything;
  const size_t at = bytes.find("dmi-prohibited");
  if (at == std::string_view::npos || bytes.find("datamining") == std::string_view::npos) return {};
  std::string value(bytes.substr(at, 64));
  value.resize(std::min(value.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), value.size()));
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value;
}

constexpr OptOutSignal kSignals[] = {
    {"noai", "the robots meta words noai and noimageai", noai},
    {"TDMRep", "W3C TDM Reservation Protocol 2024: tdmrep.json, headers, HTML, XMP", tdmrep},
    {"AIPREF", "IETF aipref drafts: Content-Usage: train-ai=n", aipref},
    {"ai.txt", "Spawning's ai.txt: Disallow", spawning},
    {"C2PA", "C2PA 1.4 and CAWG 1.1, training and data mining assertion", c2pa},
    {"PLUS", "IPTC Photo Metadata 2023.1, plus:DataMining", plus},
};

Said said_of(const Item& item, std::span<const TextEntry> texts) {
  Said said;
  said.extension = item.extension;
  std::string words = to_text(item.fields) + "\n" + item.caption.value_or("") + "\n" + item.notes;
  for (const TextEntry& entry : texts) words.append("\n" + entry.keyword + ": " + entry.text);
  said.words = lower_case(words);
  said.everything =
      said.words + lower_case({reinterpret_cast<const char*>(item.bytes.data()), item.bytes.size()});
  fs::path folder = item.folder;
  for (int level = 0; level < kLevels && !folder.empty(); ++level) {
    for (const char* name : {"tdmrep.json", ".well-known/tdmrep.json", "robots.txt", "ai.txt"})
      if (std::error_code none;
          fs::is_regular_file(folder / name, none) && fs::file_size(folder / name, none) <= kMostFile)
        said.above.emplace_back((folder.filename() / name).string(),
                                lower_case(read_file(folder / name, kMostFile)));
    if (folder == folder.parent_path()) break;
    folder = folder.parent_path();
  }
  return said;
}

}  // namespace

std::span<const OptOutSignal> opt_out_signals() { return kSignals; }

std::optional<std::string> find_opt_out(const Item& item, std::span<const TextEntry> texts) {
  const Said said = said_of(item, texts);
  for (const OptOutSignal& signal : opt_out_signals())
    if (const auto evidence = signal.find(said)) return std::string(signal.name) + ": " + *evidence;
  return {};
}

}  // namespace limn::datasets
