// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/hires.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "limn/pipelines/decode.h"
#include "limn/pipelines/pixels.h"

namespace limn::pipelines {
namespace {

using models::Autoencoder;

at::Tensor bilinear(const Autoencoder&, const at::Tensor& x, int64_t height, int64_t width, std::stop_token) {
  return at::upsample_bilinear2d(x, {height, width}, false);
}
at::Tensor antialiased(const Autoencoder&, const at::Tensor& x, int64_t height, int64_t width,
                       std::stop_token) {
  return at::_upsample_bilinear2d_aa(x, {height, width}, false);
}
at::Tensor bicubic(const Autoencoder&, const at::Tensor& x, int64_t height, int64_t width, std::stop_token) {
  return at::upsample_bicubic2d(x, {height, width}, false);
}
at::Tensor nearest(const Autoencoder&, const at::Tensor& x, int64_t height, int64_t width, std::stop_token) {
  return at::upsample_nearest2d(x, {height, width});
}
/// Through pixels: decoded, enlarged, and encoded again at the mean.
at::Tensor lanczos(const Autoencoder& vae, const at::Tensor& x, int64_t height, int64_t width,
                   std::stop_token stop) {
  const auto pixels = [&](int64_t side) { return static_cast<int>(side * vae.factor()); };
  std::vector<at::Tensor> out;
  for (int64_t i = 0; i < x.size(0); ++i) {
    const Image small = to_image(decode_latents(vae, x.slice(0, i, i + 1), {}, stop));
    const at::Tensor large = to_pixels(resize_lanczos(small, pixels(width), pixels(height)));
    out.push_back(vae.scale(vae.encode(large.to(vae.parameters_options())).mean).to(at::kCPU, at::kFloat));
  }
  return at::cat(out, 0);
}

constexpr Upscaler kUpscalers[] = {
    {"latent", "A1111's Latent: bilinear", bilinear},
    {"latent_antialiased", "A1111's Latent (antialiased)", antialiased},
    {"latent_bicubic", "A1111's Latent (bicubic)", bicubic},
    {"latent_nearest", "A1111's Latent (nearest)", nearest},
    {"lanczos", "pixels, Lanczos of 3 lobes", lanczos},
};

}  // namespace

std::span<const Upscaler> upscalers() { return kUpscalers; }

}  // namespace limn::pipelines
