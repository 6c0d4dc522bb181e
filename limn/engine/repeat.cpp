// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/repeat.h"

#include <algorithm>
#include <cctype>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/image/image.h"

namespace limn::engine {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kEndings[] = {".safetensors", ".ckpt", ".pt"};
constexpr size_t kShortestHash = 8;  // hexadecimal digits that are taken for a SHA-256's beginning

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_model_file(const fs::path& path) {
  const std::string ending = lower(path.extension().string());
  return std::ranges::find(kEndings, ending) != std::end(kEndings);
}

/// Model files and diffusers folders below the given folders; what cannot be read is passed over.
std::vector<fs::path> candidates_in(std::span<const fs::path> folders) {
  std::vector<fs::path> out;
  for (const fs::path& folder : folders) {
    if (!fs::is_directory(folder))
      throw Error(ErrorCode::NotFound, folder.string(), "no such folder", "--models takes folders");
    std::error_code error;
    const auto options = fs::directory_options::skip_permission_denied;
    for (fs::recursive_directory_iterator it(folder, options, error), end; !error && it != end;
         it.increment(error)) {
      if (it->is_directory() && fs::exists(it->path() / "model_index.json")) {
        out.push_back(it->path());
        it.disable_recursion_pending();
      } else if (it->is_regular_file() && is_model_file(it->path())) {
        out.push_back(it->path());
      }
    }
    if (fs::exists(folder / "model_index.json")) out.push_back(folder);
  }
  std::ranges::sort(out);
  return out;
}

/// The file whose SHA-256 stands for a model: its own, or the denoiser's weights in a folder.
fs::path hashed_file(const fs::path& candidate) {
  if (!fs::is_directory(candidate)) return candidate;
  std::error_code error;
  for (fs::directory_iterator it(candidate / "unet", error), end; !error && it != end; it.increment(error))
    if (is_model_file(it->path())) return it->path();
  return {};
}

std::string name_of(const fs::path& candidate) {
  return lower(fs::is_directory(candidate) ? candidate.filename().string() : candidate.stem().string());
}

/// SHA-256 of a safetensors file's tensors without its header, which A1111 gives for LoRAs; empty for other files.
std::string sha256_of_tensors(const fs::path& file) {
  if (lower(file.extension().string()) != ".safetensors") return {};
  const auto mapped = MappedFile::open(file);
  const auto bytes = mapped->bytes();
  uint64_t header = 0;
  if (bytes.size() < sizeof header) return {};
  for (size_t i = 0; i < sizeof header; ++i) header |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  return header > bytes.size() - sizeof header ? "" : sha256(bytes.subspan(sizeof header + header));
}

bool has_hash(const fs::path& candidate, const std::string& hash) {
  const fs::path file = hashed_file(candidate);
  return !file.empty() &&
         (sha256_of_file(file).starts_with(lower(hash)) || sha256_of_tensors(file).starts_with(lower(hash)));
}

struct Found {
  fs::path path;
  bool verified = false;
};
/// First those of the name, then all others, so that few files are read whole.
Found find_file(std::vector<fs::path> candidates, const std::string& name, const std::string& hash) {
  const std::string wanted = lower(name);
  std::ranges::stable_partition(candidates, [&](const fs::path& c) { return name_of(c) == wanted; });
  if (hash.size() >= kShortestHash)
    for (const fs::path& candidate : candidates)
      if (has_hash(candidate, hash)) return {candidate, true};
  if (!candidates.empty() && name_of(candidates.front()) == wanted) return {candidates.front(), false};
  return {};
}

std::string quoted(const std::string& name, const std::string& hash) {
  std::string out = "'" + name + "'";
  return hash.empty() ? out : out.append(" (").append(hash.substr(0, 10)).append(")");
}

/// A model that is given in the place of the picture's.
void check_model(const fs::path& given, Repeat& out) {
  const provenance::Recipe& recipe = out.recipe;
  const std::string called = quoted(recipe.model, recipe.model_hash);
  const std::string file = "model: " + given.string();
  out.model_found =
      recipe.model_hash.size() >= kShortestHash && fs::exists(given) && has_hash(given, recipe.model_hash);
  if (out.model_found)
    out.honoured.push_back(file);
  else if (recipe.model_hash.size() >= kShortestHash)
    out.problems.push_back(file + " is not the picture's " + called + ": its hash is another");
  else
    out.problems.push_back(file + ": whether it is the picture's " + called +
                           " cannot be told without a hash");
}

void find_model(const std::vector<fs::path>& candidates, Repeat& out) {
  const provenance::Recipe& recipe = out.recipe;
  const fs::path embedded = data_folder() / "embedded";
  if (recipe.program == "limn" && recipe.model == "limn embedded") {
    out.model_found = has_hash(embedded, recipe.model_hash);
    if (!out.model_found)
      out.problems.push_back("model: the embedded model is another one than the picture's");
    return;
  }
  if (recipe.model.empty() && recipe.model_hash.empty()) {
    out.problems.push_back("model: the picture does not say which; give it with --model");
    return;
  }
  const std::string called = quoted(recipe.model, recipe.model_hash);
  const Found found = find_file(candidates, recipe.model, recipe.model_hash);
  if (found.path.empty()) {
    out.problems.push_back("model: " + called +
                           " was not found; give it with --model, or its folder with --models");
    return;
  }
  out.request.model = found.path;
  out.model_found = found.verified;
  if (found.verified)
    out.honoured.push_back("model: " + found.path.string());
  else
    out.problems.push_back("model: " + called + ": found " + found.path.string() +
                           " by its name, but its hash is another or not known");
}

/// A second file that a picture names: its refiner or its VAE.
void find_part(const std::vector<fs::path>& candidates, const char* field, const std::string& name,
               const std::string& hash, fs::path& to, Repeat& out) {
  if (name.empty()) return;
  const Found found = find_file(candidates, name, hash);
  if (found.path.empty()) {
    out.problems.push_back(std::string(field) + ": " + quoted(name, hash) +
                           " was not found; give it with --" + field);
    return;
  }
  to = found.path;
  (found.verified ? out.honoured : out.problems)
      .push_back(std::string(field) + ": " + found.path.string() +
                 (found.verified ? "" : ", by its name alone"));
}

void find_loras(const std::vector<fs::path>& candidates, Repeat& out) {
  for (const provenance::RecipeLora& lora : out.recipe.loras) {
    const Found found = find_file(candidates, lora.name, lora.hash);
    if (found.path.empty()) {
      out.problems.push_back("lora: " + quoted(lora.name, lora.hash) + " was not found");
      continue;
    }
    out.request.loras.push_back({found.path, lora.weight});
    (found.verified || lora.hash.empty() ? out.honoured : out.problems)
        .push_back("lora: " + found.path.string() +
                   (found.verified || lora.hash.empty() ? "" : ", by its name alone"));
  }
}

/// Integers that were written as 20.0.
json::value tidied(const RequestField& field, const json::value& value) {
  const bool whole =
      value.is_double() &&
      value.get_double() ==
          static_cast<double>(static_cast<int64_t>(std::clamp(value.get_double(), -1e15, 1e15)));
  if (whole && (field.kind == FieldKind::Integer || field.kind == FieldKind::Seed))
    return static_cast<int64_t>(value.get_double());
  return value;
}

}  // namespace

