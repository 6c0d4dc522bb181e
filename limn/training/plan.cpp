// SPDX-License-Identifier: Apache-2.0
#include "limn/training/plan.h"

#include <fstream>
#include <string>

#include "limn/base/error.h"
#include "limn/base/named_table.h"

namespace limn::training {
namespace {

constexpr double kLatentBytesPerPixel = 0.5;  // two float16 numbers of 8 channels for 64 pixels

std::string gib(int64_t bytes) {
  const std::string text = std::to_string(static_cast<double>(bytes) / (1 << 30));
  return text.substr(0, text.find('.') + 3) + " GiB";
}

/// Memory the system can still give, or −1 where it does not say.
int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;)
    if (key == "MemAvailable:") {
      int64_t kib = 0;
      file >> kib;
      return kib * 1024;
    }
  return -1;
}

}  // namespace

Room room_of(const TrainConfig& config, const std::vector<Trainable>& parameters,
             const datasets::Dataset& data) {
  double numbers = 0, pixels = 0;
  for (const Trainable& p : parameters) numbers += static_cast<double>(p.tensor.numel());
  for (const datasets::Bucket& bucket : data.buckets())
    pixels += static_cast<double>(bucket.count) * bucket.width * bucket.height;
  const double states = find_named(optimizers(), config.optimizer, "optimizer.name").state_bytes;
  const double average = config.ema == "none" ? 0 : 4;
  const double latents = config.cache_latents ? pixels * kLatentBytesPerPixel : 0;
  const double checkpoint = numbers * (4 + states + average);
  return {.memory = static_cast<int64_t>(numbers * (4 + states + average) + latents),
          .disk = static_cast<int64_t>(checkpoint * static_cast<double>(config.keep + 1) + numbers * 4 +
                                       latents)};
}

void check_room(const TrainConfig& config, const std::filesystem::path& output,
                const std::vector<Trainable>& parameters, const datasets::Dataset& data) {
  const Room room = room_of(config, parameters, data);
  const int64_t memory = available_memory();
  if (config.device == "cpu" && memory >= 0 && room.memory > memory)
    throw Error(
        ErrorCode::OutOfMemory, config.file.string(),
        "gradients, optimizer and averages need " + gib(room.memory) + ", " + gib(memory) + " are free",
        "optimizer.name = \"adamw_8bit\" or \"adafactor\" needs less, and lora far less");
  std::error_code none;
  std::filesystem::create_directories(output, none);
  const auto space = std::filesystem::space(output, none);
  if (!none && static_cast<double>(space.available) < static_cast<double>(room.disk))
    throw Error(ErrorCode::OutOfMemory, output.string(),
                "checkpoints and model need " + gib(room.disk) + " of disk, " +
                    gib(static_cast<int64_t>(space.available)) + " are free",
                "choose another --output, or a lower checkpoint.keep");
}

}  // namespace limn::training
