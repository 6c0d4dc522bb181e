// SPDX-License-Identifier: Apache-2.0
// Metadata of other programs, written by hand after their documented formats.
#include "limn/provenance/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/provenance/record_testing.h"

namespace limn::provenance {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Recipe recipe_of(const std::string& keyword, const std::string& text) {
  const std::vector<TextEntry> texts{{keyword, text}};
  const auto recipe = read_recipe(texts);
  if (!recipe) throw std::runtime_error("nothing was read");
  return *recipe;
}
std::string field(const Recipe& recipe, const char* name) {
  const json::value* value = recipe.fields.if_contains(name);
  return value ? to_text(*value) : "absent";
}

TEST(A1111Recipe, ReadsEveryFieldThatLimnHasASettingFor) {
  const Recipe r = recipe_of("parameters", R"(a (red:1.2) cat <lora:ink:0.7>, [dog:bird:0.5]
second line
Negative prompt: blurry
Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 18446744073709551615, Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Variation seed: 9, Variation seed strength: 0.3, Seed resize from: 448x640, Clip skip: 2, ENSD: 31337, RNG: CPU, Tiling: True, Emphasis: No norm, NGMS: 0.5, Lora hashes: "ink: 1234567890ab", Version: v1.10.1)");
  EXPECT_EQ(r.program, "a1111");
  EXPECT_EQ(r.version, "v1.10.1");
  EXPECT_EQ(r.compat, "a1111");
  EXPECT_EQ(field(r, "prompt"), R"("a (red:1.2) cat , [dog:bird:0.5]\nsecond line")");
  EXPECT_EQ(field(r, "negative_prompt"), R"("blurry")");
  EXPECT_EQ(field(r, "steps"), "25");
  EXPECT_EQ(field(r, "scheduler"), R"("DPM++ 2M")");
  EXPECT_EQ(field(r, "schedule"), R"("Karras")");
  EXPECT_EQ(field(r, "seed"), "18446744073709551615");
  EXPECT_EQ(field(r, "width"), "512");
  EXPECT_EQ(field(r, "height"), "768");
  EXPECT_EQ(field(r, "variation_seed"), "9");
  EXPECT_EQ(field(r, "seed_resize"), "[448,640]");
  EXPECT_EQ(field(r, "clip_skip"), "2");
  EXPECT_EQ(field(r, "eta_noise_seed_delta"), "31337");
  EXPECT_EQ(field(r, "noise"), "absent");  // the CPU, which the profile has
  EXPECT_EQ(field(r, "seamless"), R"("xy")");
  EXPECT_EQ(field(r, "emphasis"), R"("no_norm")");
  EXPECT_EQ(r.model, "v1-5-pruned");
  EXPECT_EQ(r.model_hash, "6ce0161689");
  ASSERT_EQ(r.loras.size(), 1u);
  EXPECT_EQ(r.loras[0].name, "ink");
  EXPECT_EQ(r.loras[0].weight, 0.7);
  EXPECT_EQ(r.loras[0].hash, "1234567890ab");
  EXPECT_THAT(r.unused, IsEmpty());
  EXPECT_THAT(r.notes, IsEmpty());
}

TEST(A1111Recipe, TakesTheGpuForTheDefaultAndSaysWhatItCannotDo) {
  const Recipe r = recipe_of("parameters", R"(cat <hypernet:x:1>
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Denoising strength: 0.55, Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+, ControlNet 0: "model: canny, weight: 1", Version: v1.5.2)");
  EXPECT_EQ(field(r, "noise"), R"("philox")");
  EXPECT_EQ(field(r, "hires_scale"), "2E0");
  EXPECT_EQ(field(r, "hires_strength"), "5.5E-1");
  EXPECT_EQ(field(r, "strength"), "absent");
  EXPECT_THAT(r.notes, Contains(HasSubstr("R-ESRGAN 4x+")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("hypernet")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("GPU")));
  EXPECT_EQ(field(r, "noise_levels"), R"("float16")");
  ASSERT_EQ(r.unused.size(), 1u);
  EXPECT_EQ(r.unused[0].first, "ControlNet 0");
}

TEST(A1111Recipe, FollowsWhatChangedBetweenVersions) {
  const auto recipe = [](const std::string& prompt, const std::string& more) {
    return recipe_of("parameters", prompt + "\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 1, " + more);
  };
  const Recipe old = recipe("a [cat:dog:1]", "Version: v1.5.2");
  EXPECT_EQ(field(old, "prompt_editing"), R"("before_1.6")");
  EXPECT_EQ(field(old, "noise_levels"), R"("float16")");
  EXPECT_THAT(old.notes, Contains(HasSubstr("padded the shorter")));
  EXPECT_EQ(field(recipe("a cat", "Version: v1.5.2"), "prompt_editing"), "absent");
  EXPECT_EQ(field(recipe("a cat", "Version: 1.7.0"), "noise_levels"), R"("float16")");
  const Recipe now = recipe("a [cat:dog:1]", "Version: v1.10.1");
  EXPECT_EQ(field(now, "prompt_editing"), "absent");
  EXPECT_EQ(field(now, "noise_levels"), "absent");
  EXPECT_EQ(field(recipe("a", "Downcast alphas_cumprod: True, Version: v1.10.1"), "noise_levels"),
            R"("float16")");
  EXPECT_EQ(field(recipe("a", "Old prompt editing timelines: True"), "prompt_editing"), R"("before_1.6")");
}

TEST(A1111Recipe, TakesPlainNamesOfBefore19ForUniformLevels) {
  const auto schedule = [](const std::string& sampler, const std::string& more) {
    return field(
        recipe_of("parameters", "a\nSteps: 20, Sampler: " + sampler + ", Seed: 1, Size: 64x64" + more),
        "schedule");
  };
  EXPECT_EQ(schedule("DPM++ 2M", ", Version: v1.8.0"), R"("Uniform")");
  EXPECT_EQ(schedule("DPM2 a", ", Version: f0.0.17v1.8.0rc-latest-276-g29be1da7"), R"("Uniform")");
  EXPECT_EQ(schedule("DPM++ SDE", ""), R"("Uniform")");
  EXPECT_EQ(schedule("DPM++ 2M Karras", ", Version: v1.8.0"), "absent");  // the name says it
  EXPECT_EQ(schedule("Restart", ", Version: v1.8.0"), "absent");          // always Karras
  EXPECT_EQ(schedule("Euler", ", Version: v1.8.0"), "absent");            // always uniform
  EXPECT_EQ(schedule("DPM++ 2M", ", Version: v1.9.0"), "absent");
  EXPECT_EQ(schedule("DPM++ 2M", ", Version: f2.0.1v1.10.1-previous-665"), "absent");
  EXPECT_EQ(schedule("DPM++ 2M", ", Schedule type: Karras, Version: v1.8.0"), R"("Karras")");
}

TEST(A1111Recipe, CountsCommitsAfterAVersion) {
  const auto levels = [](const std::string& version) {
    return field(recipe_of("parameters", "a\nSteps: 20, Sampler: Euler, Seed: 1, Version: " + version),
                 "noise_levels");
  };
  EXPECT_EQ(levels("v1.7.0"), R"("float16")");
  EXPECT_EQ(levels("v1.7.0-224-gabc"), R"("float16")");
  EXPECT_EQ(levels("v1.7.0-225-gabc"), "absent");
  EXPECT_EQ(levels("v1.7.0-300-gabc"), "absent");
  EXPECT_EQ(levels("v1.7.0-RC-5-gf92d614"), R"("float16")");
  EXPECT_EQ(levels("none"), "absent");
}

TEST(A1111Recipe, ReadsVaeEtaAndTheSizeOfASecondPass) {
  const Recipe r =
      recipe_of("parameters",
                "a\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 512x768, VAE hash: c6a580b13a, VAE: "
                "vae-ft-mse-840000-ema-pruned.ckpt, Denoising strength: 0.5, Eta: 0.67, Hires resize: "
                "1024x0, Hires upscaler: Latent, Version: v1.10.1");
  EXPECT_EQ(r.vae, "vae-ft-mse-840000-ema-pruned");
  EXPECT_EQ(r.vae_hash, "c6a580b13a");
  EXPECT_EQ(field(r, "eta"), "6.7E-1");
  EXPECT_EQ(field(r, "hires_scale"), "2E0");
  EXPECT_EQ(field(r, "hires_strength"), "5E-1");
  EXPECT_THAT(r.unused, IsEmpty());
  EXPECT_THAT(
      recipe_of("parameters", "a\nSteps: 20, Sampler: Euler, Seed: 1, Size: 512x512, Hires resize: 1024x1536")
          .notes,
      Contains(HasSubstr("other proportions")));
}

TEST(A1111Recipe, ReadsRefinerAndLevels) {
  const Recipe r = recipe_of("parameters",
                             "cat\nSteps: 20, Sampler: Euler, Seed: 1, Refiner: sd_xl_refiner [7440042bbd], "
                             "Refiner switch at: 0.8, Schedule min sigma: 0.1, Schedule max sigma: 10, "
                             "Schedule rho: 5, Version: v1.7.0");
  EXPECT_EQ(r.refiner, "sd_xl_refiner");
  EXPECT_EQ(r.refiner_hash, "7440042bbd");
  EXPECT_EQ(field(r, "refiner_start"), "8E-1");
  EXPECT_EQ(field(r, "sigma_min"), "1E-1");
  EXPECT_EQ(field(r, "rho"), "5E0");
  EXPECT_THAT(r.notes, Contains(HasSubstr("before 1.8.0 the refiner")));
}

TEST(A1111Recipe, KeepsWhatIsNoNumberAsANote) {
  const Recipe r = recipe_of("parameters",
                             "cat\nSteps: many, Sampler: Euler, CFG scale: 1e999, Seed: -1, Size: bigxsmall");
  EXPECT_EQ(field(r, "steps"), "absent");
  EXPECT_THAT(r.notes, Contains(HasSubstr("'many' is no number")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("is no size")));
  const std::vector<TextEntry> prompt_only{{"parameters", "just words"}};
  EXPECT_FALSE(read_recipe(prompt_only).has_value());
}

TEST(A1111Recipe, KnowsForgeAndStableDiffusionCpp) {
  EXPECT_EQ(recipe_of("parameters", "a\nSteps: 1, Sampler: Euler, Seed: 2, Version: f2.0.1v1.10.1").program,
            "forge");
  const Recipe r =
      recipe_of("parameters",
                "a\nSteps: 20, CFG scale: 7, Seed: 42, Size: 512x512, Model: sd.safetensors, RNG: cuda, "
                "Sampler: euler_a karras, Version: stable-diffusion.cpp");
  EXPECT_EQ(r.program, "stable-diffusion.cpp");
  EXPECT_EQ(field(r, "noise"), R"("philox")");
  EXPECT_EQ(field(r, "scheduler"), R"("euler_a karras")");
  EXPECT_EQ(r.model, "sd");
  EXPECT_EQ(
      field(recipe_of("parameters", "a\nSteps: 20, Seed: 42, Eta: 0, Version: stable-diffusion.cpp"), "eta"),
      "absent");  // DDIM's, there
}

TEST(LimnRecipe, GivesTheRequestBack) {
  GenerationRecord record = testing::full_record();
  record.request = {{"prompt", "fog"},
                    {"steps", 20},
                    {"lora", json::array{"ink.safetensors:0.75"}},
                    {"count", 4},
                    {"init_image", "a.png"},
                    {"scheduler", "DPM2"},
                    {"wildcards", "w"},
                    {"styles_file", "s.csv"},
                    {"style", json::array{"ink"}},
                    {"preview_vae", "taesd"},
                    {"vae", "sdxl_vae.safetensors"},
                    {"refiner", "fine.ckpt"},
                    {"variation_seed", 98}};
  const auto recipe = read_recipe(stamp(record));
  ASSERT_TRUE(recipe.has_value());
  EXPECT_EQ(recipe->program, "limn");
  EXPECT_EQ(recipe->compat, record.compat);
  EXPECT_EQ(to_text(recipe->fields.at("seed")), std::to_string(record.seed));
  EXPECT_FALSE(recipe->fields.contains("count"));
  EXPECT_FALSE(recipe->fields.contains("lora"));
  EXPECT_EQ(recipe->fields.at("variation_seed"), json::value(99));  // of this picture
  EXPECT_EQ(recipe->fields.at("batch_index"), json::value(1));
  EXPECT_EQ(recipe->fields.at("batch_size"), json::value(3));
  for (const char* gone : {"wildcards", "styles_file", "style", "preview_vae", "vae", "refiner"})
    EXPECT_FALSE(recipe->fields.contains(gone)) << gone;
  EXPECT_EQ(recipe->vae, "sdxl_vae");
  EXPECT_EQ(recipe->refiner, "fine");
  ASSERT_EQ(recipe->loras.size(), 1u);
  EXPECT_EQ(recipe->loras[0].name, "ink");
  EXPECT_THAT(recipe->notes, Contains(HasSubstr("a.png")));
  record.request.clear();  // records of before had none
  EXPECT_EQ(to_text(read_recipe(stamp(record))->fields.at("guidance_scale")), "6.25E0");
}

constexpr char kComfy[] = R"({
 "3": {"class_type": "KSampler", "inputs": {"seed": ["11", 0], "steps": 20, "cfg": 8.0, "sampler_name": "dpmpp_2m",
       "scheduler": "karras", "denoise": 1.0, "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0],
       "latent_image": ["5", 0]}},
 "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sub/sd15.safetensors"}},
 "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 640, "batch_size": 1}},
 "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a (red:1.2) cat", "clip": ["12", 0]}},
 "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["12", 0]}},
 "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
 "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
 "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "ink.safetensors", "strength_model": 0.6, "model": ["4", 0]}},
 "11": {"class_type": "PrimitiveNode", "inputs": {"value": 156680208700286}},
 "12": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]}},
 "20": {"class_type": "FaceDetailer", "inputs": {}}})";

