// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/sdapi_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/engine/request.h"
#include "limn/server/base64.h"
#include "limn/server/routes/sdapi_pictures.h"

namespace limn::server {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kText = SdapiTask::TextToImage, kImage = SdapiTask::ImageToImage;

/// A server with a checkpoint, a VAE, a LoRA and a style.
SdapiContext context() {
  SdapiContext out;
  out.find_model = [](const std::string& title, std::string_view kind) -> std::optional<std::string> {
    const SdapiTitle parts = split_sdapi_title(title);
    if (kind == "checkpoint" && parts.name == "sd15.safetensors") return "models/sd15.safetensors";
    if (kind == "vae" && parts.name == "soft") return "soft.pt";
    if (kind == "lora" && parts.name == "ink") return "loras/ink.safetensors";
    return {};
  };
  out.styles = {"painted"};
  return out;
}

SdapiRequest read(SdapiTask task, const std::string& body, const SdapiContext& from = context()) {
  const SdapiRequest out = read_sdapi_request(task, parse_json(body, "body").as_object(), from);
  json::object fields = out.fields;  // all that is left is for the engine, which knows each of them
  fields.erase("lora");
  engine::request_from_json(fields);
  return out;
}

Error refusal(SdapiTask task, const std::string& body, const SdapiContext& from = context()) {
  try {
    read_sdapi_request(task, parse_json(body, "body").as_object(), from);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::Internal, "", "accepted");
}

std::string base64_of(const Image& image) { return encode_base64(encode_image(image, "png", {})); }

Image plain(int width, int height, int channels, std::vector<uint8_t> pixel) {
  Image out{width, height, channels, {}};
  for (int i = 0; i < width * height; ++i) out.pixels.insert(out.pixels.end(), pixel.begin(), pixel.end());
  return out;
}

std::string edit(const Image& picture, const std::string& more) {
  return R"({"prompt":"fog","init_images":[")" + base64_of(picture) + "\"]," + more + "}";
}

TEST(SdapiRequest, HasA1111sDefaults) {
  const SdapiRequest request = read(kText, "{}");
  EXPECT_EQ(request.fields,
            parse_json(R"({"compat":"a1111","prompt":"","negative_prompt":"","scheduler":"Euler",
      "width":512,"height":512,"steps":50,"guidance_scale":7.0,"count":1})",
                       "expected"));
  EXPECT_THAT(request.warnings, IsEmpty());
  EXPECT_EQ(request.parameters.at("steps"), 50);
  EXPECT_EQ(request.parameters.at("denoising_strength"), 0.75);
  EXPECT_TRUE(request.parameters.at("hr_upscaler").is_null());
  EXPECT_FALSE(request.parameters.contains("init_images"));
}

// What the PyPI client webuiapi 0.9.17 sends for txt2img(prompt="fog", seed=7).
TEST(SdapiRequest, TakesWebuiapisBodyWithoutAWarning) {
  const SdapiRequest request =
      read(kText, R"({"enable_hr":false,"hr_scale":2,"hr_upscaler":"Latent","hr_second_pass_steps":0,
      "hr_resize_x":0,"hr_resize_y":0,"hr_checkpoint_name":null,"hr_sampler_name":null,"hr_scheduler":null,"hr_prompt":"",
      "hr_negative_prompt":"","denoising_strength":0.7,"firstphase_width":0,"firstphase_height":0,"prompt":"fog","styles":[],
      "seed":7,"subseed":-1,"subseed_strength":0.0,"seed_resize_from_h":0,"seed_resize_from_w":0,"batch_size":1,"n_iter":1,
      "steps":20,"cfg_scale":7.0,"width":512,"height":512,"restore_faces":false,"tiling":false,"do_not_save_samples":false,
      "do_not_save_grid":false,"negative_prompt":"","eta":1.0,"s_churn":0,"s_tmax":0,"s_tmin":0,"s_noise":1,
      "override_settings":{},"override_settings_restore_afterwards":true,"sampler_name":"Euler a","scheduler":"automatic",
      "sampler_index":"Euler a","script_name":null,"script_args":[],"send_images":true,"save_images":false,
      "alwayson_scripts":{}})");
  EXPECT_THAT(request.warnings, IsEmpty());
  EXPECT_EQ(request.fields.at("scheduler"), "Euler a");
  EXPECT_FALSE(request.fields.contains("schedule"));
  EXPECT_EQ(request.fields.at("seed"), 7);
  EXPECT_EQ(request.fields.at("eta"), 1.0);
}

