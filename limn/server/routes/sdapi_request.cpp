// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/sdapi_request.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <random>

#include "limn/base/error.h"
#include "limn/engine/samplers.h"
#include "limn/provenance/recipe.h"
#include "limn/provenance/upscalers.h"
#include "limn/server/routes/sdapi_pictures.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

constexpr auto kText = SdapiTask::TextToImage, kImage = SdapiTask::ImageToImage;

json::string_view key_of(std::string_view name) { return {name.data(), name.size()}; }

json::value parsed(std::string_view text) { return parse_json(text, "sdapi"); }

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// "SGM Uniform", "sgm_uniform" and "SGMUniform" are one.
std::string without_spaces(std::string_view text) {
  std::string out = lower(text);
  std::erase_if(out, [](char c) { return c == ' ' || c == '_'; });
  return out;
}

/// "0.8"
std::string plain(double number) {
  char text[32];
  return {text, std::to_chars(text, std::end(text), number).ptr};
}

bool is_whole(double number) { return number == std::trunc(number) && std::abs(number) < 9e15; }

/// The fields of a body with A1111's defaults where they are absent or null.
class Body {
 public:
  Body(SdapiTask task, const json::object& given) {
    for (const SdapiField& field : sdapi_fields()) {
      if (field.task.value_or(task) != task) continue;
      const json::value* value = given.if_contains(key_of(field.name));
      values_[key_of(field.name)] = value && !value->is_null() ? *value : parsed(field.fallback);
    }
  }

  bool has(std::string_view name) const { return !values_.at(key_of(name)).is_null(); }
  const json::value& at(std::string_view name) const { return values_.at(key_of(name)); }

  std::string text(std::string_view name) const {
    const json::value& value = at(name);
    if (value.is_null()) return {};
    if (!value.is_string()) wrong(name, "text");
    return std::string(value.get_string());
  }
  bool boolean(std::string_view name) const {
    const json::value& value = at(name);
    if (value.is_null()) return false;
    if (value.is_number()) return value.to_number<double>() != 0;
    if (!value.is_bool()) wrong(name, "true or false");
    return value.get_bool();
  }
  double number(std::string_view name) const {
    const json::value& value = at(name);
    if (value.is_null()) return 0;
    if (!value.is_number() || !std::isfinite(value.to_number<double>())) wrong(name, "a number");
    return value.to_number<double>();
  }
  int64_t integer(std::string_view name) const {
    const json::value& value = at(name);
    if (value.is_int64()) return value.get_int64();
    const double number = this->number(name);
    if (!is_whole(number)) wrong(name, "an integer");
    return static_cast<int64_t>(number);
  }
  /// Nothing: to be drawn.
  std::optional<uint64_t> seed(std::string_view name) const {
    if (at(name).is_uint64()) return at(name).get_uint64();
    const int64_t number = integer(name);
    if (number < -1) wrong(name, "-1 or an integer from 0 to 18446744073709551615");
    if (number == -1) return {};
    return static_cast<uint64_t>(number);
  }
  std::vector<std::string> texts(std::string_view name) const {
    const json::value& value = at(name);
    if (value.is_null()) return {};
    std::vector<std::string> out;
    if (!value.is_array()) wrong(name, "a list of texts");
    for (const json::value& item : value.get_array()) {
      if (!item.is_string()) wrong(name, "a list of texts");
      out.emplace_back(item.get_string());
    }
    return out;
  }
  const json::object& object(std::string_view name) const {
    static const json::object kNothing;
    const json::value& value = at(name);
    if (value.is_null()) return kNothing;
    if (!value.is_object()) wrong(name, "an object");
    return value.get_object();
  }

 private:
  [[noreturn]] void wrong(std::string_view name, const std::string& expected) const {
    throw Error(ErrorCode::InvalidArgument, std::string(name),
                "expected " + expected + ", found " + limn::to_text(at(name)));
  }
  json::object values_;
};

