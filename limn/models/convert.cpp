// SPDX-License-Identifier: Apache-2.0
#include "limn/models/convert.h"

#include <algorithm>

#include <ATen/ops/isinf.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/models/checkpoint.h"
#include "limn/models/config_diff.h"
#include "limn/models/family.h"
#include "limn/text/clip_tokenizer.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;
using Tensors = std::map<std::string, weights::TensorEntry>;
using Warnings = std::vector<std::string>;

constexpr weights::DType kTargets[] = {weights::DType::F64, weights::DType::F32, weights::DType::F16,
                                       weights::DType::BF16};
/// Endings that promise a format limn does not write.
constexpr std::string_view kOtherEndings[] = {".ckpt", ".pt",   ".pth",  ".bin",
                                              ".gguf", ".onnx", ".json", ".zip"};
constexpr std::string_view kTokenizerFiles[] = {"vocab.json", "merges.txt", "tokenizer.json",
                                                "tokenizer_config.json", "special_tokens_map.json"};
constexpr size_t kMaxTokenizerFile = 64u << 20;
constexpr char kSingleFileEnding[] = ".safetensors";
constexpr int64_t kInpaintChannels = 9, kInstructChannels = 8;
constexpr char kDiffusersVersion[] = "0.42.1";

/// Where a part lies in a diffusers folder, and its classes' library.
struct PartFile {
  std::string_view name, stem, library, class_name;
};
constexpr PartFile kPartFiles[] = {
    {"text_encoder", "model", "transformers", "CLIPTextModel"},
    {"text_encoder_2", "model", "transformers", "CLIPTextModelWithProjection"},
    {"unet", "diffusion_pytorch_model", "diffusers", "UNet2DConditionModel"},
    {"vae", "diffusion_pytorch_model", "diffusers", "AutoencoderKL"},
};

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

void check_dtype(std::optional<weights::DType> dtype) {
  if (dtype && std::ranges::find(kTargets, *dtype) == std::end(kTargets))
    throw Error(ErrorCode::InvalidArgument, "dtype",
                "cannot convert to " + std::string(weights::info_of(*dtype).long_name),
                "one of float64, float32, float16, bfloat16");
}

/// The tensors in the wanted element type; those that are not floating-point numbers, or have it already, as
/// they are.
Tensors cast(const Tensors& tensors, std::optional<weights::DType> dtype, Warnings& warnings) {
  if (!dtype) return tensors;
  Tensors converted;
  std::vector<std::string> overflowed;
  for (const auto& [key, entry] : tensors) {
    if (!weights::info_of(entry.dtype).floating || entry.dtype == *dtype) {
      converted[key] = entry;
      continue;
    }
    const at::Tensor source = weights::to_tensor(entry);
    const at::Tensor target = source.to(weights::scalar_type_of(*dtype));
    if (at::isinf(target).sum().item<int64_t>() != at::isinf(source.to(at::kFloat)).sum().item<int64_t>())
      overflowed.push_back(key);
    converted[key] = weights::to_entry(target);
  }
  if (!overflowed.empty())
    warnings.push_back("values too large for " + std::string(weights::info_of(*dtype).long_name) +
                       " became infinite in: " + joined(overflowed));
  return converted;
}

using Metadata = std::map<std::string, std::string>;

/// What diffusers and transformers ask of a file's metadata, besides what was there.
Metadata with_format(Metadata metadata) {
  metadata.emplace("format", "pt");
  metadata.erase(kConfigsKey);
  return metadata;
}

Metadata metadata_of(const weights::Index& index) {
  return with_format(index.format.starts_with("pickle") ? Metadata{} : index.metadata);
}

void write_json(const fs::path& path, const json::object& object) {
  const std::string text = to_pretty_text(object) + "\n";
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

/// A folder under a temporary name, which takes its place only when it is complete.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& place) : place_(place) {
    std::string name = place.filename().string();
    name.append(".").append(std::to_string(getpid())).append(".tmp");
    temporary_ = place.parent_path() / name;
    std::error_code error;
    fs::remove_all(temporary_, error);
    fs::create_directories(temporary_, error);
    if (error)
      throw Error(ErrorCode::InvalidArgument, place.string(), "cannot be written: " + error.message());
  }
  ~NewFolder() {
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const fs::path& path() const { return temporary_; }

  void take_place() {
    std::error_code error;
    const fs::path old = temporary_.string() + ".old";
    if (fs::exists(place_)) fs::rename(place_, old, error);
    if (!error) fs::rename(temporary_, place_, error);
    if (error)
      throw Error(ErrorCode::InvalidArgument, place_.string(), "cannot be written: " + error.message());
    fs::remove_all(old, error);
  }

 private:
  fs::path place_, temporary_;
};