TEST(SdapiRequest, TakesSillyTavernsBody) {
  const SdapiRequest request = read(kText, R"json({"prompt":"a cat, <lora:ink:0.8>","negative_prompt":"text",
      "sampler_name":"DPM++ 2M","scheduler":"karras","steps":24,"cfg_scale":6.5,"width":640,"height":384,
      "restore_faces":false,"enable_hr":true,"hr_upscaler":"Latent (nearest)","hr_scale":1.5,"hr_additional_steps":0,
      "denoising_strength":0.55,"hr_second_pass_steps":9,"seed":-1,"clip_skip":2,"save_images":true,"send_images":true,
      "do_not_save_grid":false,"do_not_save_samples":false,
      "override_settings":{"CLIP_stop_at_last_layers":2,"sd_vae":"soft"},"override_settings_restore_afterwards":true})json");
  EXPECT_EQ(request.fields,
            parse_json(R"({"compat":"a1111","prompt":"a cat, ","lora":["loras/ink.safetensors:0.8"],
      "negative_prompt":"text","scheduler":"DPM++ 2M","schedule":"Karras","width":640,"height":384,"steps":24,
      "guidance_scale":6.5,"count":1,"vae":"soft.pt","clip_skip":2,"hires_scale":1.5,"hires_strength":0.55,
      "hires_steps":9,"hires_upscaler":"latent_nearest"})",
                       "expected"));
  EXPECT_THAT(request.warnings, ElementsAre("hr_additional_steps: is not known here; left out"));
  EXPECT_EQ(request.prompt, "a cat, <lora:ink:0.8>");
}

TEST(SdapiRequest, TakesOpenWebuisBody) {
  const SdapiRequest request =
      read(kText, R"({"prompt":"fog","batch_size":2,"width":512,"height":512,"steps":4})");
  EXPECT_EQ(request.fields.at("count"), 2);
  EXPECT_EQ(request.batch_size, 2);
  EXPECT_EQ(request.fields.at("scheduler"), "Euler");
}

TEST(SdapiRequest, KeepsSeedsOf64Bits) {
  const SdapiRequest request = read(kText, R"({"seed":18446744073709551615,"subseed":9223372036854775808,
      "subseed_strength":0.25,"seed_resize_from_w":256,"seed_resize_from_h":128})");
  EXPECT_EQ(request.fields.at("seed"), UINT64_MAX);
  EXPECT_EQ(request.fields.at("variation_seed"), uint64_t{1} << 63);
  EXPECT_EQ(request.fields.at("variation_strength"), 0.25);
  EXPECT_EQ(request.fields.at("seed_resize"), (json::array{256, 128}));
}

TEST(SdapiRequest, DrawsAVariationSeedThatIsNotSaid) {
  EXPECT_TRUE(read(kText, R"({"subseed_strength":0.5})").fields.contains("variation_seed"));
  EXPECT_FALSE(read(kText, R"({"subseed":5,"subseed_strength":0})").fields.contains("variation_seed"));
}

