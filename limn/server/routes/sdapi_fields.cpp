// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/sdapi_request.h"

namespace limn::server {
namespace {

using enum SdapiField::Use;
constexpr auto kText = SdapiTask::TextToImage, kImage = SdapiTask::ImageToImage;

constexpr std::string_view kString = R"({"type":["string","null"],"maxLength":10000})";
constexpr std::string_view kStrings = R"({"type":["array","null"],"items":{"type":"string"},"maxItems":100})";
constexpr std::string_view kPicture = R"({"type":["string","null"],"description":"base64, or a data: URL"})";
constexpr std::string_view kBoolean = R"({"type":["boolean","null"]})";
constexpr std::string_view kNumber = R"({"type":["number","null"]})";
constexpr std::string_view kInteger = R"({"type":["integer","null"]})";
constexpr std::string_view kObject = R"({"type":["object","null"]})";
constexpr std::string_view kAny = "{}";
constexpr std::string_view kSeed =
    R"({"type":["integer","null"],"minimum":-1,"maximum":18446744073709551615})";
constexpr std::string_view kSide = R"({"type":["integer","null"],"minimum":8,"maximum":8192})";
constexpr std::string_view kSteps = R"({"type":["integer","null"],"minimum":1,"maximum":1000})";
constexpr std::string_view kCount = R"({"type":["integer","null"],"minimum":1,"maximum":1024})";
constexpr std::string_view kShare = R"({"type":["number","null"],"minimum":0,"maximum":1})";
constexpr std::string_view kScale = R"({"type":["number","null"],"minimum":0,"maximum":1000})";

// Names and defaults: A1111's web UI 1.10, modules/api/models.py and modules/processing.py.
constexpr SdapiField kFields[] = {
    {"prompt", kString, R"("")"},
    {"negative_prompt", kString, R"("")"},
    {"styles", kStrings, "null"},
    {"seed", kSeed, "-1"},
    {"subseed", kSeed, "-1"},
    {"subseed_strength", kNumber, "0"},
    {"seed_resize_from_h", kInteger, "-1"},
    {"seed_resize_from_w", kInteger, "-1"},
    {"sampler_name", kString, "null"},
    {"sampler_index", kString, R"("Euler")"},
    {"scheduler", kString, "null"},
    {"batch_size", kCount, "1"},
    {"n_iter", kCount, "1"},
    {"steps", kSteps, "50"},
    {"cfg_scale", kScale, "7.0"},
    {"width", kSide, "512"},
    {"height", kSide, "512"},
    {"restore_faces", kBoolean, "null", Ignored},
    {"tiling", kBoolean, "null"},
    {"do_not_save_samples", kBoolean, "false", Quiet},
    {"do_not_save_grid", kBoolean, "false", Quiet},
    {"eta", kShare, "null"},
    {"denoising_strength", kShare, "0.75"},
    {"s_min_uncond", kScale, "null"},
    {"s_churn", kNumber, "null", Ignored},
    {"s_tmax", kNumber, "null", Ignored},
    {"s_tmin", kNumber, "null", Ignored},
    {"s_noise", kNumber, "null", Ignored},
    {"override_settings", kObject, "null"},
    {"override_settings_restore_afterwards", kBoolean, "true", Quiet},
    {"refiner_checkpoint", kString, "null"},
    {"refiner_switch_at", kShare, "null"},
    {"disable_extra_networks", kBoolean, "false"},
    {"firstpass_image", kPicture, "null", Ignored},
    {"comments", kObject, "null", Quiet},
    {"script_name", kString, "null"},
    {"script_args", kAny, "[]", Quiet},
    {"send_images", kBoolean, "true"},
    {"save_images", kBoolean, "false", Quiet},
    {"alwayson_scripts", kObject, "{}"},
    {"force_task_id", kString, "null"},
    {"infotext", kString, "null", Ignored},
    {"enable_hr", kBoolean, "false", Read, kText},
    {"firstphase_width", kInteger, "0", Read, kText},
    {"firstphase_height", kInteger, "0", Read, kText},
    {"hr_scale", kScale, "2.0", Read, kText},
    {"hr_upscaler", kString, "null", Read, kText},
    {"hr_second_pass_steps", kInteger, "0", Read, kText},
    {"hr_resize_x", kInteger, "0", Read, kText},
    {"hr_resize_y", kInteger, "0", Read, kText},
    {"hr_checkpoint_name", kString, "null", Read, kText},
    {"hr_sampler_name", kString, "null", Read, kText},
    {"hr_scheduler", kString, "null", Read, kText},
    {"hr_prompt", kString, R"("")", Read, kText},
    {"hr_negative_prompt", kString, R"("")", Read, kText},
    {"init_images", R"({"type":["array","null"],"items":{"type":"string"},"maxItems":16})", "null", Read,
     kImage},
    {"resize_mode", R"({"type":["integer","null"],"minimum":0,"maximum":3})", "0", Read, kImage},
    {"image_cfg_scale", kScale, "null", Read, kImage},
    {"mask", kPicture, "null", Read, kImage},
    {"mask_blur", kNumber, "null", Read, kImage},
    {"mask_blur_x", kNumber, "4", Read, kImage},
    {"mask_blur_y", kNumber, "4", Read, kImage},
    {"mask_round", kBoolean, "true", Quiet, kImage},
    {"inpainting_fill", R"({"type":["integer","null"],"minimum":0,"maximum":3})", "0", Read, kImage},
    {"inpaint_full_res", kBoolean, "true", Read, kImage},
    {"inpaint_full_res_padding", kInteger, "0", Read, kImage},
    {"inpainting_mask_invert", R"({"type":["integer","boolean","null"]})", "0", Read, kImage},
    {"initial_noise_multiplier", kNumber, "null", Ignored, kImage},
    {"latent_mask", kPicture, "null", Ignored, kImage},
    {"include_init_images", kBoolean, "false", Read, kImage},
    {"clip_skip", kInteger, "null"},  // none of A1111's; SillyTavern sends it
};

}  // namespace

std::span<const SdapiField> sdapi_fields() { return kFields; }

}  // namespace limn::server
