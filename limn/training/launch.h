// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace limn::training {

/// This process's place among those of a run.
struct Launch {
  int rank = 0, world_size = 1, local_rank = 0;
  std::string address = "127.0.0.1";
  int port = 29500;
};

/// Reads torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), else those of Slurm's srun
/// (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, and the first host of SLURM_STEP_NODELIST); with neither, one process.
/// @param variable  the environment: null when a name is not set
/// @throws Error{InvalidArgument} naming a variable that is missing or wrong
Launch read_launch(const std::function<const char*(const char* name)>& variable);

/// "node[3-5,9],other" → "node3".
std::string first_host(std::string_view nodes);

}  // namespace limn::training
