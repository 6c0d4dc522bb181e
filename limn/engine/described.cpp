// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/described.h"

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/models/vae_file.h"

namespace limn::engine {
namespace fs = std::filesystem;

fs::path place_of(const fs::path& model) {
  const fs::path place = model.empty() ? data_folder() / "embedded" : model;
  std::error_code code;
  fs::path real = fs::canonical(place, code);
  if (code) throw Error(ErrorCode::NotFound, place.string(), "no such model file or folder");
  return real;
}

std::string model_name_of(const fs::path& model) {
  return model.empty() ? "limn embedded" : place_of(model).stem().string();
}

Described describe_model(const fs::path& model, const fs::path& vae) {
  const fs::path real = place_of(model);
  Described out;
  out.name = model_name_of(model);
  out.checkpoint = models::open_checkpoint(real);
  out.defaults = models::read_defaults(out.checkpoint.path);
  if (!vae.empty()) models::use_vae(out.checkpoint, vae);
  const auto where = [](const models::Part& part) { return part.tensors.origin + ": config"; };
  for (const auto& [name, part] : out.checkpoint.parts) {
    if (name == "unet") out.unet = models::UNet2DConditionConfig::from_json(part.config, where(part));
    if (name.starts_with("text_encoder"))
      out.texts.emplace(name, text::CLIPTextConfig::from_json(part.config, where(part)));
    if (name != "vae") continue;
    if (Fields(part.config, where(part)).string("_class_name", "AutoencoderKL") == "AutoencoderTiny")
      out.tiny_vae = models::AutoencoderTinyConfig::from_json(part.config, where(part));
    else
      out.vae = models::AutoencoderKLConfig::from_json(part.config, where(part));
  }
  if (out.unet.block_out_channels.empty() || !(out.vae || out.tiny_vae) || out.texts.empty())
    throw Error(ErrorCode::BadFile, real.string(), "lacks unet, vae or text encoder",
                "a text-to-picture model needs all three");
  return out;
}

}  // namespace limn::engine
