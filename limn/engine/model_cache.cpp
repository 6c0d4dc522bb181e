// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/model_cache.h"

#include <algorithm>
#include <set>

#include "limn/adapters/lora.h"
#include "limn/adapters/quantized.h"
#include "limn/adapters/seamless.h"
#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/base/sha256.h"
#include "limn/engine/described.h"
#include "limn/models/vae_file.h"
#include "limn/nn/arena.h"
#include "limn/nn/layers.h"

namespace limn::engine {
namespace fs = std::filesystem;
namespace {

ModelHashes hash_files(const std::vector<fs::path>& files, const fs::path& denoiser, const fs::path& root,
                       const std::stop_token& stop) {
  ModelHashes out;
  for (const fs::path& file : files) {
    const std::string name = files.size() == 1 ? file.filename().string() : fs::relative(file, root).string();
    out.files.push_back({name, sha256_of_file(file, stop)});
    if (file == denoiser) out.model = out.files.back().sha256;
  }
  return out;
}

/// Bytes of a model's parameters, as the headers of its files tell.
int64_t bytes_when_loaded(const models::Checkpoint& checkpoint, const models::LoadOptions& options) {
  int64_t parameters = 0, bytes = 0;
  for (const auto& [name, part] : checkpoint.parts)
    for (const auto& [key, entry] : part.tensors.tensors) parameters += entry.elements();
  const bool narrow = models::widening_of(parameters, options.dtype, options) == nn::Widening::AtUse;
  for (const auto& [name, part] : checkpoint.parts)
    for (const auto& [key, entry] : part.tensors.tensors) {
      const bool stays = narrow && weights::info_of(entry.dtype).bytes == 2;
      bytes += entry.elements() * static_cast<int64_t>(stays ? 2 : c10::elementSize(options.dtype));
    }
  return bytes;
}

/// Bytes of a model's parameters without those in `counted`, which gets the others.
int64_t count_bytes(const LoadedModel& loaded, std::set<const void*>& counted) {
  int64_t bytes = 0;
  const auto add = [&](const at::Tensor& x) {
    if (x.defined() && !x.is_meta() && counted.insert(x.const_data_ptr()).second)
      bytes += static_cast<int64_t>(x.nbytes());
  };
  const auto add_module = [&](const nn::Module* module) {
    if (!module) return;
    auto& open = const_cast<nn::Module&>(*module);  // it is only read
    open.for_each_parameter("", [&](const std::string&, at::Tensor& parameter) { add(parameter); });
    open.for_each_module("", [&](const std::string&, nn::Module& part) {
      const auto add_int8 = [&](const auto* layer) {
        if (!layer || !layer->int8) return;
        add(layer->int8->values);
        add(layer->int8->scales);
      };
      add_int8(dynamic_cast<const nn::Linear*>(&part));
      add_int8(dynamic_cast<const nn::Conv2d*>(&part));
    });
  };
  const models::Model& model = *loaded.model;
  add_module(model.text_encoder.get());
  add_module(model.text_encoder_2.get());
  add_module(model.unet.get());
  add_module(dynamic_cast<const nn::Module*>(model.vae.get()));
  add_module(dynamic_cast<const nn::Module*>(loaded.preview_vae.get()));
  return bytes;
}

}  // namespace

std::span<const Quantization> quantizations() {
  static constexpr Quantization kTable[] = {
      {"none"}, {"int8", /*int8=*/true}, {"int8_inputs", /*int8=*/true, /*rounds_inputs=*/true}};
  return kTable;
}

struct ModelCache::Wanted {
  std::string key;
  fs::path path, real;         // as it was asked for, and with all links followed
  std::shared_ptr<Slot> base;  // whose weights it shares; or null
};

struct ModelCache::Slot {
  Wanted what;
  int64_t bytes = 0;  // besides those of its base; before it is loaded, as the files' headers tell
  uint64_t used = 0;  // when
  std::promise<void> filled;
  std::shared_future<void> ready = filled.get_future().share();
  LoadedModel loaded;  // once it is ready
};

ModelCache::ModelCache(int64_t most_bytes, Load load) : most_bytes_(most_bytes), load_(std::move(load)) {
  nn::use_arena();
}

ModelCache::~ModelCache() { closing_.request_stop(); }

LoadedModel ModelCache::get(const ModelChoice& choice, const models::LoadOptions& options) {
  const auto handed_out = [](const std::shared_ptr<Slot>& slot) {
    LoadedModel out = slot->loaded;
    out.use = slot;
    return out;
  };
  const bool seamless = choice.seamless_x || choice.seamless_y;
  const Quantization& rounding = find_named(quantizations(), choice.quantize, "quantize");
  if (seamless && rounding.int8)
    throw Error(ErrorCode::Unsupported, "quantize", "seamless pictures need the weights as they are",
                "leave out --quantize or --seamless");
  if (rounding.int8 && !options.device.is_cpu())
    throw Error(ErrorCode::Unsupported, "quantize", "weights of 8 bits are for the CPU",
                "leave out --quantize");
  const std::shared_ptr<Slot> plain = base(choice, options);
  if (choice.loras.empty() && !seamless && !rounding.int8) return handed_out(plain);

  std::vector<provenance::LoraFile> files;
  std::vector<adapters::LoraUse> uses;
  Wanted wanted = plain->what;
  wanted.base = plain;
  wanted.key.append("\n").append(choice.seamless_x ? "x" : "").append(choice.seamless_y ? "y" : "");
  wanted.key.append("\n").append(choice.quantize);
  for (const LoraChoice& lora : choice.loras) {
    files.push_back({lora.file.filename().string(), lora.weight, sha256_of_file(lora.file)});
    uses.push_back({lora.file, lora.weight});
    wanted.key.append("\n").append(files.back().sha256).append(":").append(std::to_string(lora.weight));
  }
  return handed_out(take(wanted, [&](Slot& slot) {
    make_room(slot, 0);
    LoadedModel changed = plain->loaded;
    if (!uses.empty()) changed.model = adapters::with_loras(changed.model, uses);
    if (rounding.int8) changed.model = adapters::with_int8_weights(changed.model, rounding.rounds_inputs);
    if (seamless)
      changed.model = adapters::with_seamless_edges(changed.model, choice.seamless_x, choice.seamless_y);
    changed.loras = files;
    std::set<const void*> counted;
    count_bytes(plain->loaded, counted);
    make_room(slot, count_bytes(changed, counted));
    slot.loaded = std::move(changed);
  }));
}

std::shared_ptr<ModelCache::Slot> ModelCache::base(const ModelChoice& choice,
                                                   const models::LoadOptions& options) {
  Wanted wanted{.key = {}, .path = choice.model, .real = place_of(choice.model), .base = {}};
  wanted.key = wanted.real.string();
  wanted.key.append("\n").append(c10::toString(options.dtype)).append(options.device.str());
  wanted.key.append("\n").append(choice.vae.string()).append("\n").append(choice.preview_vae.string());
  return take(wanted, [&](Slot& slot) {
    models::Checkpoint checkpoint = models::open_checkpoint(slot.what.real);
    LoadedModel loaded;
    loaded.name = model_name_of(choice.model);
    if (!choice.vae.empty()) models::use_vae(checkpoint, choice.vae);
    make_room(slot, bytes_when_loaded(checkpoint, options));
    if (!choice.preview_vae.empty())
      loaded.preview_vae = models::load_vae(models::open_vae(checkpoint, choice.preview_vae), options);
    loaded.model = load_(std::move(checkpoint), options);
    loaded.hashes = hashes_of(loaded.model->checkpoint);
    std::set<const void*> counted;
    make_room(slot, count_bytes(loaded, counted));
    slot.loaded = std::move(loaded);
  });
}

/// The slot of a key. Who asks first fills it; who asks meanwhile waits.
std::shared_ptr<ModelCache::Slot> ModelCache::take(const Wanted& wanted,
                                                   const std::function<void(Slot&)>& fill) {
  std::shared_ptr<Slot> slot;
  bool is_new = false;
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Slot>& place = slots_[wanted.key];
    is_new = !place;
    if (is_new) place = std::make_shared<Slot>(Slot{.what = wanted});
    slot = place;
    if (slot->what.base) slot->what.base->used = ++clock_;
    slot->used = ++clock_;
  }
  if (!is_new) {
    slot->ready.get();
    return slot;
  }
  try {
    fill(*slot);
    slot->filled.set_value();
  } catch (...) {
    slot->filled.set_exception(std::current_exception());
    const std::lock_guard lock(mutex_);
    std::erase_if(slots_, [&](const auto& entry) { return entry.second == slot; });
    throw;
  }
  return slot;
}

