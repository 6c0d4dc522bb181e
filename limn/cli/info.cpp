// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/cli/command.h"
#include "limn/engine/repeat.h"
#include "limn/image/image.h"
#include "limn/models/identify.h"

namespace limn::cli {
namespace {

struct Options {
  std::string file;
  bool json = false;
};

/// Pictures are told apart from tensor files by their first bytes.
bool is_picture(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<size_t>(bytes.size(), 12));
  return head.starts_with("\x89PNG") || head.starts_with("\xff\xd8\xff") ||
         (head.starts_with("RIFF") && head.substr(std::min<size_t>(head.size(), 8)) == "WEBP");
}

/// The settings inside, or nothing; damaged ones are said and do not hide the texts.
std::optional<provenance::Recipe> recipe_of(const std::vector<TextEntry>& texts, std::string& problem) {
  try {
    return provenance::read_recipe(texts);
  } catch (const Error& error) {
    problem = error.what();
    return {};
  }
}

int picture_info(const MappedFile& file, bool as_json) {
  const std::string where = file.path().string();
  const std::vector<TextEntry> texts = image_texts(file.bytes(), where);
  std::string problem;
  const auto recipe = recipe_of(texts, problem);
  if (as_json) {
    json::object out{{"kind", "picture"}, {"path", where}};
    for (const TextEntry& entry : texts) {
      if (entry.keyword == "limn" && problem.empty())
        out["limn"] = parse_json(entry.text, where + ": limn");
      else
        out[entry.keyword] = entry.text;
    }
    if (recipe) out["recipe"] = provenance::to_json(*recipe);
    if (!problem.empty()) out["problem"] = problem;
    std::cout << to_pretty_text(out);
    return 0;
  }
  if (recipe) std::cout << engine::describe(*recipe) << "\n";
  if (!problem.empty()) std::cout << "damaged settings: " << problem << "\n\n";
  if (texts.empty()) std::cout << where << ": a picture without texts inside\n";
  for (const TextEntry& entry : texts) std::cout << entry.keyword << ":\n" << entry.text << "\n\n";
  return 0;
}

int info(const Options& options) {
  if (!std::filesystem::is_directory(options.file)) {
    const auto file = MappedFile::open(options.file);
    if (is_picture(file->bytes())) return picture_info(*file, options.json);
  }
  const models::Identity identity = models::identify(options.file);
  std::cout << (options.json ? to_pretty_text(models::to_json(identity)) : models::describe(identity));
  return 0;
}

}  // namespace

std::function<int()> add_info(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("file", options->file, "model file or folder, adapter, embedding or picture")->required();
  app.add_flag("--json", options->json, "print JSON");
  return [options] { return info(*options); };
}

}  // namespace limn::cli
