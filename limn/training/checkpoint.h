// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "limn/base/json.h"

namespace limn::training {

/// Everything a run needs to go on as if it had never stopped: tensors by name, and where it is. Random numbers need no
/// state of their own: they depend on the seed and the number of the sample (random.h).
struct TrainState {
  int64_t samples = 0, step = 0;
  int64_t world_size = 1;
  double seconds = 0;   // of training so far
  json::object config;  // to_json of the settings
  std::map<std::string, at::Tensor> tensors;
};

/// Writes FOLDER/SAMPLES/{state.safetensors, state.json}, whole or not at all: a kill or a full disk at any moment
/// leaves the former ones. Then removes all but the newest `keep`.
/// @throws Error{InvalidArgument} when it cannot be written, saying how much room it needs
void write_checkpoint(const std::filesystem::path& folder, const TrainState& state, int64_t keep);

/// The newest whole checkpoint: its hash is checked, a damaged one is passed over.
/// @param passed_over  gets a line for each that was damaged
std::optional<TrainState> newest_checkpoint(const std::filesystem::path& folder,
                                            std::vector<std::string>& passed_over);

/// Copies `from`'s tensors called `prefix` + name into `to`.
/// @throws Error{BadFile} naming what is missing, left over or of another shape
void restore(const std::map<std::string, at::Tensor>& from, const std::string& prefix,
             const std::map<std::string, at::Tensor>& to);

}  // namespace limn::training