/// Of every weight file, kept when the model goes: reading gigabytes takes longer than loading it again.
std::shared_future<ModelHashes> ModelCache::hashes_of(const models::Checkpoint& checkpoint) {
  const auto& denoiser_files = checkpoint.parts.at("unet").tensors.files;
  const fs::path denoiser = denoiser_files.empty() ? fs::path() : denoiser_files.front();
  std::string key = checkpoint.path.string();
  for (const fs::path& file : checkpoint.files)
    key += "\n" + file.string() + ":" + std::to_string(fs::file_size(file)) + ":" +
           std::to_string(fs::last_write_time(file).time_since_epoch().count());
  const std::lock_guard lock(mutex_);
  std::shared_future<ModelHashes>& hashes = hashes_[key];
  if (!hashes.valid())
    hashes = std::async(std::launch::async, hash_files, checkpoint.files, denoiser, checkpoint.path,
                        closing_.get_token())
                 .share();
  return hashes;
}

/// Says what a slot takes, and drops others until it fits.
void ModelCache::make_room(Slot& slot, int64_t bytes) {
  Slots gone;  // are freed after the lock
  const std::lock_guard lock(mutex_);
  slot.bytes = bytes;
  evict(gone);
}

void ModelCache::trim() {
  if (most_bytes_ == 0) return;
  Slots gone;
  const std::lock_guard lock(mutex_);
  evict(gone);
}