/// Turns one request's fields into limn's.
class Reader {
 public:
  Reader(SdapiTask task, const json::object& given, const SdapiContext& context, SdapiRequest& out)
      : task_(task), given_(given), context_(context), body_(task, given), out_(out) {}

  void read() {
    put("compat", "a1111");
    read_prompts();
    read_seeds();
    read_sampler();
    read_numbers();
    read_settings();
    read_refiner();
    if (task_ == kText && body_.boolean("enable_hr")) read_second_pass();
    if (task_ == kImage) read_pictures();
    read_scripts();
    warn_of_ignored();
    echo();
  }

 private:
  template <typename Value>
  void put(std::string_view field, Value&& value) {
    out_.fields[key_of(field)] = json::value(std::forward<Value>(value));
  }
  void warn(std::string text) { out_.warnings.push_back(std::move(text)); }
  [[noreturn]] void refuse(std::string_view field, const std::string& what,
                           const std::string& hint = {}) const {
    throw Error(ErrorCode::InvalidArgument, std::string(field), what, hint);
  }

  std::string model_named(std::string_view field, const std::string& title) const {
    if (const auto name = context_.find_model(title, "checkpoint")) return *name;
    throw Error(ErrorCode::NotFound, std::string(field), "Model not found: '" + title + "'",
                "GET /sdapi/v1/sd-models lists them");
  }

  void read_prompts() {
    out_.prompt = body_.text("prompt");
    provenance::Recipe tags;
    put("prompt", provenance::without_network_tags(out_.prompt, tags));
    for (const std::string& note : tags.notes) warn("prompt: " + note);
    json::array loras;
    for (const provenance::RecipeLora& lora : tags.loras) {
      if (body_.boolean("disable_extra_networks")) continue;
      if (const auto name = context_.find_model(lora.name, "lora"))
        loras.emplace_back(*name + ":" + plain(lora.weight));
      else
        warn("prompt: <lora:" + lora.name + ">: no such LoRA is here; left out");
    }
    if (!loras.empty()) put("lora", std::move(loras));

    const std::string negative = body_.text("negative_prompt");
    put("negative_prompt", negative);
    if (negative.find("<lora:") != std::string::npos)
      warn("negative_prompt: <lora:…> has an effect in the prompt alone; here it counts as words");

    for (const std::string& style : body_.texts("styles"))
      if (std::ranges::find(context_.styles, style) != context_.styles.end())
        out_.styles.push_back(style);
      else
        warn("styles: no '" + style + "' is here; left out");
    if (!out_.styles.empty()) put("style", json::array(out_.styles.begin(), out_.styles.end()));
  }

  void read_seeds() {
    if (const auto seed = body_.seed("seed")) put("seed", *seed);
    const double strength = std::clamp(body_.number("subseed_strength"), 0.0, 1.0);
    if (strength > 0) {
      put("variation_strength", strength);
      put("variation_seed", body_.seed("subseed").value_or(std::random_device{}()));
    }
    const int64_t width = body_.integer("seed_resize_from_w"), height = body_.integer("seed_resize_from_h");
    if (width > 0 && height > 0) put("seed_resize", json::array{width, height});
  }

  void read_sampler() {
    std::string name = body_.text("sampler_name");
    if (name.empty()) name = body_.text("sampler_index");
    const auto known = engine::find_sampler("a1111", name);
    if (!known)
      throw Error(ErrorCode::NotFound, "sampler_name", "Sampler not found: '" + name + "'",
                  "GET /sdapi/v1/samplers lists them");
    put("scheduler", name);
    const std::string asked = body_.text("scheduler");
    if (says_none(asked)) return;
    for (std::string_view label : engine::schedule_names("a1111")) {
      if (without_spaces(label) != without_spaces(asked)) continue;
      if (!known->takes_schedule) return warn("scheduler: has no effect with the sampler " + name);
      return put("schedule", key_of(label));
    }
    warn("scheduler: no '" + asked + "'; the sampler's own is taken");
  }

