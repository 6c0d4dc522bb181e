// SPDX-License-Identifier: Apache-2.0
#include "limn/models/identify.h"

#include <algorithm>
#include <set>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/models/family.h"
#include "limn/models/identify_rules.h"
#include "limn/models/scalars.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;

/// Suffixes of the tensors whose first dimension is a LoRA's rank.
constexpr std::string_view kRankSuffixes[] = {
    ".lora_down.weight", ".lora_A.weight",    ".lora_A.default.weight",
    "_lora.down.weight", ".lora.down.weight", ".lora_linear_layer.down.weight",
    ".hada_w1_b",        ".lokr_w1_b",        ".lokr_w2_b",
};
/// Widths of the text encoders whose embeddings files hold.
constexpr int64_t kEmbeddingWidths[] = {768, 1024, 1280, 2048, 4096};
/// SD 2's last normalisation drifts further in models trained for v; the limit is ComfyUI's.
constexpr std::string_view kDriftKey = "output_blocks.11.1.transformer_blocks.0.norm1.bias";
constexpr std::string_view kDriftKeyDiffusers = "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias";
constexpr double kDriftOfV = 0.09;

bool is_adapter(const std::string& kind) {
  return std::ranges::any_of(adapter_family_rules(),
                             [&](const AdapterFamilyRule& row) { return row.kind == kind; });
}

std::string part_name(std::string_view key, const std::string& kind) {
  for (const PartPrefix& row : part_prefixes())
    if (key.starts_with(row.prefix)) return std::string(row.part);
  return kind;
}

std::vector<PartSize> part_sizes(const weights::Index& index, const std::string& rest) {
  std::map<std::string, PartSize> parts;
  for (const auto& [key, entry] : index.tensors) {
    const std::string name = part_name(key, rest);
    PartSize& part = parts[name];
    const weights::DTypeInfo& dtype = weights::info_of(entry.dtype);
    const int64_t elements = entry.elements();
    part.name = name;
    ++part.tensors;
    part.parameters += elements;
    part.bytes += elements * static_cast<int64_t>(dtype.bytes);
    part.dtypes[std::string(dtype.long_name)] += elements;
  }
  std::vector<PartSize> sizes;
  for (auto& [name, part] : parts) sizes.push_back(std::move(part));
  return sizes;
}

/// A file with a single vector or list of vectors as wide as a text encoder: diffusers' and others'
/// embeddings.
bool is_bare_embedding(const weights::Index& index) {
  if (index.tensors.size() != 1) return false;
  const std::vector<int64_t>& shape = index.tensors.begin()->second.shape;
  return !shape.empty() && shape.size() <= 2 &&
         std::ranges::find(kEmbeddingWidths, shape.back()) != std::end(kEmbeddingWidths);
}

void find_kind(Identity& identity, const weights::Index& index, const NamedTensors& tensors) {
  for (const IdentifyRule& rule : identify_rules()) {
    if (!tensors.meets(rule.needs, &identity.evidence)) continue;
    identity.kind = rule.kind;
    identity.detail = rule.detail;
    identity.family = rule.family;
    if (!rule.prediction.empty()) identity.prediction = rule.prediction;
    return;
  }
  if (!is_bare_embedding(index)) return;
  identity.kind = "textual inversion";
  identity.detail = "one tensor named after its token";
  identity.evidence.push_back(index.tensors.begin()->first);
}

void find_adapter_family(Identity& identity, const NamedTensors& tensors) {
  if (!identity.family.empty()) return;
  for (const AdapterFamilyRule& row : adapter_family_rules()) {
    if (row.kind != identity.kind || !tensors.meets({&row.need, 1}, &identity.evidence)) continue;
    identity.family = row.family;
    return;
  }
}

/// The prediction SD 2's weights look like, from the spread of one normalisation's bias.
void guess_from_drift(Identity& identity, const NamedTensors& tensors) {
  const weights::TensorEntry* bias = tensors.find({kDriftKey});
  if (!bias) bias = tensors.find({kDriftKeyDiffusers});
  const std::optional<double> spread = bias ? standard_deviation(*bias) : std::nullopt;
  if (!spread) return;
  identity.prediction = *spread > kDriftOfV && identity.variant.empty() ? "v_prediction" : "epsilon";
  identity.prediction_basis = "guess: not stored in the file; the spread of " + std::string(kDriftKey) +
                              " is " + std::to_string(*spread) + " (above 0.09 means v)";
}

