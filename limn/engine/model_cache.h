// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "limn/engine/engine.h"
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
  std::shared_ptr<const void> use;  // while it lives, the cache counts the model as in use
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

/// Keeps loaded models, and what was made of them with changes, which shares what is not changed. Safe to share.
class ModelCache {
 public:
  using Load = std::function<std::shared_ptr<const models::Model>(models::Checkpoint checkpoint,
                                                                  const models::LoadOptions& options)>;
  explicit ModelCache(int64_t most_bytes = 0, Load load = models::load_model);  // see Models
  ~ModelCache();

  /// The model, loaded in this thread or, when another loads it at the time, in that one.
  LoadedModel get(const ModelChoice& choice, const models::LoadOptions& options);
  /// Drops what is beyond most_bytes, once models are no longer used.
  void trim();
  std::vector<ResidentModel> resident() const;
  bool forget(const std::filesystem::path& model);

 private:
  struct Slot;
  struct Wanted;
  using Slots = std::vector<std::shared_ptr<Slot>>;

  std::shared_ptr<Slot> base(const ModelChoice& choice, const models::LoadOptions& options);
  std::shared_ptr<Slot> take(const Wanted& wanted, const std::function<void(Slot&)>& fill);
  std::shared_future<ModelHashes> hashes_of(const models::Checkpoint& checkpoint);
  void make_room(Slot& slot, int64_t bytes);
  void evict(Slots& gone);
  int64_t users_of(const std::shared_ptr<Slot>& slot) const;

  const int64_t most_bytes_;
  const Load load_;
  mutable std::mutex mutex_;
  uint64_t clock_ = 0;  // calls of take
  std::map<std::string, std::shared_ptr<Slot>> slots_;
  std::stop_source closing_;
  std::map<std::string, std::shared_future<ModelHashes>> hashes_;  // by files, sizes and times
};

}  // namespace limn::engine