Repeat repeat_picture(const fs::path& picture, std::span<const fs::path> folders,
                      const json::object& changes) {
  const auto file = MappedFile::open(picture);
  const auto recipe = provenance::read_recipe(image_texts(file->bytes(), picture.string()));
  if (!recipe)
    throw Error(ErrorCode::NotFound, picture.string(), "holds no settings that limn can read",
                "programs often leave them out of pictures that were edited or sent on");
  Repeat out;
  out.recipe = *recipe;
  out.request.compat = recipe->compat;
  out.problems = recipe->notes;
  for (const auto& [key, value] : recipe->fields) {
    const std::string name(key);
    const RequestField* field = try_find_named(request_fields(), name);
    if (!field) {
      out.problems.push_back(name + ": limn has no such setting");
      continue;
    }
    try {
      set_field(out.request, *field, tidied(*field, value));
      if (const json::value* change = changes.if_contains(key))
        out.changed.push_back(name + ": " + to_text(*change) + ", was " + to_text(value));
      else
        out.honoured.push_back(name + ": " + to_text(value));
    } catch (const Error& error) {
      out.problems.push_back(name + ": " + error.problem());
    }
  }
  for (const auto& [key, value] : recipe->unused) out.problems.push_back(key + ": " + value + ": not used");
  const std::vector<fs::path> candidates = candidates_in(folders);
  if (const json::value* model = changes.if_contains("model"))
    check_model(std::string(model->as_string()), out);
  else
    find_model(candidates, out);
  if (!changes.contains("refiner"))
    find_part(candidates, "refiner", recipe->refiner, recipe->refiner_hash, out.request.refiner, out);
  if (!changes.contains("vae"))
    find_part(candidates, "vae", recipe->vae, recipe->vae_hash, out.request.vae, out);
  find_loras(candidates, out);
  return out;
}

std::string describe(const provenance::Recipe& recipe) {
  std::string out = "made by " + recipe.program;
  if (!recipe.version.empty()) out.append(" (").append(recipe.version).append(")");
  out += "\n";
  const auto line = [&](const std::string& name, const std::string& value) {
    out.append("  ").append(name).append(": ").append(value).append("\n");
  };
  if (!recipe.model.empty()) line("model", quoted(recipe.model, recipe.model_hash));
  if (!recipe.refiner.empty()) line("refiner", quoted(recipe.refiner, recipe.refiner_hash));
  if (!recipe.vae.empty()) line("vae", quoted(recipe.vae, recipe.vae_hash));
  for (const auto& [key, value] : recipe.fields)
    line(std::string(key), value.is_string() ? std::string(value.get_string()) : to_text(value));
  for (const provenance::RecipeLora& lora : recipe.loras)
    line("lora", quoted(lora.name, lora.hash) + " at " + to_text(json::value(lora.weight)));
  for (const auto& [key, value] : recipe.unused) line(key, value + " (not used)");
  for (const std::string& note : recipe.notes) line("note", note);
  return out;
}

}  // namespace limn::engine
