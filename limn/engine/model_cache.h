// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "limn/engine/request.h"
#include "limn/models/model.h"
#include "limn/provenance/record.h"

namespace limn::engine {

/// SHA-256 of every weight file of a model, and of the one that stands for it.
struct ModelHashes {
  std::string model;  // the single file's, or the denoiser's weights'
  std::vector<provenance::WeightFile> files;
};

struct LoadedModel {
  std::string name;
  std::shared_ptr<const models::Model> model;
  std::shared_ptr<const models::Autoencoder> preview_vae;  // or null
  std::vector<provenance::LoraFile> loras;                 // that are in it
  std::shared_future<ModelHashes> hashes;                  // computed in the background
};

/// How the U-Net's weights are rounded; one table.
struct Quantization {
  std::string_view name;
  bool int8 = false, rounds_inputs = false;
};
std::span<const Quantization> quantizations();

/// Which model, and what is changed in it.
struct ModelChoice {
  std::filesystem::path model, vae;        // empty: the embedded model; the model's own
  std::filesystem::path preview_vae = {};  // empty: none
  std::vector<LoraChoice> loras = {};
  bool seamless_x = false, seamless_y = false;
  std::string quantize = "none";  // of quantizations()
};

/// Keeps the last model that was asked for, and the last one made of it with changes. One thread at a time.
class ModelCache {
 public:
  ModelCache();
  LoadedModel get(const ModelChoice& choice, const models::LoadOptions& options);

 private:
  const LoadedModel& base(const ModelChoice& choice, const models::LoadOptions& options);

  std::string key_, changed_key_;
  LoadedModel last_, changed_;
};

}  // namespace limn::engine
