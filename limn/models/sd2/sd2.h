// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/models/family.h"

namespace limn::models::sd2 {

/// Stable Diffusion 2.x: OpenCLIP ViT-H without its last layer, 64 channels an attention head.
Family family();

}  // namespace limn::models::sd2
