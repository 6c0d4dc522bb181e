// SPDX-License-Identifier: Apache-2.0
#include "limn/models/vae_file.h"

#include <charconv>

#include "limn/base/error.h"
#include "limn/models/derive_config.h"
#include "limn/models/key_map.h"
#include "limn/models/shapes.h"

namespace limn::models {
namespace {

namespace fs = std::filesystem;

/// What the shapes of a VAE's tensors do not tell, and its model does.
constexpr std::string_view kOfTheModel[] = {"scaling_factor", "shift_factor", "latents_mean",
                                            "latents_std",    "force_upcast", "sample_size"};

/// The tensors below one of the prefixes a VAE has in a checkpoint, or all.
void strip_prefix(weights::Index& file) {
  for (const std::string prefix : {"first_stage_model.", "vae."}) {
    if (!file.has_prefix(prefix)) continue;
    KeyMap::Tensors stripped;
    for (const auto& [key, entry] : file.tensors)
      if (key.starts_with(prefix)) stripped[key.substr(prefix.size())] = entry;
    file.tensors = std::move(stripped);
    return;
  }
}

/// TAESD's author keeps each half in a file of its own, with the layers' numbers alone.
bool is_taesd_decoder(const weights::Index& file) {
  return file.has("1.weight") && file.has("3.conv.0.weight");
}
bool is_taesd_encoder(const weights::Index& file) {
  return file.has("0.weight") && file.has("1.conv.0.weight");
}

/// With the names that ComfyUI gives a file of both halves.
weights::Index as_decoder(weights::Index file) {
  KeyMap::Tensors tensors;
  for (const auto& [key, entry] : file.tensors) tensors["taesd_decoder." + key] = entry;
  file.tensors = std::move(tensors);
  return file;
}

/// "taesd_decoder.1.weight" → "decoder.layers.0.weight": the original decoder's first layer only clamps.
std::string taesd_name(const std::string& key) {
  const bool decoder = key.starts_with("taesd_decoder.");
  const std::string rest = key.substr(std::string("taesd_decoder.").size());
  int64_t layer = 0;
  const char* end = std::from_chars(rest.data(), rest.data() + rest.size(), layer).ptr;
  std::string name = decoder ? "decoder.layers." : "encoder.layers.";
  return name.append(std::to_string(decoder ? layer - 1 : layer)).append(end, rest.data() + rest.size());
}

Part tiny_part(weights::Index file) {
  KeyMap::Tensors tensors;
  for (const auto& [key, entry] : file.tensors)
    if (key.starts_with("taesd_encoder.") || key.starts_with("taesd_decoder."))
      tensors[taesd_name(key)] = entry;
    else if (key.starts_with("encoder.") || key.starts_with("decoder."))
      tensors[key] = entry;
  file.tensors = std::move(tensors);
  const Shapes shapes(file);
  constexpr size_t kLevels = 4;
  const json::array widths(kLevels, json::value(shapes.size("decoder.layers.0.weight", 0)));
  return {{{"_class_name", "AutoencoderTiny"},
           {"latent_channels", shapes.size("decoder.layers.0.weight", 1)},
           {"encoder_block_out_channels", widths},
           {"decoder_block_out_channels", widths},
           {"decoder_only", !file.has_prefix("encoder.")}},
          std::move(file)};
}

Part kl_part(weights::Index file, const json::object& own) {
  std::erase_if(file.tensors, [](const auto& tensor) {
    return is_harmless_buffer(tensor.first) || tensor.first.starts_with("loss.");
  });
  Part part;
  if (file.has("decoder.up_blocks.0.resnets.0.norm1.weight")) {
    part.config = own;
    modernise_keys("AutoencoderKL", file);
  } else {
    part.config = vae_config(file, {});
    for (std::string_view key : kOfTheModel) {
      part.config.erase(key);
      if (const json::value* value = own.if_contains(key)) part.config[key] = *value;
    }
    std::vector<std::string> unexpected;
    file.tensors = vae_key_map(part.config, file.origin).to_diffusers(file.tensors, unexpected);
    refuse_unexpected(file.origin, unexpected);
  }
  part.config["_class_name"] = "AutoencoderKL";
  part.tensors = std::move(file);
  return part;
}

Part open_folder(const fs::path& path) {
  const fs::path folder = fs::is_directory(path / "vae") ? path / "vae" : path;
  Part part{read_json_object(folder / "config.json"), weights::open_component_folder(folder)};
  modernise_keys(Fields(part.config, folder.string()).string("_class_name", ""), part.tensors);
  return part;
}

Part open_file(const fs::path& path, const json::object& own) {
  weights::Index file = weights::open_tensor_file(path);
  strip_prefix(file);
  if (is_taesd_decoder(file)) file = as_decoder(std::move(file));
  if (file.has("taesd_decoder.1.weight") || file.has("decoder.layers.0.weight"))
    return tiny_part(std::move(file));
  if (is_taesd_encoder(file) || file.has("taesd_encoder.0.weight"))
    throw Error(ErrorCode::BadFile, path.string(), "holds TAESD's encoder alone, which makes no pictures",
                "give the file of its decoder, or of both");
  if (file.has("decoder.conv_in.weight")) return kl_part(std::move(file), own);
  throw Error(ErrorCode::BadFile, path.string(), "is no VAE that limn knows",
              "give a diffusers folder, or a file of an AutoencoderKL or of TAESD");
}

}  // namespace

Part open_vae(const Checkpoint& checkpoint, const fs::path& path) {
  if (!fs::exists(path)) throw Error(ErrorCode::NotFound, path.string(), "no such file or folder");
  const Part& own = checkpoint.parts.at("vae");
  Part part = fs::is_directory(path) ? open_folder(path) : open_file(path, own.config);
  const auto channels = [&](const Part& of) {
    return Fields(of.config, of.tensors.origin + ": config").integer("latent_channels", 4);
  };
  if (channels(part) != channels(own))
    throw Error(ErrorCode::BadFile, path.string(),
                "has " + std::to_string(channels(part)) + " latent channels, the model's own VAE " +
                    std::to_string(channels(own)));
  return part;
}

void use_vae(Checkpoint& checkpoint, const fs::path& path) {
  checkpoint.parts.at("vae") = open_vae(checkpoint, path);
}

}  // namespace limn::models