TEST(SdapiRequest, TakesLoraTagsOutOfThePrompt) {
  const SdapiRequest request = read(
      kText, R"({"prompt":"a <lora:ink> b <lora:gone:1> <hypernet:x:1>","negative_prompt":"<lora:ink:1>"})");
  EXPECT_EQ(request.fields.at("prompt"), "a  b  ");
  EXPECT_EQ(request.fields.at("lora"), json::array{"loras/ink.safetensors:1"});
  EXPECT_EQ(request.fields.at("negative_prompt"), "<lora:ink:1>");
  EXPECT_THAT(request.warnings, Contains(HasSubstr("<lora:gone>: no such LoRA is here")));
  EXPECT_THAT(request.warnings, Contains(HasSubstr("<hypernet:x:1>: limn has no hypernet")));
  EXPECT_THAT(request.warnings, Contains(HasSubstr("negative_prompt: <lora:")));
  EXPECT_FALSE(
      read(kText, R"({"prompt":"<lora:ink:1>","disable_extra_networks":true})").fields.contains("lora"));
}

TEST(SdapiRequest, FindsSchedulesByNameAliasOrLabel) {
  for (const char* name : {"SGM Uniform", "sgm_uniform", "SGMUniform"})
    EXPECT_EQ(read(kText, std::string(R"({"sampler_name":"Euler","scheduler":")") + name + "\"}")
                  .fields.at("schedule"),
              "SGM Uniform")
        << name;
  EXPECT_FALSE(read(kText, R"({"scheduler":"Automatic"})").fields.contains("schedule"));
  const SdapiRequest unknown = read(kText, R"({"scheduler":"sideways"})");
  EXPECT_THAT(unknown.warnings, ElementsAre(HasSubstr("scheduler: no 'sideways'")));
  const SdapiRequest own = read(kText, R"({"sampler_name":"UniPC","scheduler":"karras"})");
  EXPECT_FALSE(own.fields.contains("schedule"));
  EXPECT_THAT(own.warnings, ElementsAre("scheduler: has no effect with the sampler UniPC"));
}

TEST(SdapiRequest, FindsSamplersByLabelAliasOrWithTheirSchedule) {
  for (const char* name : {"DPM++ 2M Karras", "k_dpmpp_2m", "dpm++ 2m sgm uniform", "euler_ancestral"})
    EXPECT_EQ(read(kText, std::string(R"({"sampler_name":")") + name + "\"}").fields.at("scheduler"), name);
  EXPECT_EQ(read(kText, R"({"sampler_index":"Heun"})").fields.at("scheduler"), "Heun");
  const Error error = refusal(kText, R"({"sampler_name":"Sideways"})");
  EXPECT_EQ(error.code(), ErrorCode::NotFound);
  EXPECT_EQ(error.problem(), "Sampler not found: 'Sideways'");
}

TEST(SdapiRequest, HoldsTheClientsOptionsUnlessTheRequestOverridesThem) {
  SdapiContext from = context();
  from.options = {{"sd_model_checkpoint", "sd15.safetensors [0123456789]"},
                  {"CLIP_stop_at_last_layers", 2},
                  {"randn_source", "NV"}};
  const SdapiRequest of_before = read(kText, "{}", from);
  EXPECT_EQ(of_before.fields.at("model"), "models/sd15.safetensors");
  EXPECT_EQ(of_before.fields.at("clip_skip"), 2);
  EXPECT_EQ(of_before.fields.at("noise"), "philox");
  const SdapiRequest overridden = read(
      kText,
      R"({"override_settings":{"CLIP_stop_at_last_layers":1,"emphasis":"No norm","eta_noise_seed_delta":31337,
      "filter_nsfw":true}})",
      from);
  EXPECT_EQ(overridden.fields.at("clip_skip"), 1);
  EXPECT_EQ(overridden.fields.at("emphasis"), "no_norm");
  EXPECT_EQ(overridden.fields.at("eta_noise_seed_delta"), 31337);
  EXPECT_THAT(overridden.warnings, ElementsAre("override_settings: filter_nsfw: limn has no such setting"));
}

TEST(SdapiRequest, RefusesModelsThatAreNotThere) {
  const Error error = refusal(kText, R"({"override_settings":{"sd_model_checkpoint":"gone"}})");
  EXPECT_EQ(error.code(), ErrorCode::NotFound);
  EXPECT_EQ(error.problem(), "Model not found: 'gone'");
  EXPECT_EQ(refusal(kText, R"({"refiner_checkpoint":"gone","refiner_switch_at":0.8})").code(),
            ErrorCode::NotFound);
  EXPECT_THAT(read(kText, R"({"override_settings":{"sd_vae":"gone"}})").warnings,
              ElementsAre(HasSubstr("sd_vae: no 'gone' is here")));
}

