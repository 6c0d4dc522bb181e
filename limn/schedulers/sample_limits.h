// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

#include "limn/base/json.h"

namespace limn::schedulers {

/// What is done to the predicted clean sample before it is used.
struct SampleLimits {
  struct Thresholding {
    double ratio = 0.995;  // quantile of |x₀|, 0 … 1
    double most = 1.0;     // greatest divisor
  };
  std::optional<Thresholding> thresholding;  // wins over clip
  std::optional<double> clip;                // to ±clip

  /// @param x0  [batch, …]
  at::Tensor apply(const at::Tensor& x0) const;
};

/// Reads clip_sample and clip_sample_range.
std::optional<double> read_clip(const Fields& config, bool fallback);
/// Reads thresholding, dynamic_thresholding_ratio and sample_max_value: Saharia et al. 2022, section 2.3.
std::optional<SampleLimits::Thresholding> read_thresholding(const Fields& config);

}  // namespace limn::schedulers
