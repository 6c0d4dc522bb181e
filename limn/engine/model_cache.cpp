// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/model_cache.h"

#include "limn/adapters/lora.h"
#include "limn/adapters/quantized.h"
#include "limn/adapters/seamless.h"
#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/models/vae_file.h"
#include "limn/nn/arena.h"

namespace limn::engine {
namespace fs = std::filesystem;
namespace {

ModelHashes hash_files(const std::vector<fs::path>& files, const fs::path& denoiser, const fs::path& root) {
  ModelHashes out;
  for (const fs::path& file : files) {
    const std::string name = files.size() == 1 ? file.filename().string() : fs::relative(file, root).string();
    out.files.push_back({name, sha256_of_file(file)});
    if (file == denoiser) out.model = out.files.back().sha256;
  }
  return out;
}

}  // namespace

std::span<const Quantization> quantizations() {
  static constexpr Quantization kTable[] = {
      {"none"}, {"int8", /*int8=*/true}, {"int8_inputs", /*int8=*/true, /*rounds_inputs=*/true}};
  return kTable;
}

ModelCache::ModelCache() { nn::use_arena(); }

LoadedModel ModelCache::get(const ModelChoice& choice, const models::LoadOptions& options) {
  const LoadedModel& plain = base(choice, options);
  const bool seamless = choice.seamless_x || choice.seamless_y;
  const Quantization& rounding = find_named(quantizations(), choice.quantize, "quantize");
  if (choice.loras.empty() && !seamless && !rounding.int8) return plain;
  if (seamless && rounding.int8)
    throw Error(ErrorCode::Unsupported, "quantize", "seamless pictures need the weights as they are",
                "leave out --quantize or --seamless");
  if (rounding.int8 && !options.device.is_cpu())
    throw Error(ErrorCode::Unsupported, "quantize", "weights of 8 bits are for the CPU",
                "leave out --quantize");
  std::vector<provenance::LoraFile> files;
  std::vector<adapters::LoraUse> uses;
  std::string key =
      key_ + "\n" + (choice.seamless_x ? "x" : "") + (choice.seamless_y ? "y" : "") + "\n" + choice.quantize;
  for (const LoraChoice& lora : choice.loras) {
    files.push_back({lora.file.filename().string(), lora.weight, sha256_of_file(lora.file)});
    uses.push_back({lora.file, lora.weight});
    key.append("\n").append(files.back().sha256).append(":").append(std::to_string(lora.weight));
  }
  if (key != changed_key_) {
    changed_ = {};
    changed_key_.clear();
    changed_ = plain;
    if (!uses.empty()) changed_.model = adapters::with_loras(plain.model, uses);
    if (rounding.int8) changed_.model = adapters::with_int8_weights(changed_.model, rounding.rounds_inputs);
    if (seamless)
      changed_.model = adapters::with_seamless_edges(changed_.model, choice.seamless_x, choice.seamless_y);
    changed_.loras = files;
    changed_key_ = key;
  }
  return changed_;
}

const LoadedModel& ModelCache::base(const ModelChoice& choice, const models::LoadOptions& options) {
  const fs::path place = choice.model.empty() ? data_folder() / "embedded" : choice.model;
  std::error_code code;
  const fs::path real = fs::canonical(place, code);
  if (code) throw Error(ErrorCode::NotFound, place.string(), "no such model file or folder");
  std::string key = real.string();
  key.append("\n").append(c10::toString(options.dtype)).append(options.device.str());
  key.append("\n").append(choice.vae.string()).append("\n").append(choice.preview_vae.string());
  if (key == key_) return last_;

  changed_ = {};
  changed_key_.clear();
  last_ = {};  // free the old model before the new one takes memory
  key_.clear();
  models::Checkpoint checkpoint = models::open_checkpoint(real);
  const auto files = checkpoint.files;
  const auto denoiser_files = checkpoint.parts.at("unet").tensors.files;
  if (!choice.vae.empty()) models::use_vae(checkpoint, choice.vae);
  if (!choice.preview_vae.empty())
    last_.preview_vae = models::load_vae(models::open_vae(checkpoint, choice.preview_vae), options);
  last_.name = choice.model.empty() ? "limn embedded" : real.stem().string();
  last_.model = models::load_model(std::move(checkpoint), options);
  const fs::path denoiser = denoiser_files.empty() ? fs::path() : denoiser_files.front();
  last_.hashes = std::async(std::launch::async, hash_files, files, denoiser, real).share();
  key_ = key;
  return last_;
}

}  // namespace limn::engine