TEST(SdapiRequest, HasARefinerWhereItIsSwitchedTo) {
  const SdapiRequest request =
      read(kText, R"({"refiner_checkpoint":"sd15.safetensors","refiner_switch_at":0.75})");
  EXPECT_EQ(request.fields.at("refiner"), "models/sd15.safetensors");
  EXPECT_EQ(request.fields.at("refiner_start"), 0.75);
  EXPECT_FALSE(
      read(kText, R"({"refiner_checkpoint":"None","refiner_switch_at":0.5})").fields.contains("refiner"));
}

TEST(SdapiRequest, MakesSecondPassesByFactorOrBySize) {
  const SdapiRequest by_size =
      read(kText, R"({"enable_hr":true,"width":64,"height":64,"hr_resize_x":128,"hr_resize_y":96,
      "hr_upscaler":"Lanczos","hr_prompt":"other","hr_sampler_name":"Heun"})");
  EXPECT_EQ(by_size.fields.at("hires_scale"), 2.0);
  EXPECT_EQ(by_size.fields.at("hires_strength"), 0.75);
  EXPECT_EQ(by_size.fields.at("hires_upscaler"), "lanczos");
  EXPECT_THAT(by_size.warnings,
              ElementsAre(HasSubstr("hr_resize:"), HasSubstr("hr_sampler_name:"), HasSubstr("hr_prompt:")));
  const SdapiRequest old = read(
      kText, R"({"enable_hr":true,"width":768,"height":512,"firstphase_width":384,"firstphase_height":256})");
  EXPECT_EQ(old.fields.at("width"), 384);
  EXPECT_EQ(old.fields.at("hires_scale"), 2.0);
  EXPECT_FALSE(read(kText, R"({"enable_hr":false,"hr_scale":3})").fields.contains("hires_scale"));
  EXPECT_EQ(refusal(kText, R"({"enable_hr":true,"hr_upscaler":"ESRGAN_4x"})").where(), "hr_upscaler");
}

TEST(SdapiRequest, TakesSidesDownToWhole8Pixels) {
  const SdapiRequest request = read(kText, R"({"width":515,"height":64})");
  EXPECT_EQ(request.fields.at("width"), 512);
  EXPECT_THAT(request.warnings, ElementsAre("width: 515 is taken as 512"));
}

TEST(SdapiRequest, SaysWhatItLeavesOut) {
  const SdapiRequest request =
      read(kText, R"({"styles":["painted","gone"],"restore_faces":true,"s_churn":4,"s_noise":1,
      "tiling":true,"novelty":3,"init_images":["x"],"infotext":"Steps: 3",
      "alwayson_scripts":{"ADetailer":{"args":[true,{}]},"animatediff":{"args":[false]},
        "ControlNet":{"args":[{"enabled":false},{"module":"canny"}]},"empty":{"args":[]}}})");
  EXPECT_EQ(request.fields.at("style"), json::array{"painted"});
  EXPECT_EQ(request.fields.at("seamless"), "xy");
  EXPECT_THAT(request.warnings,
              ElementsAre(HasSubstr("styles: no 'gone'"), HasSubstr("alwayson_scripts: ADetailer:"),
                          HasSubstr("alwayson_scripts: ControlNet:"), HasSubstr("restore_faces:"),
                          HasSubstr("s_churn:"), HasSubstr("novelty:"), HasSubstr("init_images:"),
                          HasSubstr("infotext:")));
  EXPECT_EQ(refusal(kText, R"({"script_name":"X/Y/Z plot"})").where(), "script_name");
  EXPECT_THAT(read(kText, R"({"script_name":"None"})").warnings, IsEmpty());
}

