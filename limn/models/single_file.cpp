// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "limn/base/error.h"
#include "limn/models/family.h"

namespace limn::models {
namespace {

/// Tensors that making pictures does not need. `what` is what the user is told; empty: nothing.
struct LeftOut {
  std::string_view prefix, what;
};
constexpr LeftOut kLeftOut[] = {
    {"model_ema.", "the EMA copy of the UNet"},
    {"first_stage_model.loss.", "the VAE's training loss"},
    {"cond_stage_model.transformer.text_projection.", "CLIP's text projection, which the model does not use"},
    {"conditioner.embedders.0.transformer.text_projection.", ""},
    {"cond_stage_model.transformer.vision_model.", "CLIP's vision model"},
    {"cond_stage_model.transformer.visual_projection.", "CLIP's vision model"},
    {"cond_stage_model.model.visual.", "CLIP's vision model"},
    {"embedding_manager.", "embeddings under training"},
    {"optimizer_states.", "the optimizer's state"},
    {"lr_schedulers.", "the optimizer's state"},
    {"callbacks.", "the trainer's state"},
    {"loops.", "the trainer's state"},
    // Markers that Family::adjust reads.
    {"v_pred", ""},
    {"ztsnr", ""},
    {"edm_mean", ""},
    {"edm_std", ""},
    {"edm_vpred.sigma_", ""},
    {"denoiser.sigmas", ""},
};

const LeftOut* left_out(std::string_view key) {
  const auto found =
      std::ranges::find_if(kLeftOut, [&](const LeftOut& row) { return key.starts_with(row.prefix); });
  return found == std::end(kLeftOut) ? nullptr : found;
}

/// A part and how much of the key names it.
struct Place {
  const SingleFilePart* part = nullptr;
  size_t prefix = 0;
};
Place place_of(const Family& family, std::string_view key) {
  for (const SingleFilePart& part : family.parts)
    for (std::string_view prefix : part.prefixes)
      if (key.starts_with(prefix)) return {&part, prefix.size()};
  return {};
}

void require_parts(const Family& family, const std::map<std::string, weights::Index>& parts,
                   const std::string& origin) {
  std::string missing;
  for (const SingleFilePart& part : family.parts)
    if (!parts.contains(std::string(part.name)))
      missing.append(missing.empty() ? "" : ", ").append(part.name).append(" (").append(part.prefixes[0]) +=
          "*)";
  if (missing.empty()) return;
  std::string problem = "a ";
  problem.append(family.title).append(" file without ").append(missing);
  throw Error(ErrorCode::BadFile, origin, problem,
              "use a complete checkpoint, or a diffusers folder that holds all parts");
}

/// A single file's tensors by part, prefixes stripped, names still LDM's. Harmless buffers go without a word.
std::map<std::string, weights::Index> split_by_prefix(const Family& family, const weights::Index& file,
                                                      std::vector<std::string>& warnings) {
  std::map<std::string, weights::Index> parts;
  std::map<std::string_view, size_t> dropped;
  std::vector<std::string> unexpected;
  for (const auto& [key, entry] : file.tensors) {
    if (is_harmless_buffer(key)) continue;
    if (const LeftOut* row = left_out(key)) {
      ++dropped[row->what];
      continue;
    }
    const Place place = place_of(family, key);
    if (!place.part) {
      unexpected.push_back(key);
      continue;
    }
    weights::Index& part = parts[std::string(place.part->name)];
    if (!part.tensors.emplace(key.substr(place.prefix), entry).second)
      throw Error(ErrorCode::BadFile, file.origin + ": " + key, "is there twice, under two prefixes");
  }
  refuse_unexpected(file.origin, unexpected);
  require_parts(family, parts, file.origin);
  for (auto& [name, part] : parts) {
    part.origin = file.origin;
    part.format = file.format;
    part.files = file.files;
    part.metadata = file.metadata;
  }
  for (const auto& [what, count] : dropped)
    if (!what.empty())
      warnings.push_back("left out " + std::string(what) + " (" + std::to_string(count) + " tensors)");
  return parts;
}

const SingleFilePart& part_named(const Family& family, const std::string& name) {
  for (const SingleFilePart& part : family.parts)
    if (part.name == name) return part;
  std::string problem = "has no place in a single file of ";
  throw Error(ErrorCode::Unsupported, name, problem.append(family.title));
}

}  // namespace

std::map<std::string, Part> split_single_file(const Family& family, const weights::Index& file,
                                              std::vector<std::string>& warnings) {
  std::map<std::string, weights::Index> ldm = split_by_prefix(family, file, warnings);
  std::map<std::string, Part> parts;
  std::vector<std::string> unexpected;
  for (const SingleFilePart& row : family.parts) {
    const std::string name(row.name);
    weights::Index& tensors = ldm.at(name);
    Part& part = parts[name];
    part.config = row.config(tensors);
    std::vector<std::string> unmapped;
    auto renamed = row.to_diffusers(tensors, part.config, unmapped);
    for (const std::string& key : unmapped) unexpected.push_back(std::string(row.prefixes[0]) + key);
    part.tensors = std::move(tensors);
    part.tensors.tensors = std::move(renamed);
  }
  refuse_unexpected(file.origin, unexpected);
  return parts;
}

std::map<std::string, weights::TensorEntry> join_single_file(const Family& family,
                                                             const std::map<std::string, Part>& parts) {
  std::map<std::string, weights::TensorEntry> file;
  for (const auto& [name, part] : parts) {
    const SingleFilePart& row = part_named(family, name);
    std::vector<std::string> unexpected;
    for (auto& [key, entry] : row.to_ldm(part, unexpected)) file[std::string(row.prefixes[0]) + key] = entry;
    refuse_unexpected(part.tensors.origin, unexpected);
  }
  return file;
}

KeyMap::Tensors unet_to_diffusers(const weights::Index& ldm, const json::object& config,
                                  std::vector<std::string>& unexpected) {
  return unet_key_map(config, ldm.origin).to_diffusers(ldm.tensors, unexpected);
}
KeyMap::Tensors unet_to_ldm(const Part& part, std::vector<std::string>& unexpected) {
  return unet_key_map(part.config, part.tensors.origin).to_ldm(part.tensors.tensors, unexpected);
}
KeyMap::Tensors vae_to_diffusers(const weights::Index& ldm, const json::object& config,
                                 std::vector<std::string>& unexpected) {
  return vae_key_map(config, ldm.origin).to_diffusers(ldm.tensors, unexpected);
}
KeyMap::Tensors vae_to_ldm(const Part& part, std::vector<std::string>& unexpected) {
  return vae_key_map(part.config, part.tensors.origin).to_ldm(part.tensors.tensors, unexpected);
}
KeyMap::Tensors clip_to_diffusers(const weights::Index& ldm, const json::object&,
                                  std::vector<std::string>& unexpected) {
  return clip_text_key_map().to_diffusers(ldm.tensors, unexpected);
}
KeyMap::Tensors clip_to_ldm(const Part& part, std::vector<std::string>& unexpected) {
  return clip_text_key_map().to_ldm(part.tensors.tensors, unexpected);
}

}  // namespace limn::models
