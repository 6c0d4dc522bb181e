// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <stop_token>
#include <string_view>

#include "limn/models/autoencoder.h"

namespace limn::pipelines {

/// How latents of a first pass are enlarged for a second one.
struct Upscaler {
  std::string_view name, source;
  /// @param latents        float32 [batch, channels, h, w], the denoiser's scale
  /// @param height, width  wanted, latents
  at::Tensor (*enlarge)(const models::Autoencoder& vae, const at::Tensor& latents, int64_t height,
                        int64_t width, std::stop_token stop);
};
std::span<const Upscaler> upscalers();

}  // namespace limn::pipelines