  /// A1111 takes what is over the last whole 8 pixels off.
  int64_t side(std::string_view field) {
    const int64_t asked = body_.integer(field), taken = asked / 8 * 8;
    if (taken != asked)
      warn(std::string(field) + ": " + std::to_string(asked) + " is taken as " + std::to_string(taken));
    return taken;
  }

  void read_numbers() {
    put("width", side("width"));
    put("height", side("height"));
    put("steps", body_.integer("steps"));
    put("guidance_scale", body_.number("cfg_scale"));
    out_.batch_size = body_.integer("batch_size");
    out_.batches = body_.integer("n_iter");
    constexpr int64_t kMost = 1 << 20;  // of each, so that the product is a number
    if (out_.batch_size < 1 || out_.batch_size > kMost) refuse("batch_size", "expected 1 or more pictures");
    if (out_.batches < 1 || out_.batches > kMost) refuse("n_iter", "expected 1 or more batches");
    put("count", out_.batch_size * out_.batches);
    if (body_.has("eta")) put("eta", body_.number("eta"));
    if (body_.number("s_min_uncond") > 0) put("skip_unconditional", body_.number("s_min_uncond"));
    if (body_.boolean("tiling")) put("seamless", "xy");
    out_.sends_pictures = body_.boolean("send_images");
    out_.task = body_.text("force_task_id");
  }

  /// The client's options of before, then those of this request alone.
  void read_settings() {
    json::object settings = context_.options;
    if (body_.has("clip_skip")) settings["CLIP_stop_at_last_layers"] = body_.at("clip_skip");
    for (const auto& [name, value] : body_.object("override_settings")) {
      const bool known = std::ranges::any_of(picture_options(),
                                             [&](const SdapiOption& o) { return key_of(o.name) == name; });
      if (known)
        settings[name] = value;
      else
        warn("override_settings: " + std::string(name) + ": limn has no such setting");
    }
    if (!body_.boolean("override_settings_restore_afterwards") && !body_.object("override_settings").empty())
      warn("override_settings_restore_afterwards: they hold for this request alone");
    for (const SdapiOption& option : picture_options())
      if (const json::value* value = settings.if_contains(key_of(option.name)); value && !value->is_null())
        option.apply(*value, context_, out_);
  }

  void read_refiner() {
    const std::string title = body_.text("refiner_checkpoint");
    if (says_none(title) || !body_.has("refiner_switch_at") || body_.number("refiner_switch_at") >= 1) return;
    put("refiner", model_named("refiner_checkpoint", title));
    put("refiner_start", body_.number("refiner_switch_at"));
  }

  void read_second_pass() {
    int64_t wanted_width = body_.integer("hr_resize_x"), wanted_height = body_.integer("hr_resize_y");
    if (body_.integer("firstphase_width") > 0 &&
        body_.integer("firstphase_height") > 0) {  // of before A1111 1.0
      wanted_width = body_.integer("width");
      wanted_height = body_.integer("height");
      put("width", side("firstphase_width"));
      put("height", side("firstphase_height"));
    }
    const double across =
        static_cast<double>(wanted_width) / static_cast<double>(out_.fields["width"].as_int64());
    const double down =
        static_cast<double>(wanted_height) / static_cast<double>(out_.fields["height"].as_int64());
    const double scale =
        wanted_width > 0 || wanted_height > 0 ? std::max(across, down) : body_.number("hr_scale");
    constexpr double kSame = 1e-3;
    if (wanted_width > 0 && wanted_height > 0 && std::abs(across - down) > kSame * scale)
      warn(
          "hr_resize: has other proportions than the first pass; limn keeps the first pass' and cuts nothing "
          "off");
    if (scale <= 1) return warn("enable_hr: the second pass would not be larger than the first; left out");
    put("hires_scale", scale);
    put("hires_strength", body_.number("denoising_strength"));
    if (const int64_t steps = body_.integer("hr_second_pass_steps"); steps > 0) put("hires_steps", steps);
    read_upscaler();
    warn_of_other_second_pass();
  }