TEST(ComfyUiRecipe, FollowsTheGraphBackFromThePicture) {
  const Recipe r = recipe_of("prompt", kComfy);
  EXPECT_EQ(r.program, "comfyui");
  EXPECT_EQ(r.compat, "comfy");
  EXPECT_EQ(field(r, "prompt"), R"("a (red:1.2) cat")");
  EXPECT_EQ(field(r, "negative_prompt"), R"("blurry")");
  EXPECT_EQ(field(r, "seed"), "156680208700286");
  EXPECT_EQ(field(r, "scheduler"), R"("dpmpp_2m")");
  EXPECT_EQ(field(r, "schedule"), R"("karras")");
  EXPECT_EQ(field(r, "height"), "640");
  EXPECT_EQ(field(r, "clip_skip"), "2");
  EXPECT_EQ(r.model, "sd15");
  ASSERT_EQ(r.loras.size(), 1u);
  EXPECT_EQ(r.loras[0].weight, 0.6);
  EXPECT_THAT(r.notes, Contains(HasSubstr("FaceDetailer")));
}

TEST(ComfyUiRecipe, FollowsConditioningsByTheOutputThatIsLinked) {
  const Recipe r = recipe_of("prompt", R"({
    "1": {"class_type": "KSampler", "inputs": {"positive": ["2", 0], "negative": ["2", 1], "seed": 1}},
    "2": {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["3", 0], "negative": ["4", 0]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "cat"}, "is_changed": [NaN]},
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "not a NaN"}}})");
  EXPECT_EQ(field(r, "prompt"), R"("cat")");
  EXPECT_EQ(field(r, "negative_prompt"), R"("not a NaN")");
  const Recipe zero = recipe_of("prompt", R"({
    "1": {"class_type": "KSampler", "inputs": {"positive": ["3", 0], "negative": ["5", 0], "seed": 1}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "cat"}},
    "5": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["3", 0]}}})");
  EXPECT_EQ(field(zero, "negative_prompt"), "absent");
  EXPECT_THAT(zero.notes, Contains(HasSubstr("ConditioningZeroOut")));
  const Recipe twice = recipe_of("prompt", R"({
    "1": {"class_type": "KSampler", "inputs": {"latent_image": ["2", 0], "denoise": 0.4, "seed": 2}},
    "2": {"class_type": "LatentUpscaleBy", "inputs": {"samples": ["3", 0]}},
    "3": {"class_type": "KSampler", "inputs": {"latent_image": ["4", 0], "seed": 1}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
    "5": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}})");
  EXPECT_EQ(field(twice, "hires_strength"), "absent");  // without its factor it says nothing
  EXPECT_THAT(twice.notes, Contains(HasSubstr("as one pass")));
  const Recipe advanced = recipe_of(
      "prompt",
      R"({"1": {"class_type": "KSamplerAdvanced", "inputs": {"noise_seed": 1, "start_at_step": 3}}})");
  ASSERT_EQ(advanced.unused.size(), 1u);
  EXPECT_EQ(advanced.unused[0].first, "start_at_step");
  const Recipe loop = recipe_of("prompt", R"({"1": {"class_type": "KSampler", "inputs": {"model": ["2", 0]}},
                    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "x.safetensors", "model": ["2", 0]}}})");
  EXPECT_EQ(loop.loras.size(), 1u);
}