/// A configuration that says the element type says the new one.
json::object with_dtype(json::object config, std::optional<weights::DType> dtype) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (dtype && config.contains(key)) config[key] = weights::info_of(*dtype).long_name;
  return config;
}

/// The source's tokenizer; the built-in one, which is CLIP's, for a single file.
void write_tokenizer(const fs::path& tokenizer, text::Padding padding, const fs::path& folder) {
  fs::create_directories(folder);
  if (tokenizer.empty()) return text::write_built_in_tokenizer(folder, padding);
  for (std::string_view name : kTokenizerFiles)
    if (fs::exists(tokenizer / name)) {
      const std::string bytes = read_file(tokenizer / name, kMaxTokenizerFile);
      write_file_atomically(folder / name, std::as_bytes(std::span(bytes)));
    }
}

/// A part's class: as its configuration says, else the usual one.
std::string class_of(const PartFile& row, const Part& part) {
  return Fields(part.config, std::string(row.name)).string("_class_name", row.class_name);
}

/// diffusers' pipeline for the U-Net's inputs.
std::string pipeline_class(const Family& family, const Checkpoint& checkpoint) {
  const json::object& unet = checkpoint.parts.at("unet").config;
  const int64_t channels = Fields(unet, "unet").integer("in_channels", 4);
  const bool xl = checkpoint.parts.contains("text_encoder_2");
  if (unet.contains("time_cond_proj_dim") && !unet.at("time_cond_proj_dim").is_null() && !xl)
    return "LatentConsistencyModelPipeline";
  if (channels == kInpaintChannels)
    return xl ? "StableDiffusionXLInpaintPipeline" : "StableDiffusionInpaintPipeline";
  if (channels == kInstructChannels)
    return xl ? "StableDiffusionXLInstructPix2PixPipeline" : "StableDiffusionInstructPix2PixPipeline";
  return std::string(family.pipeline_class);
}

json::object model_index(const Family& family, const Checkpoint& checkpoint) {
  json::object index{{"_class_name", pipeline_class(family, checkpoint)},
                     {"_diffusers_version", kDiffusersVersion}};
  const bool xl = checkpoint.parts.contains("text_encoder_2");
  for (const char* absent : {"feature_extractor", "image_encoder"})
    index[absent] = json::array{nullptr, nullptr};
  if (xl) {
    index["force_zeros_for_empty_prompt"] = checkpoint.force_zeros_for_empty_prompt;
    if (checkpoint.requires_aesthetics_score) index["requires_aesthetics_score"] = true;
  } else {
    index["safety_checker"] = json::array{nullptr, nullptr};
    index["requires_safety_checker"] = false;
  }
  index["scheduler"] = {
      "diffusers", Fields(checkpoint.scheduler_config, "scheduler").string("_class_name", "PNDMScheduler")};
  for (const PartFile& row : kPartFiles) {
    const auto part = checkpoint.parts.find(std::string(row.name));
    if (part != checkpoint.parts.end())
      index[row.name] = {row.library, class_of(row, part->second)};
    else if (xl)
      index[row.name] = json::array{nullptr, nullptr};
  }
  const json::array tokenizer{"transformers", "CLIPTokenizer"}, none{nullptr, nullptr};
  index["tokenizer"] = checkpoint.parts.contains("text_encoder") ? tokenizer : none;
  if (xl) index["tokenizer_2"] = tokenizer;
  return index;
}

void write_folder(const Checkpoint& checkpoint, const fs::path& out, const ConvertOptions& options,
                  Warnings& warnings) {
  const Family& family = find_named(families(), checkpoint.family, "family");
  NewFolder folder(out);
  for (const PartFile& row : kPartFiles) {
    const auto found = checkpoint.parts.find(std::string(row.name));
    if (found == checkpoint.parts.end()) continue;
    const Part& part = found->second;
    write_json(folder.path() / row.name / "config.json", with_dtype(part.config, options.dtype));
    write_safetensors(folder.path() / row.name / (std::string(row.stem) + kSingleFileEnding),
                      cast(part.tensors.tensors, options.dtype, warnings), metadata_of(part.tensors));
  }
  write_json(folder.path() / "scheduler" / "scheduler_config.json", checkpoint.scheduler_config);
  if (checkpoint.parts.contains("text_encoder"))
    write_tokenizer(checkpoint.tokenizer, family.padding, folder.path() / "tokenizer");
  if (checkpoint.parts.contains("text_encoder_2"))
    write_tokenizer(checkpoint.tokenizer_2, text::Padding::Zero, folder.path() / "tokenizer_2");
  write_json(folder.path() / "model_index.json", model_index(family, checkpoint));
  folder.take_place();
}

