// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace limn::schedulers {

/// torch.randn of a CUDA generator, on the CPU: Philox 4×32 with ten rounds (Salmon et al. 2011), one counter an
/// element, Box and Muller's transform of the first two words. Equal to CUDA's for tensors that fit into one launch.
class Philox {
 public:
  explicit Philox(uint64_t seed) : seed_(seed) {}
  at::Tensor randn(at::IntArrayRef shape);  // float32

 private:
  uint64_t seed_;
  uint32_t offset_ = 0;  // rises by one a draw
};

}  // namespace limn::schedulers