TEST(SdapiRequest, RefusesWrongTypesAtTheField) {
  EXPECT_EQ(refusal(kText, R"({"steps":"many"})").where(), "steps");
  EXPECT_EQ(refusal(kText, R"({"steps":2.5})").where(), "steps");
  EXPECT_EQ(refusal(kText, R"({"seed":-2})").where(), "seed");
  EXPECT_EQ(refusal(kText, R"({"prompt":3})").where(), "prompt");
  EXPECT_EQ(refusal(kText, R"({"batch_size":0})").where(), "batch_size");
  EXPECT_EQ(refusal(kText, R"({"override_settings":{"randn_source":"dice"}})").where(), "randn_source");
  EXPECT_EQ(refusal(kText, R"({"override_settings":{"CLIP_stop_at_last_layers":"two"}})").where(),
            "CLIP_stop_at_last_layers");
}

TEST(SdapiRequest, StartsFromAPictureOnWhite) {
  const Image half = plain(16, 8, 4, {255, 0, 0, 0});
  const SdapiRequest request =
      read(kImage, edit(half, R"("width":16,"height":8,"denoising_strength":0.4,"image_cfg_scale":1.2)"));
  ASSERT_TRUE(request.init_image);
  EXPECT_EQ(request.init_image->pixels, plain(16, 8, 3, {255, 255, 255}).pixels);
  EXPECT_EQ(request.fields.at("strength"), 0.4);
  EXPECT_EQ(request.fields.at("image_guidance_scale"), 1.2);
  EXPECT_TRUE(request.parameters.at("init_images").is_null());
  const SdapiRequest echoed = read(kImage, edit(half, R"("width":16,"height":8,"include_init_images":true)"));
  EXPECT_TRUE(echoed.parameters.at("init_images").is_array());
}

TEST(SdapiRequest, TakesPicturesWithTheirHeadOrWithout) {
  const std::string base64 = base64_of(plain(8, 8, 3, {1, 2, 3}));
  for (const std::string& picture :
       {base64, "data:image/png;base64," + base64, base64.substr(0, 8) + "\\n" + base64.substr(8)})
    EXPECT_EQ(read(kImage, R"({"init_images":[")" + picture + "\"]}").init_image->pixels,
              plain(8, 8, 3, {1, 2, 3}).pixels);
}

TEST(SdapiRequest, RefusesAddressesAndWhatIsNoPicture) {
  const Error address = refusal(kImage, R"({"init_images":["https://example.org/a.png"]})");
  EXPECT_EQ(address.code(), ErrorCode::Refused);
  EXPECT_EQ(address.where(), "init_images");
  EXPECT_EQ(refusal(kImage, R"({"init_images":["data:image/png,abc"]})").code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(refusal(kImage, R"({"init_images":["!!"]})").code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(refusal(kImage, R"({"init_images":["aGVsbG8="]})").code(), ErrorCode::BadFile);
  EXPECT_EQ(refusal(kImage, "{}").problem(), "Init image not found");
  EXPECT_EQ(refusal(kImage, R"({"init_images":[]})").code(), ErrorCode::NotFound);
}

TEST(SdapiRequest, RepaintsWhatIsWhiteOver128) {
  Image mask = plain(4, 2, 1, {0});
  mask.pixels = {0, 127, 128, 129, 255, 0, 0, 0};
  const std::string body = R"("width":8,"height":8,"mask":")" + base64_of(mask) +
                           R"(","mask_blur":6,"inpainting_fill":2,"inpaint_full_res":false)";
  const SdapiRequest request = read(kImage, edit(plain(8, 8, 3, {9, 9, 9}), body));
  ASSERT_TRUE(request.mask);
  EXPECT_THAT(request.mask->pixels, ElementsAre(0, 0, 0, 255, 255, 0, 0, 0));
  EXPECT_EQ(request.fields.at("mask_blur"), 6.0);
  EXPECT_EQ(request.fields.at("masked_content"), "noise");
  EXPECT_FALSE(request.fields.contains("inpaint_area"));
  const SdapiRequest inverted =
      read(kImage, edit(plain(8, 8, 3, {9, 9, 9}), body + R"(,"inpainting_mask_invert":1)"));
  EXPECT_THAT(inverted.mask->pixels, ElementsAre(255, 255, 255, 0, 0, 255, 255, 255));
}

TEST(SdapiRequest, RepaintsWhatIsOpaqueInAMaskWithHoles) {
  Image mask = plain(2, 1, 4, {0, 0, 0, 255});
  mask.pixels[3] = 0;
  const SdapiRequest request =
      read(kImage, edit(plain(2, 1, 3, {9, 9, 9}), R"("mask":")" + base64_of(mask) + "\""));
  EXPECT_THAT(request.mask->pixels, ElementsAre(0, 255));
  // A1111's defaults of a repainted part.
  EXPECT_EQ(request.fields.at("inpaint_area"), "masked");
  EXPECT_EQ(request.fields.at("mask_padding"), 0);
  EXPECT_EQ(request.fields.at("masked_content"), "fill");
  EXPECT_EQ(request.fields.at("mask_blur"), 4.0);
}

