// SPDX-License-Identifier: Apache-2.0
#include "tests/fidelity/variants.h"

#include <fstream>

#include <ATen/ops/cat.h>
#include <unistd.h>

#include "limn/base/file.h"
#include "limn/weights/safetensors.h"
#include "tests/fidelity/goldens.h"

namespace limn {
namespace {

namespace fs = std::filesystem;

/// Removed when the process ends.
struct TemporaryFolder {
  fs::path path = fs::temp_directory_path() / ("limn_variants_" + std::to_string(::getpid()));
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

void merge_into(const fs::path& file, const json::object& changes) {
  json::object object = read_json_object(file);
  for (const auto& [key, value] : changes) object[key] = value;
  fs::remove(file);  // it may be a link
  std::ofstream(file) << to_text(object);
}

/// A folder of links to another one's files.
void link_all(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from))
    fs::create_symlink(fs::canonical(entry.path()), to / entry.path().filename());
}

/// conv_in for more channels: as widened() of variants.py.
void widen(const fs::path& unet, int64_t channels) {
  const fs::path file = unet / "diffusion_pytorch_model.safetensors";
  weights::Index index = weights::open_tensor_file(file);
  weights::TensorEntry& entry = index.tensors.at("conv_in.weight");
  const at::Tensor weight = weights::to_tensor(entry);
  entry = weights::to_entry(
      at::cat({weight, weight.flip({1}) * 0.5, weight.narrow(1, 0, 1) * 0.25}, 1).narrow(1, 0, channels));
  fs::remove(file);
  weights::write_safetensors(file, index.tensors, {});
  merge_into(unet / "config.json", {{"in_channels", channels}});
}

fs::path build(const std::string& name, const json::object& change, const fs::path& root) {
  const fs::path base = goldens() / "families" / "sdxl", folder = root / name;
  if (fs::exists(folder)) return folder;
  link_all(base, folder);
  for (const char* part : {"unet", "vae", "scheduler"}) {
    fs::remove(folder / part);
    link_all(fs::canonical(base / part), folder / part);
  }
  if (const json::value* scheduler = change.if_contains("scheduler")) {
    fs::remove(folder / "scheduler" / "scheduler_config.json");
    std::ofstream(folder / "scheduler" / "scheduler_config.json") << to_text(*scheduler);
  }
  if (const json::value* vae = change.if_contains("vae"))
    merge_into(folder / "vae" / "config.json", vae->as_object());
  if (const json::value* channels = change.if_contains("channels"))
    widen(folder / "unet", channels->as_int64());
  return folder;
}

}  // namespace

const json::object& variants() {
  static const json::object all = read_json_object(goldens() / "families" / "variants.json");
  return all;
}

fs::path model_folder(const std::string& name) {
  static const TemporaryFolder temporary;
  const json::value* change = variants().at("models").as_object().if_contains(name);
  return change ? build(name, change->as_object(), temporary.path) : goldens() / "families" / name;
}

}  // namespace limn
