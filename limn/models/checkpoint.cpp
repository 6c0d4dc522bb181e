// SPDX-License-Identifier: Apache-2.0
#include "limn/models/checkpoint.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/models/family.h"
#include "limn/models/identify.h"
#include "limn/models/key_map.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;

/// Components of a diffusers folder that hold weights, and the classes that limn has.
struct Component {
  std::string_view name, class_name;
};
constexpr Component kComponents[] = {
    {"unet", "UNet2DConditionModel"},
    {"vae", "Autoencoder"},  // KL or Tiny
    {"text_encoder", "CLIPTextModel"},
    {"text_encoder_2", "CLIPTextModelWithProjection"},
};
constexpr std::string_view kNotNeeded[] = {"safety_checker", "feature_extractor", "image_encoder"};

/// The class of a component as model_index.json lists it, ["library", "Class"]; empty for [null, null].
std::string class_of(const json::value& value, const std::string& where) {
  const json::array* pair = value.if_array();
  if (!pair || pair->size() != 2 || !((*pair)[1].is_string() || (*pair)[1].is_null()))
    throw Error(ErrorCode::BadFile, where, R"(expected ["library", "class"])");
  return (*pair)[1].is_null() ? "" : std::string((*pair)[1].get_string());
}

void drop_buffers(weights::Index& index) {
  std::erase_if(index.tensors, [](const auto& tensor) { return is_harmless_buffer(tensor.first); });
}

Part open_part(const fs::path& folder, std::string_view class_name) {
  if (!fs::is_directory(folder))
    throw Error(ErrorCode::NotFound, folder.string(),
                "model_index.json lists this component, but the folder is missing",
                "the download may be incomplete");
  Part part{read_json_object(folder / "config.json"), weights::open_component_folder(folder)};
  modernise_keys(class_name, part.tensors);
  drop_buffers(part.tensors);
  return part;
}

bool holds_tokenizer(const fs::path& folder) {
  return (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) ||
         fs::exists(folder / "tokenizer.json");
}

/// Opens what one entry of model_index.json names.
void open_component(Checkpoint& checkpoint, const std::string& name, const std::string& class_name) {
  const fs::path folder = checkpoint.path / name;
  if (name == "scheduler") {
    checkpoint.scheduler_config = read_json_object(folder / "scheduler_config.json");
  } else if (name == "tokenizer" || name == "tokenizer_2") {
    if (holds_tokenizer(folder))
      (name == "tokenizer" ? checkpoint.tokenizer : checkpoint.tokenizer_2) = folder;
    else
      checkpoint.warnings.push_back("no vocab.json and merges.txt in " + folder.string() +
                                    ": using the built-in tokenizer");
  } else if (std::ranges::find(kNotNeeded, name) != std::end(kNotNeeded)) {
    checkpoint.warnings.push_back("left out " + name + " (" + class_name + "), which limn does not use");
  } else {
    const Component* row = try_find_named<Component>(kComponents, name);
    if (!row || !class_name.starts_with(row->class_name))
      throw Error(ErrorCode::Unsupported, (checkpoint.path / "model_index.json").string() + ": " + name,
                  "limn has no " + class_name + " as part of a " +
                      Fields(checkpoint.model_index, "").string("_class_name", "pipeline"),
                  "limn runs folders of " + names_of(families()));
    checkpoint.parts[name] = open_part(folder, class_name);
  }
}

void require_all_parts(const Checkpoint& checkpoint) {
  const auto need = [&](const std::string& name, bool there) {
    if (!there)
      throw Error(ErrorCode::BadFile, checkpoint.path.string(), "the model has no " + name,
                  "a Stable Diffusion model needs unet, vae and text_encoder or text_encoder_2");
  };
  need("unet", checkpoint.parts.contains("unet"));
  need("vae", checkpoint.parts.contains("vae"));
  need("text_encoder",
       checkpoint.parts.contains("text_encoder") || checkpoint.parts.contains("text_encoder_2"));
}

/// The row that runs what was found, or an error that names it.
const Family& runnable(const Identity& identity, const fs::path& path) {
  const Family* family = try_find_named(families(), identity.family);
  if (family && identity.can_run) return *family;
  throw Error(identity.kind == "unknown" ? ErrorCode::BadFile : ErrorCode::Unsupported, path.string(),
              "this is " + summary_of(identity), identity.why_not);
}

