// SPDX-License-Identifier: Apache-2.0
#include "limn/pipelines/decode.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/models/checkpoint.h"
#include "limn/models/model.h"
#include "limn/pipelines/pixels.h"

namespace limn::pipelines {
namespace {

const models::Model& embedded() {
  static const auto model = models::load_model(
      models::open_checkpoint(std::filesystem::path(LIMN_SOURCE_DIR) / "data" / "embedded"), {});
  return *model;
}

/// Latents of a smooth, colourful picture, such as a decoder is made for.
at::Tensor picture(int64_t side) {
  at::Generator generator = at::detail::createCPUGenerator(3);
  return at::upsample_bilinear2d(at::randn({1, 3, 6, 6}, generator) * 0.7, {side, side}, false).clamp(-1, 1);
}

TEST(DecodeLatents, HidesTheSeamsOfTiles) {
  const c10::InferenceMode inference;
  const at::Tensor latents = embedded().vae->scale(embedded().vae->encode(picture(320)).mean);
  const at::Tensor whole = decode_latents(*embedded().vae, latents, {.largest_untiled = 64}, {});
  const at::Tensor tiled =
      decode_latents(*embedded().vae, latents, {.largest_untiled = 16, .tile = 24, .overlap = 8}, {});
  ASSERT_EQ(whole.sizes(), tiled.sizes());
  // A seam is a jump between neighbours that the whole picture does not have: none above 2 of 255 levels.
  const auto jumps = [](const at::Tensor& x) { return x.slice(3, 1) - x.slice(3, 0, -1); };
  EXPECT_LT((jumps(tiled) - jumps(whole)).abs().mean().item<double>(), 2.0 / 127.5);
  EXPECT_LT((tiled - whole).abs().mean().item<double>(), 6.0 / 127.5);
}

TEST(DecodeLatents, IsExactWhereOneTileIsEnough) {
  const c10::InferenceMode inference;
  const at::Tensor latents = embedded().vae->scale(embedded().vae->encode(picture(128)).mean);
  const at::Tensor whole = decode_latents(*embedded().vae, latents, {}, {});
  const at::Tensor one_tile =
      decode_latents(*embedded().vae, latents, {.largest_untiled = 8, .tile = 16, .overlap = 4}, {});
  EXPECT_TRUE(whole.allclose(one_tile, 1e-5, 1e-5));
}

TEST(DecodeLatents, MakesOppositeEdgesNeighboursWhereTheyAre) {
  const c10::InferenceMode inference;
  const at::Tensor latents = embedded().vae->scale(embedded().vae->encode(picture(256)).mean);
  const Tiling tiling{.largest_untiled = 8, .tile = 16, .overlap = 8, .wraps_x = true};
  const at::Tensor made = decode_latents(*embedded().vae, latents, tiling, {});
  ASSERT_EQ(made.size(3), 256);
  // Turned by a half of its width it is the same picture, the old edges now in its middle: no seam was at them.
  const at::Tensor turned = decode_latents(*embedded().vae, latents.roll(16, 3), tiling, {}).roll(-128, 3);
  const auto jump = [](const at::Tensor& x) {
    return (x.select(3, 0) - x.select(3, 255)).abs().mean().item<double>();
  };
  Tiling plain = tiling;
  plain.wraps_x = false;
  const double seam = std::abs(jump(made) - jump(turned)),
               without = std::abs(jump(decode_latents(*embedded().vae, latents, plain, {})) - jump(turned));
  EXPECT_LT(seam, without);
  EXPECT_LT((made - turned).abs().mean().item<double>(), 6.0 / 127.5);
}

TEST(DecodeLatents, StopsBetweenTiles) {
  const c10::InferenceMode inference;
  std::stop_source stop;
  stop.request_stop();
  const at::Tensor latents = embedded().vae->encode(picture(128)).mean;
  EXPECT_THROW(decode_latents(*embedded().vae, latents, {.largest_untiled = 8, .tile = 8, .overlap = 2},
                              stop.get_token()),
               Error);
}

TEST(LatentPreview, ShowsThePictureRoughly) {
  const c10::InferenceMode inference;
  const at::Tensor pixels = picture(256);
  const Image preview =
      LatentPreview(*embedded().vae).render(embedded().vae->scale(embedded().vae->encode(pixels).mean));
  ASSERT_EQ(preview.width, 32);
  const at::Tensor small = at::upsample_bilinear2d(pixels, {32, 32}, false);
  const at::Tensor error = (to_pixels(preview) - small).abs();
  EXPECT_LT(error.mean().item<double>(), 0.15);  // a black preview has 0.4
}

TEST(ToImage, IsTheInverseOfToPixels) {
  Image image{.width = 16, .height = 16, .channels = 3, .pixels = {}};
  for (int i = 0; i < 768; ++i) image.pixels.push_back(static_cast<uint8_t>(i));
  EXPECT_EQ(to_image(to_pixels(image)).pixels, image.pixels);
}

}  // namespace
}  // namespace limn::pipelines
