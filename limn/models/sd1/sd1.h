// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/models/family.h"

namespace limn::models::sd1 {

/// Stable Diffusion 1.x (Rombach et al. 2022): CLIP ViT-L, 860 M U-Net.
Family family();

}  // namespace limn::models::sd1
