// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_vector_norm.h>

#include "limn/base/json.h"
#include "limn/weights/tensor.h"

namespace limn {

inline std::filesystem::path goldens() {
  return std::filesystem::path(LIMN_SOURCE_DIR) / "tests" / "goldens";
}

inline const at::Tensor& golden(const std::string& name) {
  static const auto tensors = weights::load_tensors(goldens() / "pipelines.safetensors");
  return tensors.at(name);
}

/// ‖found − expected‖ / ‖expected‖.
inline double relative_l2(const at::Tensor& found, const at::Tensor& expected) {
  return (at::linalg_vector_norm((found - expected).to(at::kDouble)) /
          at::linalg_vector_norm(expected.to(at::kDouble)))
      .item<double>();
}

}  // namespace limn
