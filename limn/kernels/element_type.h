// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace limn::kernels {

/// How weights lie in memory. Sums are made in float32 whatever they are.
enum class ElementType { Float32, Float16, BFloat16, Int8 };

/// An array of one of these types.
struct Weights {
  const void* data = nullptr;
  ElementType type = ElementType::Float32;
  const float* scales = nullptr;  // of Int8, one a row (an output): a weight is integer · scale
};

}  // namespace limn::kernels