  void read_upscaler() {
    const std::string label = body_.text("hr_upscaler");
    if (label.empty()) return;
    if (label == "None") return put("hires_upscaler", "lanczos");
    std::string known;
    for (const provenance::Choice& row : provenance::upscaler_labels()) {
      if (row.label == label) return put("hires_upscaler", key_of(row.name));
      known.append(known.empty() ? "" : ", ").append(row.label);
    }
    refuse("hr_upscaler", "no '" + label + "'", "known: " + known);
  }

  /// What A1111 can have otherwise in the second pass.
  void warn_of_other_second_pass() {
    struct Pair {
      std::string_view second, first;
    };
    for (const Pair& pair : {Pair{"hr_sampler_name", "sampler_name"}, Pair{"hr_scheduler", "scheduler"},
                             Pair{"hr_prompt", "prompt"}, Pair{"hr_negative_prompt", "negative_prompt"}})
      if (!says_none(body_.text(pair.second)) && body_.text(pair.second) != body_.text(pair.first))
        warn(std::string(pair.second) + ": limn has the same in both passes; left out");
    if (!says_none(body_.text("hr_checkpoint_name")))
      warn("hr_checkpoint_name: limn has the same model in both passes; left out");
  }

  void read_pictures() {
    const std::vector<std::string> pictures = body_.texts("init_images");
    if (pictures.empty())
      throw Error(ErrorCode::NotFound, "init_images", "Init image not found", "give one picture, as base64");
    if (pictures.size() > 1) warn("init_images: the first is taken; the others are left out");
    out_.init_image = on_white(decode_input(bytes_of_base64(pictures.front(), "init_images"), "init_images"));
    put("strength", body_.number("denoising_strength"));
    if (body_.has("image_cfg_scale")) put("image_guidance_scale", body_.number("image_cfg_scale"));
    if (body_.has("mask")) read_mask();
    const bool masked_part = out_.mask && body_.boolean("inpaint_full_res");
    if (!masked_part) fit();
  }

  void read_mask() {
    out_.mask = binary_mask(decode_input(bytes_of_base64(body_.text("mask"), "mask"), "mask"),
                            body_.boolean("inpainting_mask_invert"));
    if (std::ranges::find(out_.mask->pixels, 255) == out_.mask->pixels.end())
      refuse("mask", "leaves nothing to repaint",
             "white or opaque is repainted, or with inpainting_mask_invert the rest");
    const double across = body_.number(body_.has("mask_blur") ? "mask_blur" : "mask_blur_x");
    const double down = body_.number(body_.has("mask_blur") ? "mask_blur" : "mask_blur_y");
    if (across != down) warn("mask_blur_x, mask_blur_y: limn blurs as far both ways; the larger is taken");
    put("mask_blur", std::max(across, down));
    constexpr std::string_view kContents[] = {"fill", "original", "noise", "nothing"};
    const int64_t fill = body_.integer("inpainting_fill");
    if (fill < 0 || fill >= std::ssize(kContents))
      refuse("inpainting_fill", "expected 0 to 3, found " + std::to_string(fill));
    put("masked_content", key_of(kContents[fill]));
    if (!body_.boolean("inpaint_full_res")) return;
    put("inpaint_area", "masked");
    put("mask_padding", body_.integer("inpaint_full_res_padding"));
  }

