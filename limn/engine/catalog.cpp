// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/catalog.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/sha256.h"
#include "limn/engine/described.h"
#include "limn/image/unicode.h"
#include "limn/models/identify.h"
#include "limn/text/clip_tokenizer.h"
#include "limn/weights/index.h"

namespace limn::engine {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kEndings[] = {".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin"};
constexpr int kMostDepth = 4;
constexpr size_t kLargestCard = 1 << 20;
constexpr const char* kEmbedded = "embedded";

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_weight_file(const fs::path& path) {
  return std::ranges::find(kEndings, lower(path.extension().string())) != std::end(kEndings);
}

/// What follows "key:" in a line of YAML, without quotes; empty: another line.
std::string yaml_value(std::string_view line, std::string_view key) {
  constexpr std::string_view kAround = " \t\r\"'";
  if (!line.starts_with(key) || !line.substr(key.size()).starts_with(":")) return {};
  const std::string_view rest = line.substr(key.size() + 1);
  const size_t first = rest.find_first_not_of(kAround);
  if (first == std::string_view::npos) return {};
  return std::string(rest.substr(first, rest.find_last_not_of(kAround) - first + 1));
}

/// The text of `license` (of `license_name`, where that is "other") in a card's YAML front matter; empty: none.
std::string licence_of_card(const fs::path& card) {
  std::error_code error;
  if (!fs::is_regular_file(card, error) || fs::file_size(card, error) > kLargestCard || error) return {};
  std::istringstream text(read_file(card, kLargestCard));
  std::string line, licence, name;
  if (!std::getline(text, line) || !line.starts_with("---")) return {};
  while (std::getline(text, line) && !line.starts_with("---")) {
    if (licence.empty()) licence = yaml_value(line, "license");
    if (name.empty()) name = yaml_value(line, "license_name");
  }
  return licence == "other" && !name.empty() ? name : licence;
}

std::optional<std::string> licence_of(const models::Identity& identity, const fs::path& path) {
  for (const char* key : {"modelspec.license", "license"}) {
    const auto found = identity.metadata.find(key);
    if (found != identity.metadata.end() && !found->second.empty()) return found->second;
  }
  const fs::path card = fs::is_directory(path) ? path / "README.md" : fs::path(path).replace_extension(".md");
  std::string licence = licence_of_card(card);
  if (licence.empty() || !is_plain_utf8(licence)) return {};
  return licence;
}

int64_t bytes_of(const models::Identity& identity) {
  if (!fs::is_directory(identity.path)) return static_cast<int64_t>(fs::file_size(identity.path));
  int64_t bytes = 0;
  for (const models::PartSize& part : identity.parts) bytes += part.bytes;
  return bytes;
}

/// @throws Error for what is no model
CatalogEntry entry_of(const fs::path& path) {
  const models::Identity identity = models::identify(path);
  if (identity.kind == "unknown")
    throw Error(ErrorCode::Unsupported, path.string(), "is " + models::summary_of(identity));
  if (identity.parts.empty()) throw Error(ErrorCode::BadFile, path.string(), "holds no weights");
  CatalogEntry out{.path = path,
                   .kind = identity.kind,
                   .family = identity.family,
                   .title = identity.title,
                   .variant = identity.variant,
                   .bytes = bytes_of(identity),
                   .licence = licence_of(identity, path)};
  if (identity.kind != "checkpoint") return out;
  out.why_not = identity.why_not;
  if (!identity.can_run) return out;
  const Described described = describe_model(path);
  out.default_size = described.native_size();
  out.default_steps = described.defaults.num_inference_steps;
  out.default_guidance_scale = described.defaults.guidance_scale;
  return out;
}

/// Walks folders and lists what it finds.
class Finder {
 public:
  Finder() {
    const fs::path place = data_folder() / kEmbedded;
    if (!fs::exists(place)) return;
    CatalogEntry embedded = entry_of(place);
    embedded.path.clear();
    embedded.licence = "Apache-2.0";  // data/embedded/README.md
    add(kEmbedded, std::move(embedded));
  }

  void find_in(const fs::path& folder) {
    if (!fs::is_directory(folder)) throw Error(ErrorCode::NotFound, folder.string(), "no such folder");
    root_ = fs::canonical(folder);
    if (fs::exists(root_ / "model_index.json"))
      find(root_, root_.filename().string());
    else
      walk(root_, "", 0);
  }

  Catalog take() { return std::move(found_); }

