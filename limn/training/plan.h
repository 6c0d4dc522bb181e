// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "limn/datasets/dataset.h"
#include "limn/training/config.h"
#include "limn/training/optimizer.h"

namespace limn::training {

/// What a run will take beside the activations, which depend on the model. Bytes.
struct Room {
  int64_t memory = 0;  // still to be taken: gradients, optimizer, averages
  int64_t disk = 0;    // checkpoints with one in the making, the model, cached latents
};
Room room_of(const TrainConfig& config, const std::vector<Trainable>& parameters,
             const datasets::Dataset& data);

/// @throws Error{OutOfMemory} when memory or the output's disk has less room than the run needs
void check_room(const TrainConfig& config, const std::filesystem::path& output,
                const std::vector<Trainable>& parameters, const datasets::Dataset& data);

}  // namespace limn::training