void list_files(Checkpoint& checkpoint) {
  for (const auto& [name, part] : checkpoint.parts)
    checkpoint.files.insert(checkpoint.files.end(), part.tensors.files.begin(), part.tensors.files.end());
  std::ranges::sort(checkpoint.files);
  const auto rest = std::ranges::unique(checkpoint.files);
  checkpoint.files.erase(rest.begin(), rest.end());
}

Checkpoint open_folder(const fs::path& path) {
  const fs::path index_path = path / "model_index.json";
  if (!fs::exists(index_path))
    throw Error(
        ErrorCode::NotFound, index_path.string(), "a diffusers folder must hold this file",
        fs::is_directory(path / "unet") || fs::is_directory(path / "transformer")
            ? "the parts are here, but not the file that lists them: download the repository again, whole"
            : "give the folder that holds model_index.json, or a .safetensors or .ckpt file");
  Checkpoint checkpoint;
  checkpoint.path = path;
  checkpoint.layout = "diffusers folder";
  checkpoint.model_index = read_json_object(index_path);
  for (const auto& [key, value] : checkpoint.model_index) {
    const std::string name(key);
    if (!value.is_array()) continue;  // "_class_name", "requires_safety_checker", …
    const std::string class_name = class_of(value, index_path.string() + ": " + name);
    if (!class_name.empty()) open_component(checkpoint, name, class_name);
  }
  require_all_parts(checkpoint);
  const Fields index(checkpoint.model_index, index_path.string());
  checkpoint.requires_aesthetics_score = index.boolean("requires_aesthetics_score", false);
  checkpoint.force_zeros_for_empty_prompt = index.boolean("force_zeros_for_empty_prompt", true);
  Identity identity = identify_tensors(checkpoint.parts["unet"].tensors);
  identity.kind = "checkpoint";
  judge(identity);
  const Family& family = runnable(identity, path);
  checkpoint.family = family.name;
  if (checkpoint.scheduler_config.empty()) {
    checkpoint.scheduler_config = parse_json(family.scheduler_config, "scheduler").as_object();
    checkpoint.warnings.push_back("no scheduler in the folder: using the default of " +
                                  std::string(family.title));
  }
  return checkpoint;
}

/// Configurations that limn wrote into the file replace the derived ones.
void read_stored_configs(Checkpoint& checkpoint, const weights::Index& file) {
  const auto stored = file.metadata.find(kConfigsKey);
  if (stored == file.metadata.end()) return;
  const std::string where = file.origin + ": " + kConfigsKey;
  const json::value configs = parse_json(stored->second, where);
  if (!configs.is_object()) throw Error(ErrorCode::BadFile, where, "expected a JSON object");
  for (const auto& [name, config] : configs.get_object()) {
    if (!config.is_object())
      throw Error(ErrorCode::BadFile, where + ": " + std::string(name), "expected a JSON object");
    if (name == "scheduler")
      checkpoint.scheduler_config = config.get_object();
    else if (const auto part = checkpoint.parts.find(std::string(name)); part != checkpoint.parts.end())
      part->second.config = config.get_object();
  }
}

Checkpoint open_single_file(const fs::path& path) {
  const weights::Index file = weights::open_tensor_file(path);
  const Identity identity = identify_tensors(file);
  const Family& family = runnable(identity, path);
  Checkpoint checkpoint;
  checkpoint.path = path;
  checkpoint.layout = "single file";
  checkpoint.family = family.name;
  checkpoint.parts = split_single_file(family, file, checkpoint.warnings);
  checkpoint.requires_aesthetics_score = family.requires_aesthetics_score;
  checkpoint.scheduler_config = parse_json(family.scheduler_config, "scheduler").as_object();
  if (identity.prediction == "epsilon" || identity.prediction == "v_prediction")
    checkpoint.scheduler_config["prediction_type"] = identity.prediction;
  if (identity.prediction_basis.starts_with("guess"))
    checkpoint.warnings.push_back("prediction: " + identity.prediction + ", a " + identity.prediction_basis +
                                  "; --prediction says it for certain");
  if (family.adjust) family.adjust(file, checkpoint);
  read_stored_configs(checkpoint, file);
  return checkpoint;
}

}  // namespace

Checkpoint open_checkpoint(const fs::path& path) {
  if (!fs::exists(path)) throw Error(ErrorCode::NotFound, path.string(), "no such file or folder");
  Checkpoint checkpoint = fs::is_directory(path) ? open_folder(path) : open_single_file(path);
  list_files(checkpoint);
  return checkpoint;
}

}  // namespace limn::models
