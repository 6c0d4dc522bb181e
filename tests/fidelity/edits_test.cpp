// SPDX-License-Identifier: Apache-2.0
// What has no reference to compare with: seams, what is kept, what lies under a mask, how pictures are enlarged.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/file.h"
#include "limn/engine/engine.h"
#include "limn/image/edit.h"
#include "limn/models/model.h"
#include "limn/pipelines/decode.h"
#include "limn/pipelines/hires.h"
#include "limn/pipelines/pixels.h"
#include "limn/pipelines/tiles.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"
#include "tests/fidelity/goldens.h"

namespace limn {
namespace {

namespace fs = std::filesystem;

fs::path families() { return goldens() / "families"; }

engine::Engine& shared_engine() {
  static engine::Engine engine;
  return engine;
}

/// A run of a tiny model, with changes.
engine::GenerateRequest request_of(const std::string& model, const json::object& more) {
  json::object fields{{"prompt", "a lighthouse in fog"},
                      {"model", (families() / model).string()},
                      {"width", 64},
                      {"height", 64},
                      {"steps", 3},
                      {"seed", 7},
                      {"guidance_scale", 5.0}};
  for (const auto& [key, value] : more) fields[key] = value;
  return engine::request_from_json(fields);
}
engine::GenerateRequest repaint_of(const std::string& model, json::object more) {
  json::object fields{{"init_image", (families() / "init.png").string()},
                      {"mask", (families() / "mask.png").string()}};
  for (const auto& [key, value] : more) fields[key] = value;
  return request_of(model, fields);
}
engine::Picture made(const engine::GenerateRequest& request) {
  return shared_engine().generate(request).front();
}
at::Tensor latents_of(const engine::Picture& picture) {
  return at::tensor(picture.latents.values).view(picture.latents.shape);
}

/// Differences of neighbours along the last dimension, their mean at each place: [length − 1].
std::vector<double> steps_along(const at::Tensor& map) {
  const at::Tensor jumps = (map.slice(-1, 1) - map.slice(-1, 0, -1)).abs().to(at::kDouble);
  const at::Tensor mean = jumps.flatten(0, -2).mean(0).contiguous();
  return {mean.const_data_ptr<double>(), mean.const_data_ptr<double>() + mean.numel()};
}
double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// The places inside a side where a tile begins or ends.
std::vector<int64_t> borders(int64_t side, int64_t tile, int64_t overlap) {
  std::vector<int64_t> out;
  for (const pipelines::Tile& t : pipelines::tiles_of(1, side, tile, overlap)) {
    if (t.x > 0) out.push_back(t.x);
    if (t.x + t.width < side) out.push_back(t.x + t.width);
  }
  return out;
}

/// Expects the mean step across tile borders to be no larger than elsewhere, in columns or in rows.
void expect_no_seams(const at::Tensor& map, int64_t tile, int64_t overlap, int64_t dimension,
                     int64_t factor) {
  const at::Tensor turned = map.transpose(dimension, -1);
  const std::vector<double> steps = steps_along(turned);
  std::vector<double> across, elsewhere;
  std::vector<bool> is_border(steps.size());
  for (const int64_t border : borders(turned.size(-1) / factor, tile, overlap))
    is_border[static_cast<size_t>(border * factor - 1)] = true;
  for (size_t i = 0; i < steps.size(); ++i) (is_border[i] ? across : elsewhere).push_back(steps[i]);
  ASSERT_GE(across.size(), 3u);
  double variance = 0;
  const double usual = mean_of(elsewhere);
  for (const double step : elsewhere) variance += (step - usual) * (step - usual);
  // No larger than elsewhere, as far as so few borders can tell: three standard errors of their mean.
  const double error = std::sqrt(variance / static_cast<double>(elsewhere.size() * across.size()));
  EXPECT_LE(mean_of(across), usual + 3 * error) << "along dimension " << dimension;
}

TEST(Seams, OfTiledDiffusionAreNoSteeperThanThePicture) {
  const auto wide = made(request_of("sd2", {{"width", 160}, {"tile", 64}, {"tile_overlap", 32}}));
  expect_no_seams(latents_of(wide), 8, 4, 2, 1);
  const auto high = made(request_of("sd2", {{"height", 160}, {"tile", 64}, {"tile_overlap", 32}}));
  expect_no_seams(latents_of(high), 8, 4, 1, 1);
}

TEST(Seams, OfTiledDecodingAreNoSteeperThanThePicture) {
  const c10::InferenceMode inference;
  const auto model =
      models::load_model(models::open_checkpoint(fs::path(LIMN_SOURCE_DIR) / "data" / "embedded"), {});
  at::Generator generator = at::detail::createCPUGenerator(3);
  const at::Tensor smooth =
      at::upsample_bilinear2d(at::randn({1, 3, 7, 7}, generator) * 0.7, {384, 384}, false).clamp(-1, 1);
  const at::Tensor latents = model->vae->scale(model->vae->encode(smooth).mean);
  const pipelines::Tiling tiling{.largest_untiled = 8, .tile = 16, .overlap = 4};
  const at::Tensor decoded = pipelines::decode_latents(*model->vae, latents, tiling, {});
  for (const int64_t dimension : {2, 3})
    expect_no_seams(decoded, tiling.tile, tiling.overlap, dimension, model->vae->factor());
}

TEST(Seams, OfSeamlessPicturesAreNoneInBothDirections) {
  for (const char* way : {"x", "y", "xy"}) {
    const auto plain = latents_of(made(request_of("sd2", {{"steps", 4}}))),
               wrapped = latents_of(made(request_of("sd2", {{"steps", 4}, {"seamless", way}})));
    // A picture that fits itself, turned, is made by turned noise: nothing in it knows where its edges are.
    for (const int64_t dimension : {1, 2}) {
      const bool fits = std::string(way).find(dimension == 2 ? 'x' : 'y') != std::string::npos;
      const auto turned_run = [&](const json::object& more) {
        auto request = request_of("sd2", {{"steps", 4}});
        for (const auto& [key, value] : more) request.seamless = std::string(value.as_string());
        const fs::path file = fs::path(testing::TempDir()) / "limn_turned.safetensors";
        at::Generator generator = at::detail::createCPUGenerator(7);
        const at::Tensor noise = at::randn({1, 4, 8, 8}, generator).roll(4, dimension + 1).contiguous();
        std::vector<float> values(noise.const_data_ptr<float>(),
                                  noise.const_data_ptr<float>() + noise.numel());
        weights::TensorEntry entry;
        entry.shape = {1, 4, 8, 8};
        entry.bytes = std::as_bytes(std::span(values));
        weights::write_safetensors(file, {{"latents", entry}});
        request.init_latents = file;
        const at::Tensor out = latents_of(made(request)).roll(-4, dimension);
        fs::remove(file);
        return out;
      };
      if (fits)
        EXPECT_LT(relative_l2(turned_run({{"seamless", way}}), wrapped), 1e-4) << way << dimension;
      else
        EXPECT_GT(relative_l2(turned_run({{"seamless", way}}), wrapped), 1e-2) << way << dimension;
    }
    EXPECT_GT(relative_l2(wrapped, plain), 1e-3);
  }
}

TEST(Repainting, KeepsUnmaskedPixelsToTheBitWhateverTheConventions) {
  const Image original = to_rgb(read_image(families() / "init.png")),
              mask = to_grey(read_image(families() / "mask.png"));
  for (const char* compat : {"diffusers", "a1111", "comfy"})
    for (const char* model : {"sd1", "inpaint", "sdxl"})
      for (const double strength : {0.6, 1.0})
        for (const char* area : {"whole", "masked"}) {
          const auto picture = made(repaint_of(
              model,
              {{"compat", compat}, {"strength", strength}, {"inpaint_area", area}, {"scheduler", "euler"}}));
          size_t changed = 0;
          for (size_t i = 0; i < original.pixels.size(); ++i) {
            const bool same = picture.image.pixels[i] == original.pixels[i];
            if (mask.pixels[i / 3] == 0)
              ASSERT_TRUE(same) << compat << " " << model << " " << strength << " " << area << " at " << i;
            changed += same ? 0 : 1;
          }
          EXPECT_GT(changed, 1000u) << compat << " " << model;
        }
}

/// Means of what lies inside and outside of the mask in the latents that a run begins with: one step of next to nothing.
TEST(Repainting, StartsFromTheContentThatWasAskedFor) {
  const auto run = [&](const char* content, const char* compat) {
    return latents_of(made(repaint_of("sd1", {{"masked_content", content},
                                              {"compat", compat},
                                              {"steps", 20},
                                              {"strength", 0.05},
                                              {"scheduler", "Euler"},
                                              {"mask_blur", 0.0}})));
  };
  for (const char* compat : {"a1111", "comfy"}) {
    const at::Tensor original = run("original", compat), fill = run("fill", compat),
                     noise = run("noise", compat), nothing = run("nothing", compat);
    const auto inside = [](const at::Tensor& x) { return x.slice(1, 2, 6).slice(2, 3, 8); };
    const auto outside = [](const at::Tensor& x) { return x.slice(1, 0, 2); };
    // Nothing is a flat field next to what was there; noise has a spread of one; what is outside is the picture's.
    EXPECT_LT(inside(nothing).abs().mean().item<double>(),
              0.75 * inside(original).abs().mean().item<double>())
        << compat;
    EXPECT_GT(inside(noise).std().item<double>(), 2 * inside(nothing).std().item<double>()) << compat;
    EXPECT_GT(relative_l2(inside(fill), inside(original)), 1e-2) << compat;
    // Colours from around are flatter than what they cover.
    EXPECT_LT(mean_of(steps_along(inside(fill))), mean_of(steps_along(inside(original)))) << compat;
    for (const at::Tensor& other : {noise, nothing})
      EXPECT_TRUE(at::equal(outside(other), outside(original))) << compat;
  }
}

fs::path grey_mask(uint8_t value) {
  const fs::path file = fs::path(testing::TempDir()) / ("limn_grey_" + std::to_string(value) + ".png");
  Image mask{64, 64, 1, std::vector<uint8_t>(64 * 64, value)};
  const auto bytes = encode_image(to_rgb(mask), "png", {});
  write_file_atomically(file, std::as_bytes(std::span(bytes)));
  return file;
}

TEST(Repainting, FreesAPlaceForTheShareOfStepsThatItsGreyIs) {
  // White is free from the first step on; the darker, the longer a place is held to the picture.
  const auto distance = [&](int grey) {
    auto request = repaint_of("sd1", {{"mask_mode", "differential"},
                                      {"steps", 10},
                                      {"strength", 1.0},
                                      {"scheduler", "ddim"},
                                      {"mask_blur", 0.0}});
    request.mask = grey_mask(static_cast<uint8_t>(grey));
    const at::Tensor found = latents_of(made(request));
    fs::remove(request.mask);
    auto kept = request_of("sd1", {{"init_image", (families() / "init.png").string()},
                                   {"strength", 0.1},
                                   {"steps", 10},
                                   {"scheduler", "ddim"}});
    return relative_l2(found, latents_of(made(kept)));
  };
  const double dark = distance(30), middle = distance(128), light = distance(255);
  EXPECT_LT(dark, middle);
  EXPECT_LT(middle, light);
}

TEST(SecondPass, EnlargesAsItsUpscalerSays) {
  const c10::InferenceMode inference;
  const auto model = models::load_model(models::open_checkpoint(families() / "sd2"), {});
  at::Generator generator = at::detail::createCPUGenerator(1);
  const at::Tensor small = at::randn({1, 4, 8, 8}, generator);
  std::map<std::string, at::Tensor> large;
  for (const auto& upscaler : pipelines::upscalers())
    large[std::string(upscaler.name)] = upscaler.enlarge(*model->vae, small, 16, 16, {});
  for (const auto& [name, latents] : large)
    EXPECT_EQ(latents.sizes(), at::IntArrayRef({1, 4, 16, 16})) << name;
  // Nearest: each value four times over. Bilinear: between its neighbours, and their mean half way. Bicubic overshoots.
  EXPECT_TRUE(at::equal(large["latent_nearest"].slice(2, 0, 16, 2).slice(3, 0, 16, 2), small));
  EXPECT_TRUE(at::equal(large["latent_nearest"].slice(2, 1, 16, 2).slice(3, 1, 16, 2), small));
  const at::Tensor row = large["latent"][0][0][0], first = small[0][0][0];
  for (int64_t i = 0; i + 1 < 8; ++i)
    EXPECT_NEAR(row[2 * i + 1].item<double>(),
                0.75 * first[i].item<double>() + 0.25 * first[i + 1].item<double>(), 1e-5);
  EXPECT_LE(large["latent"].abs().max().item<double>(), small.abs().max().item<double>());
  EXPECT_GT(large["latent_bicubic"].abs().max().item<double>(), large["latent"].abs().max().item<double>());
  EXPECT_TRUE(
      large["latent_antialiased"].allclose(large["latent"], 1e-4, 1e-4));  // nothing to smooth on the way up
  // Through pixels: what an enlarged decoding is encoded as.
  const Image decoded = pipelines::to_image(pipelines::decode_latents(*model->vae, small, {}, {}));
  const at::Tensor pixels = pipelines::to_pixels(resize_lanczos(decoded, 128, 128));
  EXPECT_LT(relative_l2(large["lanczos"], model->vae->scale(model->vae->encode(pixels).mean)), 1e-5);
}

TEST(Outpainting, AddsAtEachSideAndKeepsTheRest) {
  const Image original = to_rgb(read_image(families() / "init.png"));
  constexpr int kAdded = 16, kOverlap = 16;
  for (size_t side = 0; side < 4; ++side) {
    json::array margins{0, 0, 0, 0};
    margins[side] = kAdded;
    json::object more{
        {"init_image", (families() / "init.png").string()}, {"outpaint", margins}, {"steps", 2}};
    auto request = request_of("sd1", more);
    request.width.reset();
    request.height.reset();
    const Image picture = made(request).image;
    const bool across = side % 2 == 0;
    ASSERT_EQ(picture.width, across ? 64 + kAdded : 64);
    ASSERT_EQ(picture.height, across ? 64 : 64 + kAdded);
    const int left = side == 0 ? kAdded : 0, top = side == 1 ? kAdded : 0;
    // All of the old picture but what lies within the overlap of the new edge.
    const Rect kept{side == 0 ? kOverlap : 0, side == 1 ? kOverlap : 0, across ? 64 - kOverlap : 64,
                    across ? 64 : 64 - kOverlap};
    EXPECT_EQ(cropped(picture, {left + kept.x, top + kept.y, kept.width, kept.height}).pixels,
              cropped(original, kept).pixels)
        << "side " << side;
  }
}

TEST(Conventions, OfClipSkipAndEmptyPromptsAreEachPrograms) {
  const auto run = [](const std::string& model, const json::object& more) {
    json::object fields{{"steps", 2}, {"scheduler", "euler"}};
    for (const auto& [key, value] : more) fields[key] = value;
    return latents_of(made(request_of(model, fields)));
  };
  const json::object none{{"compat", "comfy"}}, empty{{"compat", "comfy"}, {"negative_prompt", ""}};
  // ComfyUI has no other empty prompt than the encoders'.
  EXPECT_TRUE(at::equal(run("sdxl", none), run("sdxl", empty)));
  EXPECT_FALSE(at::equal(run("sdxl", {{"compat", "a1111"}}),
                         run("sdxl", {{"compat", "a1111"}, {"negative_prompt", "x"}})));
  const auto skipping = [&](const std::string& model, const char* compat, int64_t skip) {
    return run(model, {{"compat", compat}, {"clip_skip", skip}});
  };
  // ComfyUI counts XL's and SD 2's from their last layer, of which the usual is the second.
  for (const char* model : {"sdxl", "sd2"}) {
    EXPECT_TRUE(at::equal(skipping(model, "comfy", 2), run(model, none))) << model;
    EXPECT_FALSE(at::equal(skipping(model, "comfy", 3), run(model, none))) << model;
    for (const int64_t skip : {1, 2, 3})  // A1111 leaves them alone
      EXPECT_TRUE(at::equal(skipping(model, "a1111", skip), run(model, {{"compat", "a1111"}}))) << model;
  }
  EXPECT_FALSE(at::equal(skipping("sdxl", "comfy", 1), run("sdxl", none)));
}

TEST(Conventions, OfA1111sNoiseSeedDeltaLeaveBrownianNoiseAlone) {
  const auto run = [](const char* scheduler, int64_t delta) {
    return latents_of(made(
        request_of("sd1", {{"compat", "a1111"}, {"scheduler", scheduler}, {"eta_noise_seed_delta", delta}})));
  };
  EXPECT_TRUE(at::equal(run("DPM++ SDE", 0), run("DPM++ SDE", 31337)));
  EXPECT_FALSE(at::equal(run("Euler a", 0), run("Euler a", 31337)));
}

TEST(MaskedArea, OfA1111IsThatOfTheBlurredMask) {
  // The blur reaches beyond the mask, so more of the picture is worked on: with none, the same as ComfyUI's area.
  const auto run = [](double blur, int64_t padding) {
    return latents_of(made(repaint_of("sd1", {{"compat", "a1111"},
                                              {"inpaint_area", "masked"},
                                              {"mask_blur", blur},
                                              {"mask_padding", padding},
                                              {"scheduler", "Euler"},
                                              {"steps", 2}})));
  };
  // The mask is 40 × 32 at the right edge: with so much padding all of the picture is worked on in any case.
  EXPECT_GT(relative_l2(run(4, 0), run(0.01, 0)), 1e-2);
}

}  // namespace
}  // namespace limn