TEST(SdapiRequest, RefusesAMaskThatLeavesNothing) {
  const std::string black = R"("mask":")" + base64_of(plain(8, 8, 1, {0})) + "\"";
  EXPECT_EQ(refusal(kImage, edit(plain(8, 8, 3, {9, 9, 9}), black)).where(), "mask");
}

TEST(SdapiRequest, BringsPicturesToTheSizeThatIsAskedFor) {
  const Image wide = plain(32, 16, 3, {200, 100, 50});
  const auto size = [&](const std::string& more) {
    const SdapiRequest request = read(kImage, edit(wide, R"("width":16,"height":16,)" + more));
    return std::pair(request.init_image->width, request.init_image->height);
  };
  EXPECT_EQ(size(R"("resize_mode":0)"), std::pair(32, 16));  // the engine stretches
  EXPECT_EQ(size(R"("resize_mode":1)"), std::pair(16, 16));
  EXPECT_EQ(size(R"("resize_mode":2)"), std::pair(16, 16));
  // Of a part alone the picture keeps its size.
  EXPECT_EQ(size(R"("resize_mode":1,"mask":")" + base64_of(plain(32, 16, 1, {255})) + "\""),
            std::pair(32, 16));
  EXPECT_THAT(read(kImage, edit(wide, R"("width":16,"height":16,"resize_mode":3)")).warnings,
              ElementsAre(HasSubstr("resize_mode:")));
}

TEST(SdapiPictures, CutOrGoOnAtTheirEdges) {
  Image stripes = plain(4, 2, 1, {0});
  stripes.pixels = {10, 20, 30, 40, 10, 20, 30, 40};
  const Image cut = fit_cropped(stripes, 2, 2);
  EXPECT_THAT(cut.pixels, ElementsAre(20, 30, 20, 30));
  const Image filled = fit_filled(stripes, 4, 4);
  EXPECT_THAT(filled.pixels, ElementsAre(10, 20, 30, 40, 10, 20, 30, 40, 10, 20, 30, 40, 10, 20, 30, 40));
}

TEST(SdapiRequest, IsDescribedByFieldsOfOneNameEach) {
  for (const SdapiField& field : sdapi_fields()) {
    int count = 0;
    for (const SdapiField& other : sdapi_fields()) count += field.name == other.name;
    EXPECT_EQ(count, 1) << field.name;
    EXPECT_TRUE(parse_json(field.schema, std::string(field.name)).is_object());
    EXPECT_NO_THROW(parse_json(field.fallback, std::string(field.name)));
  }
}

TEST(SdapiTitle, IsANameAndAHash) {
  EXPECT_EQ(split_sdapi_title("a b.safetensors [0123456789]").name, "a b.safetensors");
  EXPECT_EQ(split_sdapi_title("a b.safetensors [0123456789]").hash, "0123456789");
  EXPECT_EQ(split_sdapi_title("a [b].ckpt").name, "a [b].ckpt");
}

}  // namespace
}  // namespace limn::server
