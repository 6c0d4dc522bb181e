// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

namespace limn::training {

/// What a random number is for. Each purpose has its own stream, so that a new option never moves the others.
enum class Stream : uint64_t {
  Initialisation = 1,
  Order,
  Timestep,
  Noise,
  Posterior,
  Dropout,
  Augmentation,
  Validation,
};

/// A number that depends on all three alone (Steele et al. 2014, SplitMix64).
uint64_t mixed(uint64_t seed, Stream stream, uint64_t index);

/// Random numbers of training are drawn from generators that depend on the run's seed, their purpose and the number of
/// the sample alone: not on the number of threads, processes or resumptions.
at::Generator generator_for(uint64_t seed, Stream stream, uint64_t index);

/// Uniform in [0, 1).
double uniform(uint64_t seed, Stream stream, uint64_t index);

/// Standard normal, float32.
/// @param shape  of one sample
/// @return       [count, shape…]; row i depends on (seed, stream, first + i) alone
at::Tensor normal_rows(uint64_t seed, Stream stream, uint64_t first, int64_t count, at::IntArrayRef shape);

/// FNV-1a, for naming streams by text.
uint64_t hash_of(std::string_view text);

}  // namespace limn::training
