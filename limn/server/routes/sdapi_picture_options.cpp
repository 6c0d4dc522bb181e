// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "limn/base/error.h"
#include "limn/provenance/upscalers.h"
#include "limn/server/routes/sdapi_request.h"

namespace limn::server {
namespace {

json::string_view key_of(std::string_view name) { return {name.data(), name.size()}; }

[[noreturn]] void refuse_option(std::string_view name, const std::string& expected,
                                const json::value& found) {
  throw Error(ErrorCode::InvalidArgument, std::string(name),
              "expected " + expected + ", found " + limn::to_text(found));
}

std::string text_of(std::string_view option, const json::value& value) {
  if (!value.is_string()) refuse_option(option, "text", value);
  return std::string(value.get_string());
}

int64_t integer_of(std::string_view option, const json::value& value, int64_t least) {
  constexpr double kMost = 9e15;
  const double number = value.is_number() ? value.to_number<double>() : 0.5;
  if (number != std::trunc(number) || number < static_cast<double>(least) || number > kMost)
    refuse_option(option, "an integer from " + std::to_string(least), value);
  return static_cast<int64_t>(number);
}

void apply_model(const json::value& value, const SdapiContext& context, SdapiRequest& out) {
  const std::string title = text_of("sd_model_checkpoint", value);
  if (says_none(title)) return;
  const auto name = context.find_model(title, "checkpoint");
  if (!name)
    throw Error(ErrorCode::NotFound, "sd_model_checkpoint", "Model not found: '" + title + "'",
                "GET /sdapi/v1/sd-models lists them");
  out.fields["model"] = *name;
}

void apply_vae(const json::value& value, const SdapiContext& context, SdapiRequest& out) {
  const std::string title = text_of("sd_vae", value);
  if (says_none(title)) return;
  if (const auto name = context.find_model(title, "vae"))
    out.fields["vae"] = *name;
  else
    out.warnings.push_back("sd_vae: no '" + title + "' is here; the model's own is taken");
}

void apply_clip_skip(const json::value& value, const SdapiContext&, SdapiRequest& out) {
  out.fields["clip_skip"] = integer_of("CLIP_stop_at_last_layers", value, 0);
}

void apply_seed_delta(const json::value& value, const SdapiContext&, SdapiRequest& out) {
  const int64_t delta = integer_of("eta_noise_seed_delta", value, 0);
  if (delta > 0) out.fields["eta_noise_seed_delta"] = delta;
}

void apply_noise(const json::value& value, const SdapiContext&, SdapiRequest& out) {
  const std::string source = text_of("randn_source", value);
  if (source == "CPU") return;
  if (source != "GPU" && source != "NV") refuse_option("randn_source", "CPU, GPU or NV", value);
  out.fields["noise"] = "philox";
  if (source == "GPU")
    out.warnings.push_back("randn_source: NVIDIA's random numbers are taken, as NV; other GPUs' differ");
}

void apply_emphasis(const json::value& value, const SdapiContext&, SdapiRequest& out) {
  constexpr provenance::Choice kEmphases[] = {
      {"Original", "original"}, {"No norm", "no_norm"}, {"Ignore", "ignore"}, {"None", "none"}};
  const std::string label = text_of("emphasis", value);
  for (const provenance::Choice& row : kEmphases)
    if (row.label == label) {
      if (row.name != "original") out.fields["emphasis"] = key_of(row.name);
      return;
    }
  refuse_option("emphasis", "Original, No norm, Ignore or None", value);
}

constexpr SdapiOption kOptions[] = {
    {"sd_model_checkpoint", "null", apply_model},       {"sd_vae", R"("Automatic")", apply_vae},
    {"CLIP_stop_at_last_layers", "1", apply_clip_skip}, {"eta_noise_seed_delta", "0", apply_seed_delta},
    {"randn_source", R"("CPU")", apply_noise},          {"emphasis", R"("Original")", apply_emphasis},
};

}  // namespace

std::span<const SdapiOption> picture_options() { return kOptions; }

}  // namespace limn::server