/// Configurations of `checkpoint` that a reader of the single file would not derive, as JSON text; empty if
/// none.
std::string configs_to_store(const Family& family, const Checkpoint& checkpoint, const weights::Index& file,
                             Warnings& warnings) {
  json::object configs;
  const auto compare = [&](const std::string& name, const std::string& class_name, const json::object& ours,
                           const json::object& derived) {
    const auto fields = differing_fields(class_name, ours, derived);
    if (fields.empty()) return;
    configs[name] = ours;
    warnings.push_back(name + ": " + joined(fields) +
                       " differ from what a single file implies; limn keeps them in the "
                       "file's metadata, other programs will not see them");
  };
  Warnings unused;
  const auto derived = split_single_file(family, file, unused);
  for (const PartFile& row : kPartFiles) {
    const std::string name(row.name);
    const auto part = checkpoint.parts.find(name);
    if (part != checkpoint.parts.end())
      compare(name, class_of(row, part->second), part->second.config, derived.at(name).config);
  }
  compare("scheduler", Fields(checkpoint.scheduler_config, "scheduler").string("_class_name", ""),
          checkpoint.scheduler_config, parse_json(family.scheduler_config, "scheduler").as_object());
  return configs.empty() ? "" : to_text(configs);
}

/// The tokenizer has no place in a single file; readers take CLIP's own.
void warn_of_tokenizer(const Checkpoint& checkpoint, Warnings& warnings) {
  const auto encoder = checkpoint.parts.find("text_encoder");
  if (encoder == checkpoint.parts.end()) return;
  const auto& vocabulary = encoder->second.tensors.shape_of("text_model.embeddings.token_embedding.weight");
  constexpr int64_t kClipVocabulary = 49408;
  if (!checkpoint.tokenizer.empty() && (vocabulary.empty() || vocabulary[0] != kClipVocabulary))
    warnings.push_back("the tokenizer is not CLIP's own and has no place in a single file: keep " +
                       checkpoint.tokenizer.string());
}

void write_single_file(const Checkpoint& checkpoint, const fs::path& out, const ConvertOptions& options,
                       Warnings& warnings) {
  const Family& family = find_named(families(), checkpoint.family, "family");
  weights::Index file;
  file.origin = out.string();
  file.tensors = join_single_file(family, checkpoint.parts);
  Metadata metadata = metadata_of(checkpoint.parts.at("unet").tensors);
  const std::string configs = configs_to_store(family, checkpoint, file, warnings);
  if (!configs.empty()) metadata[kConfigsKey] = configs;
  warn_of_tokenizer(checkpoint, warnings);
  weights::write_safetensors(out, cast(file.tensors, options.dtype, warnings), metadata);
}

void rewrite_file(const fs::path& in, const fs::path& out, const ConvertOptions& options,
                  Warnings& warnings) {
  const weights::Index file = weights::open_tensor_file(in);
  Metadata metadata = metadata_of(file);
  if (const auto configs = file.metadata.find(kConfigsKey); configs != file.metadata.end())
    metadata.insert(*configs);
  weights::write_safetensors(out, cast(file.tensors, options.dtype, warnings), metadata);
}

/// Refuses to write over what is there, or, when told to, over what is no model.
void check_place(const fs::path& out, bool single_file, bool force) {
  const std::string ending = out.extension().string();
  if (std::ranges::find(kOtherEndings, ending) != std::end(kOtherEndings))
    throw Error(ErrorCode::InvalidArgument, out.string(), "limn does not write " + ending + " files",
                "name a .safetensors file, or a folder");
  if (!fs::exists(out)) return;
  if (!force)
    throw Error(ErrorCode::InvalidArgument, out.string(), "is there already", "use --force to replace it");
  const bool replaceable =
      single_file ? fs::is_regular_file(out)
                  : fs::is_directory(out) && (fs::is_empty(out) || fs::exists(out / "model_index.json"));
  if (!replaceable)
    throw Error(ErrorCode::InvalidArgument, out.string(),
                single_file ? "is not an ordinary file" : "is neither empty nor a diffusers folder",
                "choose another place");
}

}  // namespace

void write_model_folder(const Checkpoint& checkpoint, const fs::path& folder) {
  Warnings none;
  write_folder(checkpoint, fs::absolute(folder).lexically_normal(), {}, none);
}

std::vector<std::string> convert(const fs::path& in, const fs::path& given_out,
                                 const ConvertOptions& options) {
  check_dtype(options.dtype);
  fs::path out = fs::absolute(given_out).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();  // "folder/"
  const bool to_single_file = out.extension() == kSingleFileEnding;
  check_place(out, to_single_file, options.force);
  Warnings warnings;
  if (to_single_file && !fs::is_directory(in)) {
    rewrite_file(in, out, options, warnings);
    return warnings;
  }
  const Checkpoint checkpoint = open_checkpoint(in);
  warnings = checkpoint.warnings;
  (to_single_file ? write_single_file : write_folder)(checkpoint, out, options, warnings);
  return warnings;
}

}  // namespace limn::models
