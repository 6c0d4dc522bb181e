// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "limn/weights/index.h"

namespace limn::models {

/// The value of a tensor with one element; nothing for other tensors and for 8-bit floats.
std::optional<double> scalar(const weights::TensorEntry& entry);

/// The standard deviation of a dense tensor's elements, divided by n - 1; nothing for fewer than two
/// elements.
std::optional<double> standard_deviation(const weights::TensorEntry& entry);

}  // namespace limn::models