TEST(ComfyUiRecipe, ReadsSamplersThatArePutTogether) {
  const Recipe r = recipe_of("prompt", R"({
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a/sd.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "fog", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blur", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 512, "batch_size": 1}},
    "5": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}},
    "6": {"class_type": "KarrasScheduler", "inputs": {"steps": 12, "sigma_max": 10.5, "sigma_min": 0.03, "rho": 6}},
    "7": {"class_type": "RandomNoise", "inputs": {"noise_seed": 99}},
    "8": {"class_type": "CFGGuider", "inputs": {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "cfg": 4.5}},
    "9": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["7", 0], "guider": ["8", 0], "sampler": ["5", 0],
          "sigmas": ["6", 0], "latent_image": ["4", 0]}},
    "10": {"class_type": "VAEDecode", "inputs": {"samples": ["9", 0], "vae": ["1", 2]}},
    "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0]}}})");
  EXPECT_EQ(field(r, "prompt"), R"("fog")");
  EXPECT_EQ(field(r, "negative_prompt"), R"("blur")");
  EXPECT_EQ(field(r, "seed"), "99");
  EXPECT_EQ(field(r, "steps"), "12");
  EXPECT_EQ(field(r, "guidance_scale"), "4.5E0");
  EXPECT_EQ(field(r, "scheduler"), R"("dpmpp_2m")");
  EXPECT_EQ(field(r, "schedule"), R"("karras")");
  EXPECT_EQ(field(r, "sigma_max"), "1.05E1");
  EXPECT_EQ(field(r, "rho"), "6");
  EXPECT_EQ(field(r, "width"), "640");
  EXPECT_EQ(r.model, "sd");
  EXPECT_TRUE(r.unused.empty());
  EXPECT_TRUE(r.notes.empty());
  const Recipe unguided = recipe_of("prompt", R"({
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "fog"}},
    "8": {"class_type": "BasicGuider", "inputs": {"conditioning": ["2", 0]}},
    "9": {"class_type": "SamplerCustomAdvanced", "inputs": {"guider": ["8", 0]}}})");
  EXPECT_EQ(field(unguided, "guidance_scale"), "1E0");
  EXPECT_EQ(field(unguided, "prompt"), R"("fog")");
}