 private:
  void walk(const fs::path& folder, const std::string& prefix, int depth) {
    std::vector<fs::path> paths;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      paths.push_back(it->path());
    std::ranges::sort(paths);
    for (const fs::path& path : paths) {
      const std::string file = path.filename().string(), name = prefix + file;
      if (file.starts_with(".")) continue;
      const bool is_link = fs::is_symlink(path, error), is_folder = fs::is_directory(path, error);
      if (!is_folder && !is_weight_file(path)) continue;
      if (is_link && leads_out(path)) {
        tell(path, name, "is a link that leads out of the folder");
        continue;
      }
      if (!is_folder)
        find(path, name);
      else if (fs::exists(path / "model_index.json", error) || is_component(path))
        find(path, name);
      else if (!is_link && depth < kMostDepth)
        walk(path, name + "/", depth + 1);
    }
  }

  /// A part of a model in diffusers' layout: its weights mean little without config.json.
  static bool is_component(const fs::path& folder) {
    std::error_code error;
    if (!fs::exists(folder / "config.json", error)) return false;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      if (it->path().filename().string().starts_with("diffusion_pytorch_model")) return true;
    return false;
  }

  bool leads_out(const fs::path& link) const {
    std::error_code error;
    const fs::path real = fs::canonical(link, error);
    return error || std::ranges::mismatch(root_, real).in1 != root_.end();
  }

  bool holds_link_out(const fs::path& folder) const {
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      if (it->is_symlink(error) && leads_out(it->path())) return true;
    return false;
  }

  void find(const fs::path& path, const std::string& name) {
    try {
      if (!is_plain_utf8(name)) throw Error(ErrorCode::BadFile, "", "its name is not UTF-8");
      if (fs::is_directory(path) && holds_link_out(path))
        throw Error(ErrorCode::Refused, "", "holds a link that leads out of the folder");
      add(name, entry_of(path));
    } catch (const Error& error) {
      tell(path, name, error.problem());
    } catch (const fs::filesystem_error& error) {  // gone or closed meanwhile
      tell(path, name, error.code().message());
    }
  }

  void add(const std::string& name, CatalogEntry entry) {
    entry.name = name;
    for (int number = 2; !names_.insert(entry.name).second; ++number)
      entry.name = name + " (" + std::to_string(number) + ")";
    found_.entries.push_back(std::move(entry));
  }

  void tell(const fs::path& path, const std::string& name, const std::string& problem) {
    found_.problems.push_back({is_plain_utf8(name) ? name : "?", path, problem});
  }

  fs::path root_;
  std::set<std::string> names_;
  Catalog found_;
};

/// A model's first tokenizer. The last one is kept: reading it takes a hundred times as long as counting with it.
std::shared_ptr<const text::CLIPTokenizer> tokenizer_of(const fs::path& model) {
  static std::mutex mutex;
  static fs::path last_model;
  static std::shared_ptr<const text::CLIPTokenizer> last;
  const std::lock_guard lock(mutex);
  if (last && last_model == model) return last;
  const models::Checkpoint checkpoint = models::open_checkpoint(model);
  const fs::path& folder =
      checkpoint.parts.contains("text_encoder") ? checkpoint.tokenizer : checkpoint.tokenizer_2;
  last = std::make_shared<const text::CLIPTokenizer>(
      folder.empty() ? text::CLIPTokenizer::built_in() : text::CLIPTokenizer::from_folder(folder));
  last_model = model;
  return last;
}

}  // namespace

Catalog catalog_of(std::span<const fs::path> folders) {
  Finder finder;
  for (const fs::path& folder : folders) finder.find_in(folder);
  return finder.take();
}

std::string hash_of(const CatalogEntry& entry, const std::stop_token& stop) {
  const fs::path path = entry.path.empty() ? data_folder() / kEmbedded : entry.path;
  if (!fs::is_directory(path)) return sha256_of_file(path, stop);
  fs::path part = path;
  for (const char* name : {"unet", "transformer"})
    if (fs::is_directory(path / name)) part = path / name;
  return sha256_of_file(weights::open_component_folder(part).files.front(), stop);
}

PromptLength prompt_length(std::string_view prompt, const fs::path& model) {
  const auto tokenizer = tokenizer_of(place_of(model));
  PromptLength out;
  out.limit = tokenizer->max_length() - 2;
  out.tokens = static_cast<int64_t>(tokenizer->encode(prompt).size());
  out.chunks = std::max<int64_t>((out.tokens + out.limit - 1) / out.limit, 1);
  return out;
}

}  // namespace limn::engine
