// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "limn/models/model.h"

namespace limn::adapters {

/// A model whose U-Net multiplies with weights of 8 bits, one scale an output (kernels::quantize_rows): linear layers and
/// convolutions of 16,384 weights and more, but not the first and last convolution and the time embedding, as is usual. Its
/// other parameters are shared with `base`. The pictures change a little: docs/performance.md says how much.
/// @param rounds_inputs  what is multiplied with them has 8 bits too, one scale a row, where the CPU has VNNI
std::shared_ptr<const models::Model> with_int8_weights(const std::shared_ptr<const models::Model>& base,
                                                       bool rounds_inputs);

}  // namespace limn::adapters