TEST(ComfyUiRecipe, ReadsASecondPassFromTwoSamplers) {
  const auto graph = [](const std::string& upscale) {
    return recipe_of("prompt", R"({
    "1": {"class_type": "KSampler", "inputs": {"latent_image": ["2", 0], "denoise": 0.4, "seed": 2, "steps": 8}},
    "2": )" + upscale + R"(,
    "3": {"class_type": "KSampler", "inputs": {"latent_image": ["4", 0], "seed": 1, "steps": 20, "denoise": 1}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0]}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0]}}})");
  };
  const Recipe by = graph(
      R"({"class_type": "LatentUpscaleBy", "inputs": {"samples": ["3", 0], "upscale_method": "bicubic", "scale_by": 1.5}})");
  EXPECT_EQ(field(by, "hires_scale"), "1.5E0");
  EXPECT_EQ(field(by, "hires_strength"), "4E-1");
  EXPECT_EQ(field(by, "hires_upscaler"), R"("latent_bicubic")");
  EXPECT_EQ(field(by, "hires_steps"), "8");
  EXPECT_EQ(field(by, "steps"), "20");
  EXPECT_EQ(field(by, "seed"), "1");
  EXPECT_THAT(by.notes, Contains(HasSubstr("the second sampler's was 2")));
  const Recipe to = graph(
      R"({"class_type": "LatentUpscale", "inputs": {"samples": ["3", 0], "upscale_method": "area", "width": 1024}})");
  EXPECT_EQ(field(to, "hires_scale"), "2E0");
  EXPECT_THAT(to.notes, Contains(HasSubstr("upscale_method area")));
}

