// SPDX-License-Identifier: Apache-2.0
// Every family, guidance and way of painting against diffusers 0.42.1: tools/goldens/families.py.
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/adapters/lora.h"
#include "limn/adapters/twin.h"
#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/engine/engine.h"
#include "limn/image/edit.h"
#include "limn/pipelines/hires.h"
#include "limn/pipelines/text_to_image.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"
#include "tests/fidelity/goldens.h"
#include "tests/fidelity/variants.h"

namespace limn {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// The sums run in another order than in diffusers; measured: docs/fidelity.md. The promise is 1e-3.
constexpr double kLatents = 1e-4;

fs::path families() { return goldens() / "families"; }

const json::array& cases() {
  static const json::array all =
      parse_json(read_file(families() / "cases.json", 1 << 20), "cases.json").as_array();
  return all;
}
const at::Tensor& latents_of(const std::string& name) {
  static const auto tensors = weights::load_tensors(families() / "latents.safetensors");
  return tensors.at(name);
}
std::string name_of(const json::object& c) { return std::string(c.at("name").as_string()); }

json::object case_named(std::string_view name) {
  for (const json::value& c : cases())
    if (c.at("name").as_string() == json::string_view(name.data(), name.size())) return c.as_object();
  throw std::out_of_range(std::string(name));
}

engine::GenerateRequest request_of(const json::object& c) {
  json::object fields = c;
  fields.erase("name");
  for (const char* file : {"model", "refiner", "vae", "init_image", "mask"})
    if (json::value* name = fields.if_contains(file))
      *name = model_folder(std::string(name->as_string())).string();
  return engine::request_from_json(fields);
}

at::Tensor stacked(const std::vector<engine::Picture>& pictures) {
  std::vector<int64_t> shape = pictures.front().latents.shape;
  shape.insert(shape.begin(), static_cast<int64_t>(pictures.size()));
  std::vector<float> values;
  for (const auto& p : pictures)
    values.insert(values.end(), p.latents.values.begin(), p.latents.values.end());
  return at::tensor(values).view(shape);
}

engine::Engine& shared_engine() {
  static engine::Engine engine;
  return engine;
}

class Families : public testing::TestWithParam<size_t> {};

TEST_P(Families, EndInTheLatentsOfDiffusers) {
  const json::object& c = cases()[GetParam()].as_object();
  const double error = relative_l2(stacked(shared_engine().generate(request_of(c))), latents_of(name_of(c)));
  RecordProperty("relative_l2", std::to_string(error));
  std::printf("relative L2 %-28s %.2e\n", name_of(c).c_str(), error);
  EXPECT_LT(error, kLatents);
}

INSTANTIATE_TEST_SUITE_P(Goldens, Families, testing::Range(size_t{0}, cases().size()),
                         [](const auto& info) { return name_of(cases()[info.param].as_object()); });

// --compat against runs put together from k-diffusion's samplers: tools/goldens/compat.py.
const json::array& compat_cases() {
  static const json::array all =
      parse_json(read_file(families() / "compat.json", 1 << 20), "compat.json").as_array();
  return all;
}

class CompatRuns : public testing::TestWithParam<size_t> {};

TEST_P(CompatRuns, EndInTheLatentsOfTheReference) {
  static const auto golden = weights::load_tensors(families() / "compat.safetensors");
  const json::object& c = compat_cases()[GetParam()].as_object();
  const double error = relative_l2(stacked(shared_engine().generate(request_of(c))), golden.at(name_of(c)));
  std::printf("relative L2 %-28s %.2e\n", name_of(c).c_str(), error);
  EXPECT_LT(error, kLatents);
}

INSTANTIATE_TEST_SUITE_P(Goldens, CompatRuns, testing::Range(size_t{0}, compat_cases().size()),
                         [](const auto& info) { return name_of(compat_cases()[info.param].as_object()); });

// Relatives of Stable Diffusion XL: tools/goldens/variants.py.
const json::array& variant_cases() { return variants().at("cases").as_array(); }

class Variants : public testing::TestWithParam<size_t> {};

TEST_P(Variants, EndInTheLatentsOfTheReference) {
  static const auto golden = weights::load_tensors(families() / "variants.safetensors");
  const json::object& c = variant_cases()[GetParam()].as_object();
  const double error = relative_l2(stacked(shared_engine().generate(request_of(c))), golden.at(name_of(c)));
  std::printf("relative L2 %-28s %.2e\n", name_of(c).c_str(), error);
  EXPECT_LT(error, kLatents);
}

INSTANTIATE_TEST_SUITE_P(Goldens, Variants, testing::Range(size_t{0}, variant_cases().size()),
                         [](const auto& info) { return name_of(variant_cases()[info.param].as_object()); });

at::ScalarType type_of_weights(const models::Model& model) {
  return adapters::twin_of(*model.unet)->parameters().front().tensor->scalar_type();
}

TEST(Weights, OfSixteenBitsGiveTheSameNumbersWhenTheyAreWidenedAtUse) {
  for (const char* name : {"sdxl", "sd2"}) {
    const auto made_with = [&](int64_t most_widened) {
      const auto model =
          models::load_model(models::open_checkpoint(families() / name), {.most_widened = most_widened});
      pipelines::GenerateArgs args;
      args.prompts.prompt = "a lighthouse in fog";
      args.width = args.height = 64;
      args.num_inference_steps = 2;
      args.seeds = {7};
      const auto scheduler = find_named(schedulers::all(), "euler", "scheduler")
                                 .make(model->checkpoint.scheduler_config, {.num_inference_steps = 2}, "");
      return std::pair(generate_latents(*model, *scheduler, args).latents, type_of_weights(*model));
    };
    const auto wide = made_with(int64_t{1} << 40), narrow = made_with(0);
    EXPECT_EQ(wide.second, at::kFloat) << name;
    EXPECT_EQ(narrow.second, at::kHalf) << name;
    EXPECT_TRUE(at::equal(wide.first, narrow.first)) << name;
  }
}

TEST(Weights, OfSixteenBitsTakeALoraInFloat32) {
  const auto made_with = [&](int64_t most_widened) {
    const auto model =
        models::load_model(models::open_checkpoint(goldens() / "tiny_sd1"), {.most_widened = most_widened});
    const std::vector<adapters::LoraUse> loras{{goldens() / "lora" / "a.safetensors", 0.7}};
    const auto changed = adapters::with_loras(model, loras);
    return changed->unet->forward(at::full({1, 4, 8, 8}, 0.3), at::full({1}, 500.0),
                                  {.encoder_hidden_states = at::full({1, 77, 32}, 0.1)});
  };
  EXPECT_TRUE(at::equal(made_with(int64_t{1} << 40), made_with(0)));
}

// Compel 2.5.1 through its CompelForSD and CompelForSDXL: tools/goldens/compel_prompts.py.
TEST(CompelPrompts, BecomeTheConditioningsOfCompel) {
  const auto golden = weights::load_tensors(families() / "compel.safetensors");
  const json::value cases = parse_json(read_file(families() / "compel.json", 1 << 20), "compel.json");
  for (const json::value& value : cases.at("runs").as_array()) {
    const json::object& run = value.as_object();
    const std::string name = name_of(run);
    const auto model = models::load_model(
        models::open_checkpoint(families() / std::string(run.at("model").as_string())), {});
    pipelines::Prompts prompts;
    prompts.prompt = std::string(run.at("prompt").as_string());
    prompts.negative_prompt = std::string(run.at("negative_prompt").as_string());
    prompts.syntax = text::PromptSyntax::Compel;
    std::vector<std::string> warnings;
    const auto made = encode_prompts(*model, prompts, {}, 64, 64, true, {.steps = 4}, warnings).front();
    const auto& positive = made.positive.front().condition;
    EXPECT_LT(relative_l2(positive.hidden_states, golden.at(name + ".embeds")), 1e-5) << name;
    EXPECT_LT(relative_l2(made.negative->hidden_states, golden.at(name + ".negative_embeds")), 1e-5) << name;
    if (!model->is_xl()) continue;
    EXPECT_LT(relative_l2(positive.text_embeds, golden.at(name + ".pooled_embeds")), 1e-5) << name;
    EXPECT_LT(relative_l2(made.negative->text_embeds, golden.at(name + ".negative_pooled_embeds")), 1e-5)
        << name;
  }
}

Image picture_of(const fs::path& path) { return to_rgb(read_image(path)); }

TEST(Inpainting, KeepsUnmaskedPixelsToTheBit) {
  const Image original = picture_of(families() / "init.png"),
              mask = to_grey(read_image(families() / "mask.png"));
  for (const char* model : {"sd1", "inpaint"})
    for (const char* area : {"whole", "masked"})
      for (const char* mode : {"hard", "soft", "differential"}) {
        json::object c = case_named("inpaint");
        c["model"] = model;
        c["inpaint_area"] = area;
        c["mask_mode"] = mode;
        c["steps"] = 3;
        const auto picture = shared_engine().generate(request_of(c)).front();
        ASSERT_EQ(picture.image.width, original.width);
        size_t kept = 0, changed = 0;
        for (size_t i = 0; i < mask.pixels.size(); ++i)
          for (size_t channel = 0; channel < 3; ++channel) {
            const bool same = picture.image.pixels[3 * i + channel] == original.pixels[3 * i + channel];
            if (mask.pixels[i] == 0) {
              ++kept;
              EXPECT_TRUE(same) << model << " " << area << " pixel " << i;
            } else if (!same) {
              ++changed;
            }
          }
        EXPECT_GT(kept, 1000u);
        EXPECT_GT(changed, 1000u);
      }
}

TEST(Inpainting, TakesGreyForNothingOrForAShare) {
  const fs::path folder = fs::path(testing::TempDir()) / "limn_grey";
  fs::create_directories(folder);
  Image mask = to_grey(read_image(families() / "mask.png"));
  for (uint8_t& value : mask.pixels) value = value ? 160 : 0;
  const auto bytes = encode_image(to_rgb(mask), "png", {});
  write_file_atomically(folder / "grey.png", std::as_bytes(std::span(bytes)));
  const auto made_with = [&](const char* file, const char* mode) {
    engine::GenerateRequest request = request_of(case_named("inpaint"));
    if (file) request.mask = folder / file;
    request.mask_mode = mode;
    return shared_engine().generate(request).front();
  };
  const auto white = made_with(nullptr, "hard"), hard = made_with("grey.png", "hard"),
             soft = made_with("grey.png", "soft");
  EXPECT_EQ(white.latents.values, hard.latents.values);
  EXPECT_EQ(white.latents.values, made_with(nullptr, "soft").latents.values);
  const Image original = picture_of(families() / "init.png");
  const auto distance = [&](const engine::Picture& picture) {
    int64_t sum = 0;
    for (size_t i = 0; i < original.pixels.size(); ++i)
      sum += std::abs(picture.image.pixels[i] - original.pixels[i]);
    return sum;
  };
  EXPECT_LT(distance(soft), distance(hard));
  fs::remove_all(folder);
}

TEST(Previews, AreDecodedWithTheVaeThatIsGivenForThem) {
  engine::GenerateRequest request = request_of(case_named("freeu"));
  request.preview_vae = families() / "taesd";
  Image last;
  const auto pictures = shared_engine().generate(request, {}, [&](const engine::Progress& progress) {
    if (progress.preview) last = progress.preview(0);
  });
  EXPECT_EQ(last.width, 64);
  request.preview_vae.clear();
  request.vae = families() / "taesd";
  const auto with_it = shared_engine().generate(request);
  EXPECT_EQ(last.pixels, with_it.front().image.pixels);  // the last preview is of the final latents
  request.preview_vae = families() / "sdxl";
  EXPECT_NO_THROW(shared_engine().generate(request));
  request.preview_vae = "nowhere";
  EXPECT_THROW(shared_engine().generate(request), Error);
}

TEST(Previews, AndPicturesAreMadeByADecoderAlone) {
  const fs::path file = fs::path(testing::TempDir()) / "limn_taesd_decoder.safetensors";
  auto tensors = weights::open_component_folder(families() / "taesd").tensors;
  std::erase_if(tensors, [](const auto& tensor) { return tensor.first.starts_with("encoder."); });
  weights::write_safetensors(file, tensors, {});
  engine::GenerateRequest request = request_of(case_named("freeu"));
  request.vae = families() / "taesd";
  const auto whole = shared_engine().generate(request);
  request.vae = file;
  Image last;
  const auto pictures = shared_engine().generate(request, {}, [&](const engine::Progress& progress) {
    if (progress.preview) last = progress.preview(0);
  });
  EXPECT_EQ(pictures.front().image.pixels, whole.front().image.pixels);
  EXPECT_EQ(last.pixels, whole.front().image.pixels);
  request.init_image = families() / "init.png";
  EXPECT_THROW(shared_engine().generate(request), Error);
  request.vae.clear();
  request.preview_vae = file;
  EXPECT_NO_THROW(shared_engine().generate(request));
  fs::remove(file);
}

TEST(Inpainting, TakesEveryContentUnderTheMask) {
  json::object c = case_named("inpaint");
  std::vector<at::Tensor> made;
  for (const auto& content : pipelines::masked_contents()) {
    c["masked_content"] = json::string_view(content.name.data(), content.name.size());
    made.push_back(stacked(shared_engine().generate(request_of(c))));
  }
  for (size_t i = 1; i < made.size(); ++i) EXPECT_GT(relative_l2(made[i], made[0]), 1e-3) << i;
}

TEST(Outpainting, MakesThePictureLargerAndKeepsTheOldOne) {
  const Image original = picture_of(families() / "init.png");
  json::object c = case_named("inpaint");
  c.erase("mask");
  c.erase("width");
  c.erase("height");
  c["outpaint"] = {16, 8, 0, 24};
  c["steps"] = 2;
  const auto picture = shared_engine().generate(request_of(c)).front();
  EXPECT_EQ(picture.image.width, 80);
  EXPECT_EQ(picture.image.height, 96);
  EXPECT_EQ(picture.record.width, 80);
  // What is farther from the seams than the overlap is the old picture's.
  EXPECT_EQ(cropped(picture.image, {16 + 16, 8 + 16, 32, 24}).pixels,
            cropped(original, {16, 16, 32, 24}).pixels);
}

/// Mean absolute difference of neighbouring pixels across a line, and everywhere else along the same direction.
std::pair<double, double> seam_of(const Image& image, int x) {
  double seam = 0, rest = 0;
  for (int y = 0; y < image.height; ++y)
    for (int column = 0; column < image.width; ++column) {
      const int next = (column + 1) % image.width;
      double difference = 0;
      for (size_t c = 0; c < 3; ++c)
        difference += std::abs(int{image.pixels[3 * static_cast<size_t>(y * image.width + column) + c]} -
                               int{image.pixels[3 * static_cast<size_t>(y * image.width + next) + c]});
      (column == x ? seam : rest) += difference;
    }
  return {seam / image.height, rest / image.height / (image.width - 1)};
}

TEST(Seamless, PicturesFitTheirOppositeEdge) {
  json::object c = case_named("sd2_v");
  c["steps"] = 4;
  const auto plain = seam_of(shared_engine().generate(request_of(c)).front().image, 63);
  c["seamless"] = "x";
  const auto seamless = seam_of(shared_engine().generate(request_of(c)).front().image, 63);
  EXPECT_LT(seamless.first, 1.5 * seamless.second);
  EXPECT_GT(plain.first, 1.5 * plain.second);  // what the test would miss without
}

TEST(TiledDiffusion, OfOnePieceIsThePlainRunAndOfManyHasNoSeams) {
  json::object c = case_named("sd2_v");
  c["steps"] = 3;
  const at::Tensor plain = stacked(shared_engine().generate(request_of(c)));
  c["tile"] = 64;
  EXPECT_TRUE(at::equal(stacked(shared_engine().generate(request_of(c))), plain));
  c["width"] = 128;
  c["tile_overlap"] = 32;
  const auto picture = shared_engine().generate(request_of(c)).front();
  EXPECT_EQ(picture.image.width, 128);
  for (const int seam : {31, 47, 63, 79}) {
    const auto [across, elsewhere] = seam_of(picture.image, seam);
    EXPECT_LT(across, 2 * elsewhere) << "at " << seam;
  }
}

TEST(Hires, MakesALargerPictureInASecondPass) {
  json::object c = case_named("sd2_v");
  c["steps"] = 3;
  c["hires_scale"] = 1.5;
  c["hires_strength"] = 0.5;
  std::vector<at::Tensor> made;
  for (const auto& upscaler : pipelines::upscalers()) {
    c["hires_upscaler"] = json::string_view(upscaler.name.data(), upscaler.name.size());
    const auto picture = shared_engine().generate(request_of(c)).front();
    EXPECT_EQ(picture.image.width, 96) << upscaler.name;
    EXPECT_EQ(picture.record.height, 96);
    made.push_back(stacked({picture}));
  }
  for (size_t i = 1; i < made.size(); ++i) EXPECT_FALSE(at::equal(made[i], made[0]));
}

TEST(Guidance, SwitchedOffIsAsIfItWereNotThere) {
  json::object c = case_named("sd2_v");
  c["steps"] = 4;
  const at::Tensor plain = stacked(shared_engine().generate(request_of(c)));
  c["guidance_start"] = 0.9;  // of four steps, none begins there
  const at::Tensor late = stacked(shared_engine().generate(request_of(c)));
  c.erase("guidance_start");
  c["guidance_scale"] = 1.0;
  EXPECT_TRUE(at::equal(stacked(shared_engine().generate(request_of(c))), late));
  EXPECT_GT(relative_l2(late, plain), 1e-3);
  c["guidance_scale"] = 5.0;
  c["skip_unconditional"] = 1000.0;  // every other step goes without
  EXPECT_GT(relative_l2(stacked(shared_engine().generate(request_of(c))), plain), 1e-3);
}

std::string problem_of(const json::object& c) {
  try {
    shared_engine().generate(request_of(c));
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Requests, ThatTheModelCannotDoAreRefusedByTheirField) {
  const auto with = [](const char* name, const json::object& more) {
    json::object c = case_named(name);
    for (const auto& [key, value] : more) c[key] = value;
    return c;
  };
  json::object no_mask = case_named("inpaint_9");
  no_mask.erase("mask");
  EXPECT_THAT(problem_of(no_mask), HasSubstr("made for inpainting"));
  json::object no_picture = case_named("instruct_pix2pix");
  no_picture.erase("init_image");
  EXPECT_THAT(problem_of(no_picture), HasSubstr("edits pictures"));
  json::object only_mask = case_named("inpaint");
  only_mask.erase("init_image");
  EXPECT_THAT(problem_of(only_mask), HasSubstr("needs a picture to repaint"));
  EXPECT_THAT(problem_of(with("inpaint", {{"outpaint", {8, 0, 0, 0}}})),
              HasSubstr("does not go with a mask"));
  EXPECT_THAT(problem_of(with("inpaint", {{"masked_content", "magic"}})), HasSubstr("known: original, fill"));
  EXPECT_THAT(problem_of(with("sd2_v", {{"freeu", "1,2"}})), HasSubstr("S1,S2,B1,B2"));
  EXPECT_THAT(problem_of(with("pag_mid", {{"pag_blocks", "middle"}})), HasSubstr("no block 'middle'"));
  EXPECT_THAT(problem_of(with("sd2_v", {{"prediction", "guess"}})), HasSubstr("known: epsilon"));
  EXPECT_THAT(problem_of(with("sd2_v", {{"hires_scale", 2.0}, {"init_image", "init.png"}})),
              HasSubstr("hires_scale"));
  EXPECT_THAT(problem_of(with("sd2_v", {{"scheduler", "Eular"}})), HasSubstr("no 'Eular'"));
  EXPECT_THAT(problem_of(with("sd2_v", {{"compat", "midjourney"}})),
              HasSubstr("known: diffusers, a1111, comfy"));
  EXPECT_THAT(problem_of(with("sdxl", {{"clip_skip", 9}})), HasSubstr("expected 0 to 2"));
}

TEST(Preconditioning, OfKarrasTakesSchedulersAndLevelsThatKnowIt) {
  const auto with = [](const json::object& more) {
    json::object c{{"name", "edm"}, {"model", "cosxl"}, {"prompt", "fog"}, {"seed", 7},
                   {"width", 64},   {"height", 64},     {"steps", 3}};
    for (const auto& [key, value] : more) c[key] = value;
    return c;
  };
  for (const char* name : {"ddim", "dpmpp_2m", "unipc", "tcd", "flow_match_euler"})
    EXPECT_THAT(problem_of(with({{"scheduler", name}})),
                testing::AllOf(HasSubstr("Karras' preconditioning"), HasSubstr("euler_edm, k_dpmpp_2m")))
        << name;
  EXPECT_THAT(problem_of(with({{"compat", "comfy"}, {"scheduler", "uni_pc"}})),
              HasSubstr("Karras' preconditioning"));
  for (const char* name : {"trailing", "beta", "zero_snr"})
    EXPECT_THAT(problem_of(with({{"schedule", name}})), HasSubstr("Karras' preconditioning")) << name;
  EXPECT_THAT(problem_of(with({{"schedule", "gits"}})), HasSubstr("Stable Diffusion's range"));
  EXPECT_THAT(problem_of(with({{"prediction", "sample"}})), HasSubstr("does not go with sigma_data"));
  EXPECT_THAT(problem_of(with({{"sag_scale", 0.75}})), HasSubstr("sag_scale"));
  // diffusers' names of its two schedules mean the model's own range.
  const at::Tensor karras = stacked(shared_engine().generate(request_of(with({{"schedule", "karras"}}))));
  EXPECT_TRUE(
      at::equal(karras, stacked(shared_engine().generate(request_of(with({{"schedule", "k_karras"}}))))));
  // Noise levels and not timesteps decide which steps go unguided: all of these are below 200, none below 0.001.
  const auto skipping = [&](double sigma) {
    return stacked(shared_engine().generate(request_of(with({{"skip_unconditional", sigma}}))));
  };
  const at::Tensor plain = skipping(0);
  EXPECT_TRUE(at::equal(skipping(0.001), plain));
  EXPECT_FALSE(at::equal(skipping(1), plain) && at::equal(skipping(200), plain));
  EXPECT_TRUE(at::equal(skipping(200), skipping(121)));
  EXPECT_FALSE(at::equal(skipping(200), plain));
}

TEST(Sigmas, GoWithSamplersThatGoByLevels) {
  const auto with = [](const json::object& more) {
    json::object c{{"name", "levels"}, {"model", "sd1"}, {"prompt", "fog"},          {"seed", 7},
                   {"width", 64},      {"height", 64},   {"sigmas", {9.0, 3.0, 1.0}}};
    for (const auto& [key, value] : more) c[key] = value;
    return c;
  };
  for (const char* name : {"ddim", "dpmpp_2m", "lcm", "dpm_fast", "dpm_adaptive", "flow_match_euler"})
    EXPECT_THAT(problem_of(with({{"scheduler", name}})), HasSubstr("schedulers that take one: euler,"))
        << name;
  EXPECT_THAT(problem_of(with({{"scheduler", "euler"}, {"schedule", "karras"}})),
              HasSubstr("schedule: does not go with sigmas"));
  EXPECT_THAT(problem_of(with({{"scheduler", "euler"}, {"sigma_min", 0.1}})), HasSubstr("sigma_min"));
  EXPECT_THAT(problem_of(with({{"scheduler", "euler"}, {"steps", 4}})), HasSubstr("3 levels"));
  EXPECT_THAT(problem_of(with({{"scheduler", "euler"}, {"hires_scale", 2.0}})), HasSubstr("sigmas"));
  for (const json::array& list : {json::array{1.0, 2.0}, json::array{1.0, 0.0, 0.0}, json::array{0.0}})
    EXPECT_THAT(problem_of(with({{"scheduler", "euler"}, {"sigmas", list}})),
                HasSubstr("below the one before"));
  const auto picture = shared_engine().generate(request_of(with({{"scheduler", "heun"}}))).front();
  EXPECT_EQ(picture.record.steps, 3);
  const auto with_zero =
      shared_engine().generate(request_of(with({{"scheduler", "heun"}, {"sigmas", {9.0, 3.0, 1.0, 0.0}}})));
  EXPECT_EQ(with_zero.front().latents.values, picture.latents.values);
}

TEST(Eta, ReachesSamplersThatTakeItAndIsWarnedOfElsewhere) {
  const auto made = [](const char* scheduler, std::optional<double> eta) {
    json::object c{{"name", "eta"}, {"model", "sd1"}, {"prompt", "fog"},        {"seed", 7},
                   {"width", 64},   {"height", 64},   {"scheduler", scheduler}, {"steps", 4}};
    if (eta) c["eta"] = *eta;
    return shared_engine().generate(request_of(c)).front();
  };
  for (const schedulers::SchedulerEntry& entry : schedulers::all()) {
    if (entry.class_name.starts_with("FlowMatch")) continue;
    const std::string name(entry.name);
    const auto with = made(name.c_str(), 0.4), without = made(name.c_str(), {});
    EXPECT_EQ(with.latents.values != without.latents.values, entry.takes_eta) << name;
    const auto warned = testing::Contains(HasSubstr("eta: has no effect"));
    if (entry.takes_eta)
      EXPECT_THAT(with.record.warnings, testing::Not(warned)) << name;
    else
      EXPECT_THAT(with.record.warnings, warned) << name;
  }
}

TEST(ZeroSnr, EndsUnderOtherProgramsWhereTheirsDoes) {
  const auto level_of = [](const char* compat, const char* scheduler) {
    const json::object c{{"name", "v"},     {"model", "sdxl_v"}, {"prompt", "fog"}, {"seed", 7},
                         {"width", 64},     {"height", 64},      {"steps", 2},      {"scheduler", scheduler},
                         {"compat", compat}};
    const auto picture = shared_engine().generate(request_of(c)).front();
    const auto& entry = find_named(schedulers::all(), picture.record.scheduler, "scheduler");
    const auto made = entry.make(picture.record.scheduler_config, {.num_inference_steps = 2}, "record");
    return made->add_noise(at::zeros({1}), at::ones({1}), 0).item<double>();
  };
  EXPECT_NEAR(level_of("diffusers", "euler"), 4096, 1);
  for (const char* scheduler : {"Euler", "Heun", "LMS", "DPM++ 2M"})
    EXPECT_NEAR(level_of("a1111", scheduler), 4518.8, 0.1) << scheduler;
  EXPECT_NEAR(level_of("comfy", "dpmpp_sde"), 4518.8, 0.1);
}

TEST(Schedulers, OfDiffusersAreFoundByTheirOtherNames) {
  const auto with = [](const char* scheduler) {
    return json::object{{"name", "x"}, {"model", "sd1"}, {"prompt", "fog"}, {"seed", 7},
                        {"width", 64}, {"height", 64},   {"steps", 2},      {"scheduler", scheduler}};
  };
  const auto latents = [&](const char* scheduler) {
    return shared_engine().generate(request_of(with(scheduler))).front().latents.values;
  };
  EXPECT_EQ(latents("DDIMParallelScheduler"), latents("ddim"));
  EXPECT_EQ(latents("DDPMParallelScheduler"), latents("ddpm"));
  for (const char* name : {"DPMSolverSinglestepScheduler", "dpmpp_2s", "dpmpp_2s_k"})
    EXPECT_THAT(problem_of(with(name)), HasSubstr("use dpmpp_2m")) << name;
}

// CFG++ leans on the unconditional picture, so that it has an effect at scales that switch ordinary guidance off.
TEST(CfgPp, IsGuidedAtEveryScale) {
  json::object c{{"name", "x"},
                 {"model", "sd1"},
                 {"prompt", "a red cat"},
                 {"seed", 7},
                 {"width", 64},
                 {"height", 64},
                 {"steps", 3},
                 {"scheduler", "euler_cfg_pp"},
                 {"guidance_scale", 0.6}};
  const at::Tensor low = stacked(shared_engine().generate(request_of(c)));
  c["guidance_scale"] = 0.0;
  EXPECT_GT(relative_l2(low, stacked(shared_engine().generate(request_of(c)))), 1e-3);
}

TEST(Warnings, NameSettingsOfAnotherFamily) {
  json::object c = case_named("sd2_v");
  c["prompt_2"] = "more";
  c["steps"] = 1;
  const auto picture = shared_engine().generate(request_of(c)).front();
  EXPECT_THAT(picture.record.warnings, testing::Contains(HasSubstr("prompt_2: has no effect")));
}

}  // namespace
}  // namespace limn
