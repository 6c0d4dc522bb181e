// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>

namespace limn::models {

/// x over and over along the batch: x₀ x₁ x₀ x₁ … Keeps the memory format.
/// @param x      [n, …]
/// @param batch  a multiple of n
/// @return       [batch, …]; x itself if it has as many
inline at::Tensor repeated(const at::Tensor& x, int64_t batch) {
  if (x.size(0) == batch) return x;
  return at::cat(std::vector<at::Tensor>(static_cast<size_t>(batch / x.size(0)), x), 0);
}

}  // namespace limn::models
