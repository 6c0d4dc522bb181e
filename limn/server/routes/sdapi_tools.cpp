// SPDX-License-Identifier: Apache-2.0
// AUTOMATIC1111's API: what works on pictures that are sent.
#include <cmath>

#include "limn/base/error.h"
#include "limn/image/image.h"
#include "limn/provenance/record.h"
#include "limn/server/base64.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/sdapi.h"
#include "limn/server/routes/sdapi_pictures.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

constexpr std::string_view kJson = "application/json";

double number_in(const json::object& body, json::string_view name, double fallback) {
  const json::value* value = body.if_contains(name);
  return value && value->is_number() ? value->to_number<double>() : fallback;
}

std::string text_in(const json::object& body, json::string_view name) {
  const json::value* value = body.if_contains(name);
  return value && value->is_string() ? std::string(value->get_string()) : "";
}

/// What is done to each picture of a call.
struct Enlarging {
  bool by_size = false, cuts = true, upscales = false;
  double factor = 2;
  int64_t width = 512, height = 512;
  std::string notes;  // what is asked for and not done
};

Enlarging read_enlarging(const json::object& body) {
  constexpr double kMostFactor = 8;
  Enlarging out;
  out.by_size = number_in(body, "resize_mode", 0) == 1;
  const json::value* crop = body.if_contains("upscaling_crop");
  out.cuts = !crop || *crop != json::value(false);
  out.factor = number_in(body, "upscaling_resize", 2);
  out.width = static_cast<int64_t>(number_in(body, "upscaling_resize_w", 512));
  out.height = static_cast<int64_t>(number_in(body, "upscaling_resize_h", 512));
  const std::string upscaler = text_in(body, "upscaler_1");
  if (upscaler != "Lanczos" && upscaler != "None" && !upscaler.empty())
    throw Error(ErrorCode::InvalidArgument, "upscaler_1", "no '" + upscaler + "'", "known: None, Lanczos");
  out.upscales = upscaler == "Lanczos";
  if (!out.by_size && !(out.factor > 0 && out.factor <= kMostFactor))
    throw Error(ErrorCode::InvalidArgument, "upscaling_resize", "expected a factor up to 8");
  if (out.by_size &&
      (out.width < 1 || out.height < 1 || out.width > kMostInputSide || out.height > kMostInputSide))
    throw Error(ErrorCode::InvalidArgument, "upscaling_resize_w, upscaling_resize_h",
                "expected pixels from 1 to 16384");
  for (const char* restorer : {"gfpgan_visibility", "codeformer_visibility"})
    if (number_in(body, restorer, 0) > 0) out.notes += std::string(restorer) + ": limn restores no faces. ";
  if (number_in(body, "extras_upscaler_2_visibility", 0) > 0)
    out.notes += "extras_upscaler_2_visibility: limn blends no second upscaler. ";
  return out;
}

Image enlarged(const Image& image, const Enlarging& how) {
  if (!how.upscales) return image;
  const double across = static_cast<double>(how.width) / image.width,
               down = static_cast<double>(how.height) / image.height;
  const double factor = how.by_size ? std::max(across, down) : how.factor;
  const int64_t width = std::max<int64_t>(std::llround(image.width * factor), 1),
                height = std::max<int64_t>(std::llround(image.height * factor), 1);
  if (width > kMostInputSide || height > kMostInputSide || width * height > kMostInputPixels)
    throw Error(
        ErrorCode::InvalidArgument, "upscaling_resize",
        "a picture of " + std::to_string(width) + " × " + std::to_string(height) + " is over the limit");
  if (how.by_size && how.cuts)
    return fit_cropped(image, static_cast<int>(how.width), static_cast<int>(how.height));
  return resize_lanczos(image, static_cast<int>(width), static_cast<int>(height));
}

