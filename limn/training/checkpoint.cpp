// SPDX-License-Identifier: Apache-2.0
#include "limn/training/checkpoint.h"

#include <algorithm>
#include <cstdio>

#include <ATen/core/grad_mode.h>
#include <fcntl.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

constexpr char kTensors[] = "state.safetensors", kState[] = "state.json";

/// Folders named by their number of samples, newest first.
std::vector<fs::path> finished(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") == std::string::npos) out.push_back(entry.path());
  }
  std::ranges::sort(out, std::greater<>());
  return out;
}

void flush_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

TrainState read_state(const fs::path& folder) {
  const json::object object = read_json_object(folder / kState);
  const Fields fields(object, (folder / kState).string());
  if (fields.string("sha256", "") != sha256_of_file(folder / kTensors))
    throw Error(ErrorCode::BadFile, (folder / kTensors).string(),
                "its hash is not the one in " + std::string(kState));
  TrainState state;
  state.samples = fields.integer("samples", 0, 0);
  state.step = fields.integer("step", 0, 0);
  state.world_size = fields.integer("world_size", 1, 1);
  state.seconds = fields.number("seconds", 0);
  if (const json::value* config = fields.find("config"); config && config->is_object())
    state.config = config->as_object();
  state.tensors = weights::load_tensors(folder / kTensors);
  return state;
}

}  // namespace

void write_checkpoint(const fs::path& folder, const TrainState& state, int64_t keep) {
  char name[32];
  std::snprintf(name, sizeof name, "%012lld", static_cast<long long>(state.samples));
  const fs::path partial = folder / (std::string(name) + ".partial"), place = folder / name;
  std::error_code none;
  fs::create_directories(folder, none);
  for (const auto& entry : fs::directory_iterator(folder, none))  // of a run that was killed while writing
    if (entry.path().extension() == ".partial") fs::remove_all(entry.path(), none);
  try {
    std::map<std::string, weights::TensorEntry> entries;
    for (const auto& [key, tensor] : state.tensors) entries[key] = weights::to_entry(tensor.detach());
    weights::write_safetensors(partial / kTensors, entries);
    const json::object object{{"samples", state.samples},
                              {"step", state.step},
                              {"world_size", state.world_size},
                              {"seconds", state.seconds},
                              {"sha256", sha256_of_file(partial / kTensors)},
                              {"config", state.config}};
    const std::string text = to_pretty_text(object);
    write_file_atomically(partial / kState, std::as_bytes(std::span(text)));
    fs::remove_all(place, none);
    fs::rename(partial, place);
  } catch (...) {
    fs::remove_all(partial, none);
    throw;
  }
  flush_folder(folder);
  const auto all = finished(folder);
  for (size_t i = static_cast<size_t>(keep); i < all.size(); ++i) fs::remove_all(all[i], none);
}

std::optional<TrainState> newest_checkpoint(const fs::path& folder, std::vector<std::string>& passed_over) {
  for (const fs::path& place : finished(folder)) {
    try {
      return read_state(place);
    } catch (const Error& error) {
      passed_over.push_back(error.what());
    }
  }
  return {};
}

void restore(const std::map<std::string, at::Tensor>& from, const std::string& prefix,
             const std::map<std::string, at::Tensor>& to) {
  const at::NoGradGuard no_grad;
  size_t found = 0;
  for (auto row = from.lower_bound(prefix); row != from.end() && row->first.starts_with(prefix); ++row)
    ++found;
  for (const auto& [name, tensor] : to) {
    const auto row = from.find(prefix + name);
    if (row == from.end()) throw Error(ErrorCode::BadFile, "checkpoint", "has no tensor " + prefix + name);
    if (row->second.sizes() != tensor.sizes() || row->second.scalar_type() != tensor.scalar_type())
      throw Error(ErrorCode::BadFile, "checkpoint: " + prefix + name,
                  "has another shape or type than the model's");
    tensor.copy_(row->second);
  }
  if (found != to.size())
    throw Error(ErrorCode::BadFile, "checkpoint",
                "has " + std::to_string(found) + " tensors under " + prefix + ", the run " +
                    std::to_string(to.size()));
}

}  // namespace limn::training
