// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/sources.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

using Found = std::optional<std::string>;
using Texts = std::vector<std::string>;

constexpr size_t kMostFile = 1 << 20;

std::string_view bytes_of(const Item& item) {
  return {reinterpret_cast<const char*>(item.bytes.data()), item.bytes.size()};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool has_word(std::string_view text, std::string_view word) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !is_letter(text[at - 1])) && (end == text.size() || !is_letter(text[end]))) return true;
  }
  return false;
}

/// Files of this name in the picture's folder and those above it, nearest first, as text.
std::vector<std::pair<std::string, std::string>> files_above(const Item& item,
                                                             std::initializer_list<const char*> names) {
  std::vector<std::pair<std::string, std::string>> out;
  constexpr int kLevels = 8;
  fs::path folder = item.folder;
  for (int level = 0; level < kLevels && !folder.empty(); ++level) {
    for (const char* name : names)
      if (std::error_code none;
          fs::is_regular_file(folder / name, none) && fs::file_size(folder / name, none) <= kMostFile)
        out.emplace_back((folder / name).string(), lower(read_file(folder / name, kMostFile)));
    if (folder == folder.parent_path()) break;
    folder = folder.parent_path();
  }
  return out;
}

/// `key`, then up to three of `=":> ` and then `value`.
bool says(std::string_view text, std::string_view key, std::string_view value) {
  for (size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    size_t from = at + key.size();
    for (int i = 0; i < 4 && from < text.size() &&
                    std::string_view("=\":>' ").find(text[from]) != std::string_view::npos;
         ++i)
      ++from;
    if (text.substr(from).starts_with(value)) return true;
  }
  return false;
}

Found noai(const Item& item, const Texts& texts) {
  std::string beside = lower(to_text(item.fields)) + (item.caption ? lower(*item.caption) : "");
  for (const std::string& text : texts) beside.append("\n").append(lower(text));
  for (const char* word : {"noai", "noimageai"})
    if (has_word(beside, word)) return word;
  return {};
}

Found tdmrep(const Item& item, const Texts&) {
  if (says(bytes_of(item), "tdm:reservation", "1")) return "tdm:reservation in the picture's XMP";
  if (says(lower(to_text(item.fields)), "tdm-reservation", "1")) return "tdm-reservation in the sidecar";
  for (const auto& [name, text] : files_above(item, {"tdmrep.json", ".well-known/tdmrep.json"}))
    if (says(text, "tdm-reservation", "1")) return name;
  return {};
}

Found aipref(const Item& item, const Texts&) {
  if (says(lower(to_text(item.fields)), "content-usage", "train-ai=n")) return "Content-Usage in the sidecar";
  for (const auto& [name, text] : files_above(item, {"robots.txt", "ai.txt"}))
    if (says(text, "content-usage", "train-ai=n")) return name;
  return {};
}

Found c2pa(const Item& item, const Texts&) {
  const std::string_view bytes = bytes_of(item);
  for (const char* assertion : {"cawg.training-mining", "c2pa.training-mining"}) {
    constexpr size_t kNear = 4096;  // the assertion's own box
    for (size_t at = bytes.find(assertion); at != std::string_view::npos; at = bytes.find(assertion, at + 1))
      if (bytes.substr(at, kNear).find("notAllowed") != std::string_view::npos) return assertion;
  }
  return {};
}

Found plus(const Item& item, const Texts&) {
  const std::string_view bytes = bytes_of(item);
  if (bytes.find("DataMining") == std::string_view::npos) return {};
  for (const char* value :
       {"DMI-PROHIBITED-AIMLTRAINING", "DMI-PROHIBITED-GENAIMLTRAINING",
        "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", "DMI-PROHIBITED-SEECONSTRAINT", "DMI-PROHIBITED"})
    if (bytes.find(value) != std::string_view::npos) return value;
  return {};
}

constexpr OptOutSignal kSignals[] = {
    {"noai", "the robots meta words noai and noimageai", noai},
    {"TDMRep", "W3C TDM Reservation Protocol 2024, §5 and §7", tdmrep},
    {"AIPREF", "IETF aipref drafts: Content-Usage: train-ai=n", aipref},
    {"C2PA", "C2PA 1.4, §18.21, and CAWG 1.1 training and data mining assertion", c2pa},
    {"PLUS", "IPTC Photo Metadata 2023.1, plus:DataMining", plus},
};

}  // namespace

std::span<const OptOutSignal> opt_out_signals() { return kSignals; }

std::optional<std::string> find_opt_out(const Item& item, const std::vector<std::string>& texts) {
  for (const OptOutSignal& signal : opt_out_signals())
    if (const auto evidence = signal.find(item, texts)) return std::string(signal.name) + ": " + *evidence;
  return {};
}

}  // namespace limn::datasets
