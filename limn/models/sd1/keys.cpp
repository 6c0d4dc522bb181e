// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "limn/base/error.h"
#include "limn/models/key_map.h"
#include "limn/models/sd1/sd1.h"

namespace limn::models::sd1 {
namespace {

/// The first prefix of a part is the one that is written.
struct PartPrefix {
  std::string_view prefix, part;
};
constexpr PartPrefix kPrefixes[] = {
    {"model.diffusion_model.", "unet"},
    {"first_stage_model.", "vae"},
    {"vae.", "vae"},
    {"cond_stage_model.transformer.", "text_encoder"},
};

/// Tensors that making pictures does not need. `what` is what the user is told; empty: nothing.
struct LeftOut {
  std::string_view prefix, what;
};
constexpr LeftOut kLeftOut[] = {
    {"model_ema.", "the EMA copy of the UNet"},
    {"first_stage_model.loss.", "the VAE's training loss"},
    {"cond_stage_model.transformer.text_projection.", "CLIP's text projection, which SD 1.x does not use"},
    {"cond_stage_model.transformer.vision_model.", "CLIP's vision model"},
    {"cond_stage_model.transformer.visual_projection.", "CLIP's vision model"},
    {"embedding_manager.", "embeddings under training"},
    {"optimizer_states.", "the optimizer's state"},
    {"lr_schedulers.", "the optimizer's state"},
    {"callbacks.", "the trainer's state"},
    {"loops.", "the trainer's state"},
};

const LeftOut* left_out(std::string_view key) {
  const auto found =
      std::ranges::find_if(kLeftOut, [&](const LeftOut& row) { return key.starts_with(row.prefix); });
  return found == std::end(kLeftOut) ? nullptr : found;
}

const PartPrefix* part_of(std::string_view key) {
  const auto found =
      std::ranges::find_if(kPrefixes, [&](const PartPrefix& row) { return key.starts_with(row.prefix); });
  return found == std::end(kPrefixes) ? nullptr : found;
}

void require_parts(const std::map<std::string, weights::Index>& parts, const std::string& origin) {
  std::string missing;
  for (const PartPrefix& row : kPrefixes)
    if (!parts.contains(std::string(row.part)) && missing.find(row.part) == std::string::npos)
      missing +=
          (missing.empty() ? "" : ", ") + std::string(row.part) + " (" + std::string(row.prefix) + "*)";
  if (!missing.empty())
    throw Error(ErrorCode::BadFile, origin, "a Stable Diffusion 1.x file without " + missing,
                "use a complete checkpoint, or a diffusers folder that holds all parts");
}

}  // namespace

std::string prefix_of(const std::string& part) {
  for (const PartPrefix& row : kPrefixes)
    if (row.part == part) return std::string(row.prefix);
  throw Error(ErrorCode::Unsupported, part, "has no place in a Stable Diffusion 1.x single file");
}

std::map<std::string, weights::Index> split_by_prefix(const weights::Index& file,
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
    const PartPrefix* row = part_of(key);
    if (!row) {
      unexpected.push_back(key);
      continue;
    }
    weights::Index& part = parts[std::string(row->part)];
    if (!part.tensors.emplace(key.substr(row->prefix.size()), entry).second)
      throw Error(ErrorCode::BadFile, file.origin + ": " + key, "is there twice, under two prefixes");
  }
  refuse_unexpected(file.origin, unexpected);
  require_parts(parts, file.origin);
  for (auto& [name, part] : parts) {
    part.origin = file.origin;
    part.format = file.format;
    part.files = file.files;
  }
  for (const auto& [what, count] : dropped)
    warnings.push_back("left out " + std::string(what) + " (" + std::to_string(count) + " tensors)");
  return parts;
}

}  // namespace limn::models::sd1
