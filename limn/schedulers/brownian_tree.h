// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace limn::schedulers {

/// A Brownian motion over [start, end] whose increments depend on the seed alone, not on where or in which order it is
/// looked at: bridges between halves of halves (Li et al. 2020, §4). Equal, to the bit, to torchsde's BrownianTree, whose
/// node seeds come from numpy's SeedSequence.
class BrownianTree {
 public:
  using Draw = std::function<at::Tensor(uint64_t seed, at::IntArrayRef shape)>;

  /// @param draw  unit noise of a seed
  BrownianTree(uint64_t seed, double start, double end, std::vector<int64_t> shape, Draw draw);

  /// The increment from `sigma` to `sigma_next`, of unit variance: k-diffusion's BrownianTreeNoiseSampler.
  at::Tensor noise(double sigma, double sigma_next) const;

 private:
  struct Node {
    double start, end;
    uint64_t spawn_key;
    uint32_t depth;
  };
  at::Tensor increment(double from, double to) const;
  void collect(const Node& node, const at::Tensor& whole, double from, double to,
               std::vector<at::Tensor>& parts) const;

  uint64_t seed_;
  Node root_;
  std::vector<int64_t> shape_;
  Draw draw_;
  at::Tensor whole_;
};

/// The first words of numpy.random.SeedSequence(entropy, spawn_key=…, pool_size=…).generate_state(n).
std::vector<uint32_t> seed_sequence_state(uint64_t entropy, const std::vector<uint64_t>& spawn_key,
                                          size_t pool_size, size_t count);

}  // namespace limn::schedulers
