// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "limn/models/model.h"

namespace limn::adapters {

/// A model whose pictures fit themselves at the left and right edges (x), at top and bottom (y), or both: every
/// convolution of U-Net and VAE continues at the opposite edge. Weights are shared with `base`.
std::shared_ptr<const models::Model> with_seamless_edges(const std::shared_ptr<const models::Model>& base,
                                                         bool x, bool y);

}  // namespace limn::adapters
