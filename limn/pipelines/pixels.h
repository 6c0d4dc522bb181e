// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "limn/image/image.h"

namespace limn::pipelines {

/// 8-bit RGB to float32 [1, 3, height, width] in [-1, 1].
at::Tensor to_pixels(const Image& image);

/// float32 [1, 3, height, width], clamped to [-1, 1] and rounded, to 8-bit RGB, as diffusers' postprocess
/// does.
Image to_image(const at::Tensor& pixels);

}  // namespace limn::pipelines