TEST(ComfyUiRecipe, DropsNothingThatItReadsPast) {
  const Recipe r = recipe_of("prompt", R"({
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.v1.5.safetensors"}},
    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "a.safetensors", "strength_model": 0.6,
          "strength_clip": 1.0, "model": ["1", 0]}},
    "3": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "b.safetensors", "strength_model": 0.5, "model": ["2", 0]}},
    "4": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"text_l": "cat", "text_g": "a cat", "width": 2048, "height": 1024,
          "crop_w": 8, "crop_h": 16, "target_width": 1024, "target_height": 512}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "blur"}},
    "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 512, "batch_size": 4}},
    "7": {"class_type": "KSampler", "inputs": {"seed": 1, "sampler_name": "euler_ancestral", "model": ["3", 0],
          "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["6", 0], "denoise": 1.0}},
    "8": {"class_type": "VAELoader", "inputs": {"vae_name": "fix/sdxl_vae.safetensors"}},
    "9": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["8", 0]}},
    "10": {"class_type": "SaveImage", "inputs": {"images": ["9", 0]}}})");
  EXPECT_EQ(r.model, "xl.v1.5");
  EXPECT_EQ(r.vae, "sdxl_vae");
  ASSERT_EQ(r.loras.size(), 2u);
  EXPECT_THAT(r.notes, Contains(HasSubstr("lora a: its weight for the text encoders was another")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("lora b: its weight for the text encoders was 0")));
  EXPECT_EQ(field(r, "prompt_2"), R"("a cat")");
  EXPECT_EQ(field(r, "original_size"), "[2048,1024]");
  EXPECT_EQ(field(r, "target_size"), "[1024,512]");
  EXPECT_EQ(field(r, "crop"), "[16,8]");
  EXPECT_EQ(field(r, "negative_original_size"), "[1024,512]");  // that encoder was not told any
  EXPECT_EQ(field(r, "negative_crop"), "[0,0]");
  EXPECT_EQ(field(r, "count"), "4");
  EXPECT_THAT(r.notes, Contains(HasSubstr("one of 4 of one seed")));
  EXPECT_THAT(r.notes, Contains(HasSubstr("euler_ancestral draws noise at each step")));
  EXPECT_THAT(r.unused, IsEmpty());
  const Recipe nothing = recipe_of("prompt", R"({"1": {"class_type": "KSampler", "inputs": {"seed": 1,
    "sampler_name": "euler", "positive": ["2", 0]}}, "2": {"class_type": "CLIPTextEncode", "inputs": {"text": ["3", 0]}},
    "3": {"class_type": "Unknown", "inputs": {}}})");
  EXPECT_THAT(nothing.notes, Contains("prompt: its text was not found in the graph"));
  EXPECT_THAT(nothing.notes, Contains(HasSubstr("width, height: not found")));
  EXPECT_THAT(nothing.notes, Not(Contains(HasSubstr("draws noise"))));
  EXPECT_THAT(recipe_of("prompt", R"({"1": {"class_type": "KSampler", "inputs": {"positive": ["2", 0]}},
    "2": {"class_type": "Unknown", "inputs": {}}})")
                  .notes,
              Contains("prompt: its text was not found in the graph"));
}