  /// Brings picture and mask to the size that is asked for.
  void fit() {
    const auto width = static_cast<int>(out_.fields["width"].as_int64()),
               height = static_cast<int>(out_.fields["height"].as_int64());
    const int64_t mode = body_.integer("resize_mode");
    constexpr int64_t kStretch = 0, kCrop = 1, kFill = 2, kLatent = 3;
    if (mode < kStretch || mode > kLatent)
      refuse("resize_mode", "expected 0 to 3, found " + std::to_string(mode));
    if (out_.init_image->width == width && out_.init_image->height == height) return;
    if (mode == kLatent) warn("resize_mode: limn stretches the picture, not its latents");
    if (mode != kCrop && mode != kFill) return;  // the engine stretches
    if (width < 8 || height < 8 || width > kMostInputSide || height > kMostInputSide)
      return;  // it will be refused
    const auto fitted = mode == kCrop ? fit_cropped : fit_filled;
    out_.init_image = fitted(*out_.init_image, width, height);
    if (out_.mask) out_.mask = binary_mask(fitted(*out_.mask, width, height), false);
  }

  /// A script of A1111's is code of an extension.
  void read_scripts() {
    const std::string script = body_.text("script_name");
    if (!says_none(script))
      refuse("script_name", "Script '" + script + "' not found", "limn runs no scripts");
    for (const auto& [name, value] : body_.object("alwayson_scripts"))
      if (asks_for_something(value))
        warn("alwayson_scripts: " + std::string(name) + ": limn runs no scripts; left out");
  }

  /// Whether an extension is not switched off by its first argument or in each of its units.
  static bool asks_for_something(const json::value& script) {
    const json::value* args = script.is_object() ? script.get_object().if_contains("args") : nullptr;
    if (!args || !args->is_array() || args->get_array().empty()) return false;
    const json::array& list = args->get_array();
    if (list.front().is_bool()) return list.front().get_bool();
    return std::ranges::any_of(list, [](const json::value& unit) {
      const json::value* enabled = unit.is_object() ? unit.get_object().if_contains("enabled") : nullptr;
      return !enabled || !enabled->is_bool() || enabled->get_bool();
    });
  }

  void warn_of_ignored() {
    for (const auto& [key, value] : given_) {
      const std::string_view name(key);
      const auto field = std::ranges::find(sdapi_fields(), name, &SdapiField::name);
      const bool known = field != sdapi_fields().end() && field->task.value_or(task_) == task_;
      const bool asks = !value.is_null() && value != json::value(false) && value != json::value("");
      if (!known && asks) warn(std::string(name) + ": is not known here; left out");
      if (known && field->use == SdapiField::Use::Ignored && asks && !is_neutral(name, value))
        warn(std::string(name) + ": limn has no such setting; left out");
    }
  }

  /// Values that change nothing in A1111 either.
  static bool is_neutral(std::string_view name, const json::value& value) {
    if (!value.is_number()) return false;
    const double number = value.to_number<double>();
    return name == "s_noise" || name == "initial_noise_multiplier" ? number == 1 : number == 0;
  }

  void echo() {
    for (const SdapiField& field : sdapi_fields()) {
      if (field.task.value_or(task_) != task_ || field.name == "clip_skip") continue;
      const json::value* value = given_.if_contains(key_of(field.name));
      out_.parameters[key_of(field.name)] = value ? *value : parsed(field.fallback);
    }
    if (task_ == kImage && !body_.boolean("include_init_images"))
      out_.parameters["init_images"] = out_.parameters["mask"] = nullptr;
  }

  SdapiTask task_;
  const json::object& given_;
  const SdapiContext& context_;
  Body body_;
  SdapiRequest& out_;
};

}  // namespace

bool says_none(std::string_view text) {
  for (std::string_view word :
       {"", "none", "automatic", "use same checkpoint", "use same sampler", "use same scheduler"})
    if (lower(text) == word) return true;
  return false;
}

SdapiTitle split_sdapi_title(const std::string& title) {
  const size_t open = title.rfind(" [");
  if (open == std::string::npos || !title.ends_with(']')) return {title, {}};
  return {title.substr(0, open), title.substr(open + 2, title.size() - open - 3)};
}

SdapiRequest read_sdapi_request(SdapiTask task, const json::object& body, const SdapiContext& context) {
  SdapiRequest out;
  Reader(task, body, context, out).read();
  return out;
}

}  // namespace limn::server
