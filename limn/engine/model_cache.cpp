// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/model_cache.h"

#include "limn/adapters/lora.h"
#include "limn/base/error.h"
#include "limn/base/file.h"

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

LoadedModel ModelCache::get(const fs::path& path, const models::LoadOptions& options,
                            const std::vector<LoraChoice>& loras) {
  const LoadedModel& plain = base(path, options);
  if (loras.empty()) return plain;
  std::vector<provenance::LoraFile> files;
  std::vector<adapters::LoraUse> uses;
  std::string key = key_;
  for (const LoraChoice& lora : loras) {
    files.push_back({lora.file.filename().string(), lora.weight, sha256_of_file(lora.file)});
    uses.push_back({lora.file, lora.weight});
    key += "\n" + files.back().sha256 + ":" + std::to_string(lora.weight);
  }
  if (key != changed_key_) {
    changed_ = {};
    changed_key_.clear();
    changed_ = plain;
    changed_.model = adapters::with_loras(plain.model, uses);
    changed_.loras = files;
    changed_key_ = key;
  }
  return changed_;
}

const LoadedModel& ModelCache::base(const fs::path& path, const models::LoadOptions& options) {
  const fs::path place = path.empty() ? data_folder() / "embedded" : path;
  std::error_code code;
  const fs::path real = fs::canonical(place, code);
  if (code) throw Error(ErrorCode::NotFound, place.string(), "no such model file or folder");
  const std::string key = real.string() + "\n" + c10::toString(options.dtype) + options.device.str();
  if (key == key_) return last_;

  changed_ = {};
  changed_key_.clear();
  last_ = {};  // free the old model before the new one takes memory
  key_.clear();
  models::Checkpoint checkpoint = models::open_checkpoint(real);
  const auto files = checkpoint.files;
  const auto denoiser_files = checkpoint.parts.at("unet").tensors.files;
  last_.name = path.empty() ? "limn embedded" : real.stem().string();
  last_.model = models::load_model(std::move(checkpoint), options);
  const fs::path denoiser = denoiser_files.empty() ? fs::path() : denoiser_files.front();
  last_.hashes = std::async(std::launch::async, hash_files, files, denoiser, real).share();
  key_ = key;
  return last_;
}

}  // namespace limn::engine