/// Moves slots that no one uses to `gone`, those used longest ago first, until the rest fits.
void ModelCache::evict(Slots& gone) {
  int64_t total = 0;
  for (const auto& [key, slot] : slots_) total += slot->bytes;
  while (total > most_bytes_) {
    auto oldest = slots_.end();
    for (auto it = slots_.begin(); it != slots_.end(); ++it) {
      const bool is_free = it->second.use_count() == 1 && it->second->used != clock_;
      if (is_free && (oldest == slots_.end() || it->second->used < oldest->second->used)) oldest = it;
    }
    if (oldest == slots_.end()) return;
    total -= oldest->second->bytes;
    oldest->second->what.base.reset();  // which may go next
    gone.push_back(std::move(oldest->second));
    slots_.erase(oldest);
  }
}

/// Who has a model, besides the cache and the changed models in it.
int64_t ModelCache::users_of(const std::shared_ptr<Slot>& slot) const {
  const auto changed =
      std::ranges::count_if(slots_, [&](const auto& entry) { return entry.second->what.base == slot; });
  return slot.use_count() - 1 - changed;
}

std::vector<ResidentModel> ModelCache::resident() const {
  std::vector<ResidentModel> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, slot] : slots_) {
    auto model = std::ranges::find(out, slot->what.path, &ResidentModel::path);
    if (model == out.end()) model = out.insert(out.end(), {.path = slot->what.path});
    model->bytes += slot->bytes;
    model->in_use |= users_of(slot) > 0;
  }
  return out;
}

bool ModelCache::forget(const fs::path& model) {
  std::error_code ignored;
  const fs::path real = fs::weakly_canonical(model.empty() ? data_folder() / "embedded" : model, ignored);
  Slots gone;
  const std::lock_guard lock(mutex_);
  for (auto it = slots_.begin(); it != slots_.end();) {
    const bool is_of_it = it->second->what.real == real;
    if (is_of_it) gone.push_back(std::move(it->second));
    it = is_of_it ? slots_.erase(it) : std::next(it);
  }
  return !gone.empty();
}

}  // namespace limn::engine
