// SPDX-License-Identifier: Apache-2.0
#include <ATen/autocast_mode.h>

#include "limn/base/error.h"
#include "limn/nn/fast_path.h"
#include "limn/training/task.h"

namespace limn::training {
Autocast::Autocast(bool on, c10::DeviceType device) : on_(on), before_(false), device_(device) {
  if (!on_) return;
  before_ = at::autocast::is_autocast_enabled(device);
  at::autocast::set_autocast_enabled(device, true);
  at::autocast::set_autocast_dtype(device, at::kBFloat16);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, before_);
}

at::Device device_of(const TrainConfig& config) {
  try {
    return at::Device(config.device);
  } catch (const c10::Error&) {
    throw Error(ErrorCode::InvalidArgument, "run.device", "no device '" + config.device + "'",
                "cpu, cuda or cuda:N");
  }
}

bool wants_bfloat16(const TrainConfig& config) {
  if (config.precision == "bfloat16") return true;
  return config.precision == "auto" && (!device_of(config).is_cpu() || nn::multiplies_bfloat16());
}

}  // namespace limn::training
