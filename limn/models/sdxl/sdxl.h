// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "limn/models/family.h"

namespace limn::models::sdxl {

/// Stable Diffusion XL base and refiner (Podell et al. 2023), and the distilled U-Nets of SSD-1B, Segmind Vega
/// (Gupta et al. 2024) and KOALA (Lee et al. 2023), which differ in depth alone.
std::vector<Family> families();

}  // namespace limn::models::sdxl
