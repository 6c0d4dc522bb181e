// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/decode.h"

#include <algorithm>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include "limn/base/error.h"
#include "limn/pipelines/pixels.h"

namespace limn::pipelines {
namespace {

at::Tensor decode(const models::AutoencoderKL& vae, const at::Tensor& latents) {
  return vae.decode(vae.unscale(latents.to(vae.parameters_options()))).to(at::kCPU, at::kFloat);
}

/// Where tiles start along a side: evenly spread, the last one ending at the edge.
std::vector<int64_t> tile_starts(int64_t side, int64_t tile, int64_t overlap) {
  if (side <= tile) return {0};
  const int64_t count = (side - overlap + tile - overlap - 1) / (tile - overlap);
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < count; ++i) starts.push_back(i * (side - tile) / (count - 1));
  return starts;
}

/// A tile's weight along a side: rises from its start over the overlap and falls to its end. Never 0.
at::Tensor ramp(int64_t pixels, int64_t overlap) {
  const at::Tensor x = at::arange(pixels, at::kFloat);
  return at::minimum(x + 1, static_cast<double>(pixels) - x).clamp_max(static_cast<double>(overlap));
}

}  // namespace

at::Tensor decode_latents(const models::AutoencoderKL& vae, const at::Tensor& latents, const Tiling& tiling,
                          std::stop_token stop) {
  const int64_t height = latents.size(2), width = latents.size(3), factor = vae.config().factor();
  if (std::max(height, width) <= tiling.largest_untiled) return decode(vae, latents);

  at::Tensor sum = at::zeros({1, vae.config().out_channels, height * factor, width * factor});
  at::Tensor weights = at::zeros({1, 1, height * factor, width * factor});
  for (int64_t y : tile_starts(height, tiling.tile, tiling.overlap))
    for (int64_t x : tile_starts(width, tiling.tile, tiling.overlap)) {
      if (stop.stop_requested()) throw Error(ErrorCode::Cancelled, "decode", "stopped by the caller");
      const int64_t h = std::min(tiling.tile, height - y), w = std::min(tiling.tile, width - x);
      const at::Tensor pixels = decode(vae, latents.slice(2, y, y + h).slice(3, x, x + w));
      const at::Tensor weight = ramp(h * factor, tiling.overlap * factor).unsqueeze(1) *
                                ramp(w * factor, tiling.overlap * factor).unsqueeze(0);
      const auto part = [&](const at::Tensor& whole) {
        return whole.slice(2, y * factor, (y + h) * factor).slice(3, x * factor, (x + w) * factor);
      };
      part(sum).add_(pixels * weight);
      part(weights).add_(weight);
    }
  return sum / weights;
}

LatentPreview::LatentPreview(const models::AutoencoderKL& vae) {
  constexpr int64_t kSquares = 8, kLatents = 32;  // squares and latents along a side: squares of 4 latents
  at::Generator generator = at::detail::createCPUGenerator(0);
  const at::Tensor squares = at::rand({1, 3, kSquares, kSquares}, generator) * 2 - 1;
  const int64_t pixels = kLatents * vae.config().factor();
  const at::Tensor picture = at::upsample_nearest2d(squares, {pixels, pixels}).to(vae.parameters_options());
  const at::Tensor latents = vae.scale(vae.encode(picture).mean).to(at::kCPU, at::kFloat);

  const int64_t channels = latents.size(1), count = kLatents * kLatents;
  const at::Tensor known = at::cat({latents.view({channels, count}).t(), at::ones({count, 1})}, 1);
  const at::Tensor wanted = at::upsample_nearest2d(squares, {kLatents, kLatents}).view({3, count}).t();
  // Ridge regression; the small weight keeps channels that carry no colour from being overread.
  const at::Tensor ridge = at::eye(channels + 1) * (1e-2 * static_cast<double>(count));
  map_ = at::linalg_solve(at::matmul(known.t(), known) + ridge, at::matmul(known.t(), wanted));
}

Image LatentPreview::render(const at::Tensor& latents) const {
  const int64_t channels = latents.size(1), height = latents.size(2), width = latents.size(3);
  const at::Tensor flat = latents.to(at::kCPU, at::kFloat).reshape({channels, height * width}).t();
  const at::Tensor rgb = at::matmul(flat, map_.slice(0, 0, channels)) + map_[channels];
  return to_image(rgb.t().reshape({1, 3, height, width}));
}

}  // namespace limn::pipelines