/// The enlarged picture as PNG; what the old one said of itself stays in it.
std::string work_on(const std::string& base64, const std::string& where, const Enlarging& how) {
  const PictureTurn turn;
  const std::string bytes = bytes_of_base64(base64, where);
  const Image picture = enlarged(decode_input(bytes, where), how);
  std::vector<TextEntry> texts = texts_of_input(bytes, where);
  if (how.upscales) texts.push_back({"postprocessing", "Postprocess upscaler: Lanczos"});
  return encode_base64(encode_image(picture, "png", texts));
}

HttpResponse extra_single_image(Services&, const Call& call) {
  const json::object& body = call.json.get_object();
  const Enlarging how = read_enlarging(body);
  return json_answer({{"image", work_on(text_in(body, "image"), "image", how)}, {"html_info", how.notes}});
}

HttpResponse extra_batch_images(Services&, const Call& call) {
  const json::object& body = call.json.get_object();
  const Enlarging how = read_enlarging(body);
  json::array images;
  for (const json::value& item : body.at("imageList").get_array())
    images.emplace_back(
        work_on(text_in(item.get_object(), "data"), "imageList[" + std::to_string(images.size()) + "]", how));
  return json_answer({{"images", std::move(images)}, {"html_info", how.notes}});
}

/// A1111's fields of an infotext; sizes are told as two.
json::object parameters_of(const std::string& infotext) {
  if (infotext.empty()) return {};
  const provenance::Infotext info = provenance::parse_infotext(infotext);
  json::object out{{"Prompt", info.prompt}, {"Negative prompt", info.negative_prompt}};
  for (const auto& [key, value] : info.fields) {
    const size_t x = value.find('x');
    const bool is_size = x != std::string::npos && x > 0 && x + 1 < value.size() &&
                         value.find_first_not_of("0123456789x") == std::string::npos && value.rfind('x') == x;
    if (is_size) {
      out[key + "-1"] = value.substr(0, x);
      out[key + "-2"] = value.substr(x + 1);
    } else {
      out[key] = value;
    }
  }
  return out;
}

HttpResponse png_info(Services&, const Call& call) {
  const std::string bytes = bytes_of_base64(text_in(call.json.get_object(), "image"), "image");
  std::string infotext;
  json::object items;
  for (const TextEntry& entry : texts_of_input(bytes, "image")) {
    items[entry.keyword] = entry.text;
    if (entry.keyword == "parameters") infotext = entry.text;
  }
  return json_answer({{"info", infotext}, {"items", items}, {"parameters", parameters_of(infotext)}});
}

HttpResponse interrogate(Services&, const Call&) {
  throw Error(ErrorCode::NotFound, "model", "Model not found: limn has none that describes pictures");
}

}  // namespace

std::vector<Route> sdapi_tool_routes() {
  const auto post = [](std::string_view path, std::string_view name, std::string_view help,
                       std::string_view takes, std::string_view schema,
                       HttpResponse (*handle)(Services&, const Call&)) {
    Route route = sdapi_route("POST", path, name, help, {200, kJson, schema, "the answer"}, handle);
    route.takes = kJson;
    route.takes_schema = takes;
    return route;
  };
  return {
      post("/sdapi/v1/extra-single-image", "sdapi_extra_single_image",
           "Enlarges a picture by Lanczos' filter.", "SdapiExtra", "SdapiExtraImage", extra_single_image),
      post("/sdapi/v1/extra-batch-images", "sdapi_extra_batch_images",
           "Enlarges pictures by Lanczos' filter.", "SdapiExtraBatch", "SdapiExtraImages",
           extra_batch_images),
      post("/sdapi/v1/png-info", "sdapi_png_info", "What a picture says of how it was made.", "SdapiPicture",
           "SdapiPngInfo", png_info),
      post("/sdapi/v1/interrogate", "sdapi_interrogate", "limn has no model that describes pictures: 404.",
           "SdapiInterrogate", "SdapiObject", interrogate),
  };
}

}  // namespace limn::server