void find_prediction(Identity& identity, const weights::Index& index, const NamedTensors& tensors) {
  if (identity.prediction == "unknown") guess_from_drift(identity, tensors);
  if (identity.prediction != "unknown" && identity.prediction_basis.empty())
    identity.prediction_basis = "usual for " + identity.title + "; not stored in the file";
  for (const PredictionRule& row : prediction_rules()) {
    if (!tensors.find(row.need)) continue;
    identity.prediction = row.prediction;
    identity.prediction_basis = "stored in the file: tensor " + std::string(row.need.key);
    return;
  }
  const auto stated = index.metadata.find("modelspec.prediction_type");
  if (stated == index.metadata.end() || (stated->second != "epsilon" && stated->second != "v")) return;
  identity.prediction = stated->second == "v" ? "v_prediction" : "epsilon";
  identity.prediction_basis = "stored in the file: modelspec.prediction_type";
}

void find_variant(Identity& identity, const NamedTensors& tensors) {
  for (const VariantRule& row : variant_rules())
    if (tensors.meets(row.needs, &identity.evidence)) {
      identity.variant = row.variant;
      return;
    }
}

void read_lora(Identity& identity, const weights::Index& index) {
  std::set<int64_t> ranks;
  std::set<double> alphas;
  for (const auto& [key, entry] : index.tensors) {
    const bool down =
        std::ranges::any_of(kRankSuffixes, [&](std::string_view suffix) { return key.ends_with(suffix); });
    if (down && !entry.shape.empty()) ranks.insert(entry.shape[0]);
    if (key.ends_with(".alpha"))
      if (const auto alpha = scalar(entry)) alphas.insert(*alpha);
    if (key.starts_with("bundle_emb.") && identity.notes.empty())
      identity.notes.push_back("bundles textual inversions (bundle_emb.*)");
  }
  identity.ranks.assign(ranks.begin(), ranks.end());
  identity.alphas.assign(alphas.begin(), alphas.end());
  if (alphas.empty() && !ranks.empty())
    identity.notes.push_back("no alpha is stored: it counts as the rank, so the LoRA's scale is 1");
}

void read_embedding(Identity& identity, const weights::Index& index) {
  for (const auto& [key, entry] : index.tensors) {
    if (entry.shape.empty() || entry.shape.size() > 2) continue;
    identity.vectors =
        std::max<int64_t>(identity.vectors.value_or(0), entry.shape.size() == 2 ? entry.shape[0] : 1);
  }
}

/// A denoiser with text encoder or VAE beside it is a checkpoint.
void join_parts(Identity& identity) {
  const bool others = std::ranges::any_of(identity.parts, [](const PartSize& part) {
    return part.name == "vae" || part.name.starts_with("text_encoder");
  });
  if (identity.kind == "denoiser" && others) identity.kind = "checkpoint";
  if (identity.kind == "controlnet" && others)
    identity.notes.push_back("the file holds a whole checkpoint besides");
}

/// Components of diffusers folders that hold no tensors.
bool is_weightless(std::string_view name) {
  constexpr std::string_view kWords[] = {"tokenizer", "scheduler", "extractor", "processor"};
  return std::ranges::any_of(
      kWords, [&](std::string_view word) { return name.find(word) != std::string_view::npos; });
}

Identity identify_folder(const fs::path& path, const json::object& model_index) {
  Identity identity;
  std::vector<PartSize> parts;
  for (const auto& [key, value] : model_index) {
    const fs::path name(std::string{key});
    if (!value.is_array() || is_weightless(name.string()) || name.filename() != name || name == "..")
      continue;
    if (!fs::is_directory(path / name)) continue;
    const weights::Index index = weights::open_component_folder(path / name);
    for (PartSize& part : part_sizes(index, name.string())) parts.push_back(std::move(part));
    if (name == "unet" || name == "transformer") identity = identify_tensors(index);
  }
  identity.path = path;
  identity.format = "diffusers folder";
  identity.kind = "checkpoint";
  identity.detail = Fields(model_index, path.string()).string("_class_name", "");
  identity.parts = std::move(parts);
  const fs::path scheduler = path / "scheduler" / "scheduler_config.json";
  if (fs::exists(scheduler)) {
    const json::object config = read_json_object(scheduler);
    const Fields fields(config, scheduler.string());
    if (fields.has("prediction_type")) {
      identity.prediction = fields.string("prediction_type", "");
      identity.prediction_basis = "stored in scheduler/scheduler_config.json";
    }
  }
  judge(identity);
  return identity;
}

