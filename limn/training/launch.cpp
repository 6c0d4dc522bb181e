// SPDX-License-Identifier: Apache-2.0
#include "limn/training/launch.h"

#include <charconv>
#include <cstdlib>

#include "limn/base/error.h"

namespace limn::training {

std::string first_host(std::string_view nodes) {
  const size_t bracket = nodes.find('['), comma = nodes.find(',');
  if (bracket >= comma || bracket == std::string_view::npos) return std::string(nodes.substr(0, comma));
  const size_t end = nodes.find_first_of("-,]", bracket);
  return std::string(nodes.substr(0, bracket)) + std::string(nodes.substr(bracket + 1, end - bracket - 1));
}

Launch read_launch(const std::function<const char*(const char*)>& variable) {
  const auto number = [&](const char* name, int fallback, int least, int most) {
    const char* text = variable(name);
    if (!text) return fallback;
    int value = 0;
    const std::string_view all(text);
    const auto [end, code] = std::from_chars(all.data(), all.data() + all.size(), value);
    if (code != std::errc() || end != all.data() + all.size() || value < least || value > most)
      throw Error(ErrorCode::InvalidArgument, name,
                  "expected an integer from " + std::to_string(least) + " to " + std::to_string(most) +
                      ", found '" + std::string(all) + "'");
    return value;
  };
  constexpr int kMost = 1 << 20;
  Launch out;
  const bool slurm = !variable("WORLD_SIZE") && variable("SLURM_STEP_NODELIST");
  out.world_size = number(slurm ? "SLURM_NTASKS" : "WORLD_SIZE", 1, 1, kMost);
  if (out.world_size == 1) return out;
  const char* rank = slurm ? "SLURM_PROCID" : "RANK";
  if (!variable(rank))
    throw Error(ErrorCode::InvalidArgument, rank,
                "is not set, but there are " + std::to_string(out.world_size) + " processes",
                "start them with torchrun or srun");
  out.rank = number(rank, 0, 0, out.world_size - 1);
  out.local_rank = number(slurm ? "SLURM_LOCALID" : "LOCAL_RANK", out.rank, 0, kMost);
  if (const char* address = variable("MASTER_ADDR"))
    out.address = address;
  else if (slurm)
    out.address = first_host(variable("SLURM_STEP_NODELIST"));
  out.port = number("MASTER_PORT", out.port, 1, 65535);
  return out;
}

}  // namespace limn::training