TEST(ComfyUiRecipe, NeitherHangsNorFailsOnBrokenGraphs) {
  // A link to itself, a dead link, wrong types, no sampler.
  const Recipe circle = recipe_of(
      "prompt",
      R"({"1": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["1", 0], "seed": ["1", 0],
          "steps": "many", "latent_image": ["99", 0]}}, "2": 7, "3": {"class_type": 5}})");
  EXPECT_EQ(circle.program, "comfyui");
  EXPECT_THAT(recipe_of("prompt", R"({"1": {"class_type": "LoadImage"}})").notes,
              Contains(HasSubstr("no KSampler")));
  EXPECT_THROW(recipe_of("prompt", R"({"1": {"class_type": )"), Error);
}

TEST(InvokeAiRecipe, ReadsCoreMetadata) {
  const Recipe r = recipe_of("invokeai_metadata", R"({"app_version": "5.6.0", "generation_mode": "txt2img",
    "positive_prompt": "fog", "negative_prompt": "", "width": 512, "height": 512, "seed": 3, "rand_device": "cpu",
    "cfg_scale": 7.5, "steps": 30, "scheduler": "dpmpp_2m_k", "clip_skip": 0, "seamless_x": true, "seamless_y": false,
    "model": {"key": "x", "hash": "blake3:abc", "name": "sd15", "base": "sd-1", "type": "main"},
    "loras": [{"model": {"name": "ink"}, "weight": 0.5}], "controlnets": []})");
  EXPECT_EQ(r.program, "invokeai");
  EXPECT_EQ(field(r, "prompt_syntax"), R"("compel")");
  EXPECT_EQ(field(r, "scheduler"), R"("dpmpp_2m_k")");
  EXPECT_EQ(field(r, "seamless"), R"("x")");
  EXPECT_EQ(r.model, "sd15");
  EXPECT_EQ(r.loras.front().weight, 0.5);
  EXPECT_EQ(r.unused.front().first, "controlnets");
  EXPECT_EQ(r.model_hash, "");
  EXPECT_THAT(r.notes, ::testing::ElementsAre(HasSubstr("blake3:abc")));
  EXPECT_EQ(recipe_of("invokeai_metadata", R"({"rand_device": "cpu", "model": {"hash": "sha256:12ab"}})")
                .model_hash,
            "12ab");
}

TEST(NetworkTags, AreTakenOutOfPrompts) {
  Recipe recipe;
  EXPECT_EQ(without_network_tags("a <lora:x:1:0.5> b <3 <not a tag> <lyco:y>", recipe),
            "a  b <3 <not a tag> ");
  ASSERT_EQ(recipe.loras.size(), 2u);
  EXPECT_EQ(recipe.loras[0].weight, 0.5);
  EXPECT_EQ(recipe.loras[1].weight, 1);
}

}  // namespace
}  // namespace limn::provenance