/// A1111's embeddings in pictures, or nothing for other files.
std::optional<Identity> identify_picture(const fs::path& path) {
  constexpr std::string_view kPng = "\x89PNG\r\n", kRiff = "RIFF", kMark = "sd-ti-embedding";
  const auto file = MappedFile::open(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (!bytes.starts_with(kPng) && !bytes.starts_with(kRiff)) return std::nullopt;
  if (bytes.find(kMark) == std::string_view::npos) return std::nullopt;
  Identity identity;
  identity.path = path;
  identity.format = "picture";
  identity.kind = "textual inversion";
  identity.detail = "A1111, in a picture's metadata";
  identity.evidence.emplace_back(kMark);
  judge(identity);
  return identity;
}

}  // namespace

Identity identify_tensors(const weights::Index& index) {
  const NamedTensors tensors(index);
  Identity identity;
  identity.format = index.format;
  identity.metadata = index.metadata;
  find_kind(identity, index, tensors);
  if (is_adapter(identity.kind)) find_adapter_family(identity, tensors);
  if (const FamilyTitle* row = try_find_named(family_titles(), identity.family)) identity.title = row->title;
  identity.parts = part_sizes(index, identity.kind);
  join_parts(identity);
  if (identity.kind == "denoiser" || identity.kind == "checkpoint") {
    find_variant(identity, tensors);
    find_prediction(identity, index, tensors);
  }
  if (identity.kind == "lora") read_lora(identity, index);
  if (identity.kind == "textual inversion") read_embedding(identity, index);
  judge(identity);
  return identity;
}

Identity identify(const fs::path& path) {
  if (!fs::exists(path)) throw Error(ErrorCode::NotFound, path.string(), "no such file or folder");
  if (fs::is_directory(path)) {
    if (fs::exists(path / "model_index.json"))
      return identify_folder(path, read_json_object(path / "model_index.json"));
    Identity identity = identify_tensors(weights::open_component_folder(path));
    identity.path = path;
    return identity;
  }
  if (auto picture = identify_picture(path)) return *picture;
  Identity identity = identify_tensors(weights::open_tensor_file(path));
  identity.path = path;
  return identity;
}

void judge(Identity& identity) {
  constexpr std::string_view kVariants[] = {"", "inpaint", "instruct-pix2pix", "lcm", "zero-snr"};
  // What no file says is as in the family's published models, unless the user says it.
  constexpr std::string_view kPredictions[] = {"epsilon", "v_prediction", "edm", "edm v_prediction",
                                               "unknown"};
  const Family* family = try_find_named(families(), identity.family);
  if (identity.kind == "unknown")
    identity.why_not = "no rule knows its tensors";
  else if (identity.kind == "denoiser")
    identity.why_not = "it is only one part of a model: the text encoder and the VAE are missing";
  else if (identity.kind == "vae")
    identity.why_not = "it is only one part of a model; give it as --vae";
  else if (identity.kind == "lora")
    identity.why_not = "it changes a model; give it as --lora";
  else if (identity.kind != "checkpoint")
    identity.why_not = "limn cannot use this kind of file yet";
  else if (!family)
    identity.why_not = "limn runs " + names_of(families()) + " only";
  else if (std::ranges::find(kVariants, identity.variant) == std::end(kVariants))
    identity.why_not = "limn cannot run the " + identity.variant + " variant yet";
  else if (std::ranges::find(kPredictions, identity.prediction) == std::end(kPredictions))
    identity.why_not = "limn cannot run models that predict '" + identity.prediction + "'";
  else
    identity.why_not.clear();
  identity.can_run = identity.why_not.empty();
}

}  // namespace limn::models
