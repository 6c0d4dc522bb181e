// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/decode.h"

#include <algorithm>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>

#include "limn/base/error.h"
#include "limn/pipelines/pixels.h"
#include "limn/pipelines/tiles.h"

namespace limn::pipelines {
namespace {

constexpr int64_t kRgb = 3;

at::Tensor decode(const models::Autoencoder& vae, const at::Tensor& latents) {
  return vae.decode(vae.unscale(latents.to(vae.parameters_options()))).to(at::kCPU, at::kFloat);
}

/// A map with `length` more at both ends of a dimension: what is at the opposite end.
at::Tensor continued(const at::Tensor& map, int64_t dimension, int64_t length) {
  if (length == 0) return map;
  const int64_t side = map.size(dimension);
  return at::cat({map.narrow(dimension, side - length, length), map, map.narrow(dimension, 0, length)},
                 dimension);
}

}  // namespace

at::Tensor decode_latents(const models::Autoencoder& vae, const at::Tensor& latents, const Tiling& tiling,
                          std::stop_token stop) {
  const int64_t height = latents.size(2), width = latents.size(3), factor = vae.factor();
  if (std::max(height, width) <= tiling.largest_untiled) return decode(vae, latents);
  if (tiling.wraps_x || tiling.wraps_y) {
    const int64_t x = tiling.wraps_x ? std::min(tiling.overlap, width) : 0,
                  y = tiling.wraps_y ? std::min(tiling.overlap, height) : 0;
    Tiling plain = tiling;
    plain.wraps_x = plain.wraps_y = false;
    const at::Tensor large = decode_latents(vae, continued(continued(latents, 2, y), 3, x), plain, stop);
    return large.narrow(2, y * factor, height * factor).narrow(3, x * factor, width * factor);
  }

  at::Tensor sum = at::zeros({1, kRgb, height * factor, width * factor});
  at::Tensor weights = at::zeros({1, 1, height * factor, width * factor});
  for (const Tile& tile : tiles_of(height, width, tiling.tile, tiling.overlap)) {
    if (stop.stop_requested()) throw Error(ErrorCode::Cancelled, "decode", "stopped by the caller");
    const Tile place = tile.times(factor);
    const at::Tensor weight = place.weights(tiling.overlap * factor);
    place.of(sum).add_(decode(vae, tile.of(latents)) * weight);
    place.of(weights).add_(weight);
  }
  return sum / weights;
}

LatentPreview::LatentPreview(const models::Autoencoder& vae) {
  constexpr int64_t kSquares = 8, kLatents = 32;  // squares and latents along a side: squares of 4 latents
  at::Generator generator = at::detail::createCPUGenerator(0);
  const at::Tensor squares = at::rand({1, 3, kSquares, kSquares}, generator) * 2 - 1;
  const int64_t pixels = kLatents * vae.factor();
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
