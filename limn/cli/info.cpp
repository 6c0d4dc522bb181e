// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <iostream>
#include <memory>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/cli/command.h"
#include "limn/datasets/training_record.h"
#include "limn/engine/described.h"
#include "limn/engine/repeat.h"
#include "limn/image/image.h"
#include "limn/models/identify.h"

namespace limn::cli {
namespace {

struct Options {
  std::string file, sources, model;
  int64_t count = 10;
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

/// Training pictures in one list, each with whom to name.
json::array print_likenesses(std::string_view title, const std::vector<datasets::Likeness>& found,
                             bool as_json) {
  json::array out;
  if (!as_json) std::cout << title << "\n";
  for (const auto& [likeness, row] : found) {
    if (as_json) {
      out.push_back({{"likeness", likeness},
                     {"caption", row.caption},
                     {"name", row.name},
                     {"source", row.source},
                     {"licence", row.licence},
                     {"attribution", row.attribution}});
      continue;
    }
    std::cout << "  " << std::lround(likeness * 100) << " %  " << row.caption << "\n         " << row.name
              << " of " << row.source << ", " << row.licence << ", " << row.attribution << "\n";
  }
  if (!as_json && found.empty()) std::cout << "  none\n";
  return out;
}

/// What a model learned from that is nearest to a prompt, or to a picture and to what it was drawn from.
int sources(const Options& options) {
  const auto record = datasets::TrainingRecord::read(engine::place_of(options.model));
  std::string prompt = options.sources;
  json::object out{{"trained_on", record.size()}};
  if (std::filesystem::is_regular_file(options.sources)) {
    const auto file = MappedFile::open(options.sources);
    const Image image = decode_image(file->bytes(), options.sources);
    out["looks"] = print_likenesses(
        "Training pictures that look alike:", record.nearest(image, options.count), options.json);
    std::string problem;
    const auto recipe = recipe_of(image_texts(file->bytes(), options.sources), problem);
    prompt = recipe ? Fields(recipe->fields, options.sources).string("prompt", "") : "";
  }
  if (!prompt.empty())
    out["words"] = print_likenesses("Training pictures whose captions are like \"" + prompt + "\":",
                                    record.nearest(prompt, options.count), options.json);
  if (options.json) std::cout << to_pretty_text(out);
  return 0;
}

int info(const Options& options) {
  if (!options.sources.empty()) return sources(options);
  if (options.file.empty())
    throw Error(ErrorCode::InvalidArgument, "file", "is missing", "name a model or a picture, or --sources");
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
  app.add_option("file", options->file, "model file or folder, adapter, embedding or picture");
  app.add_option(
      "--sources", options->sources,
      "PROMPT or picture: list the training pictures of the model that are nearest, with licence and author");
  app.add_option("--model", options->model, "whose training pictures (default: the embedded model's)");
  app.add_option("--count", options->count, "how many to list")->check(CLI::Range(1, 1000));
  app.add_flag("--json", options->json, "print JSON");
  return [options] { return info(*options); };
}

}  // namespace limn::cli
