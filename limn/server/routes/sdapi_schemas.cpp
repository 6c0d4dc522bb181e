// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/schemas.h"
#include "limn/server/routes/sdapi_request.h"

namespace limn::server {
namespace {

json::string_view key_of(std::string_view name) { return {name.data(), name.size()}; }

template <const char* text>
json::object parsed() {
  return parse_json(text, "schema").get_object();
}

/// A request of A1111's: names that are not listed are taken, and told in the warnings.
template <SdapiTask task>
json::object request_schema() {
  json::object properties;
  for (const SdapiField& field : sdapi_fields()) {
    if (field.task.value_or(task) != task) continue;
    json::object property = parse_json(field.schema, "schema").get_object();
    property["default"] = parse_json(field.fallback, "schema");
    if (field.use == SdapiField::Use::Ignored)
      property["description"] = "without effect; told in the warnings";
    properties[key_of(field.name)] = std::move(property);
  }
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", true}};
}

json::object options_schema() {
  return parse_json(R"({"type":"object","additionalProperties":true,"properties":{
      "sd_model_checkpoint":{"type":["string","null"]},
      "sd_checkpoint_hash":{"type":["string","null"]},
      "sd_vae":{"type":["string","null"]},
      "CLIP_stop_at_last_layers":{"type":["integer","null"],"minimum":0,"maximum":255},
      "eta_noise_seed_delta":{"type":["integer","null"],"minimum":0},
      "randn_source":{"type":["string","null"],"enum":["CPU","GPU","NV",null]},
      "emphasis":{"type":["string","null"],"enum":["Original","No norm","Ignore","None",null]},
      "samples_format":{"type":["string","null"]}}})",
                    "schema")
      .get_object();
}

constexpr char kNull[] = R"({"type":"null"})";
constexpr char kObject[] = R"({"type":"object","additionalProperties":true})";
constexpr char kList[] = R"({"type":"array","items":{"type":"object"}})";
constexpr char kImages[] = R"({"type":"object","required":["images","parameters","info"],"properties":{
    "images":{"type":"array","items":{"type":"string"},"description":"PNG files as base64"},
    "parameters":{"type":"object","description":"the request, with defaults"},
    "info":{"type":"string","description":"a JSON object as text; what was left out is in extra_generation_params.warnings"}}})";
constexpr char kState[] = R"({"type":"object",
    "required":["skipped","interrupted","stopping_generation","job","job_count","job_timestamp","job_no","sampling_step","sampling_steps"],
    "properties":{"skipped":{"type":"boolean"},"interrupted":{"type":"boolean"},"stopping_generation":{"type":"boolean"},
    "job":{"type":"string"},"job_count":{"type":"integer"},"job_timestamp":{"type":"string"},"job_no":{"type":"integer"},
    "sampling_step":{"type":"integer"},"sampling_steps":{"type":"integer"}}})";
constexpr char kProgress[] =
    R"({"type":"object","required":["progress","eta_relative","state","current_image","textinfo"],
    "properties":{"progress":{"type":"number","minimum":0,"maximum":1},"eta_relative":{"type":"number"},
    "state":{"$ref":"#/components/schemas/SdapiState"},
    "current_image":{"type":["string","null"],"description":"JPEG as base64"},"textinfo":{"type":["string","null"]}}})";
constexpr char kTask[] = R"({"type":"object","properties":{"id_task":{"type":"string"},
    "id_live_preview":{"type":["integer","null"]},"live_preview":{"type":["boolean","null"]}}})";
constexpr char kTaskProgress[] = R"({"type":"object","required":["active","queued","completed"],"properties":{
    "active":{"type":"boolean"},"queued":{"type":"boolean"},"completed":{"type":"boolean"},
    "progress":{"type":["number","null"]},"eta":{"type":["number","null"]},"live_preview":{"type":["string","null"]},
    "id_live_preview":{"type":["integer","null"]},"textinfo":{"type":["string","null"]}}})";
constexpr char kSamplers[] =
    R"({"type":"array","items":{"type":"object","required":["name","aliases","options"],"properties":{
    "name":{"type":"string"},"aliases":{"type":"array","items":{"type":"string"}},"options":{"type":"object"}}}})";
constexpr char kSchedulers[] =
    R"({"type":"array","items":{"type":"object","required":["name","label"],"properties":{
    "name":{"type":"string"},"label":{"type":"string"},"aliases":{"type":["array","null"]},
    "default_rho":{"type":"number"},"need_inner_model":{"type":"boolean"}}}})";
constexpr char kUpscalers[] = R"({"type":"array","items":{"type":"object","required":["name"],"properties":{
    "name":{"type":"string"},"model_name":{"type":["string","null"]},"model_path":{"type":["string","null"]},
    "model_url":{"type":["string","null"]},"scale":{"type":"number"}}}})";
constexpr char kNames[] =
    R"({"type":"array","items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}})";
constexpr char kModels[] =
    R"({"type":"array","items":{"type":"object","required":["title","model_name","filename"],"properties":{
    "title":{"type":"string"},"model_name":{"type":"string"},"hash":{"type":["string","null"]},
    "sha256":{"type":["string","null"]},"filename":{"type":"string"},"config":{"type":["string","null"]}}}})";
constexpr char kVaes[] =
    R"({"type":"array","items":{"type":"object","required":["model_name","filename"],"properties":{
    "model_name":{"type":"string"},"filename":{"type":"string"}}}})";
constexpr char kLoras[] =
    R"({"type":"array","items":{"type":"object","required":["name","alias","path"],"properties":{
    "name":{"type":"string"},"alias":{"type":"string"},"path":{"type":"string"},"metadata":{"type":"object"}}}})";
constexpr char kStyles[] = R"({"type":"array","items":{"type":"object","required":["name"],"properties":{
    "name":{"type":"string"},"prompt":{"type":["string","null"]},"negative_prompt":{"type":["string","null"]}}}})";
constexpr char kEmbeddings[] = R"({"type":"object","required":["loaded","skipped"],"properties":{
    "loaded":{"type":"object"},"skipped":{"type":"object"}}})";
constexpr char kScripts[] = R"({"type":"object","required":["txt2img","img2img"],"properties":{
    "txt2img":{"type":"array","items":{"type":"string"}},"img2img":{"type":"array","items":{"type":"string"}}}})";
constexpr char kMemory[] = R"({"type":"object","required":["ram","cuda"],"properties":{
    "ram":{"type":"object","properties":{"free":{"type":"integer"},"used":{"type":"integer"},"total":{"type":"integer"}}},
    "cuda":{"type":"object"}}})";
constexpr char kExtra[] = R"({"type":"object","required":["image"],"additionalProperties":true,"properties":{
    "image":{"type":"string","description":"base64"},"resize_mode":{"type":"integer","enum":[0,1]},
    "upscaling_resize":{"type":"number"},"upscaling_resize_w":{"type":"integer"},"upscaling_resize_h":{"type":"integer"},
    "upscaling_crop":{"type":"boolean"},"upscaler_1":{"type":"string","description":"None or Lanczos"}}})";
constexpr char kExtraBatch[] =
    R"({"type":"object","required":["imageList"],"additionalProperties":true,"properties":{
    "imageList":{"type":"array","maxItems":64,"items":{"type":"object","required":["data"],"properties":{
      "data":{"type":"string","description":"base64"},"name":{"type":"string"}}}},
    "resize_mode":{"type":"integer","enum":[0,1]},"upscaling_resize":{"type":"number"},
    "upscaling_resize_w":{"type":"integer"},"upscaling_resize_h":{"type":"integer"},
    "upscaling_crop":{"type":"boolean"},"upscaler_1":{"type":"string","description":"None or Lanczos"}}})";
constexpr char kExtraImage[] = R"({"type":"object","required":["image","html_info"],"properties":{
    "image":{"type":"string"},"html_info":{"type":"string"}}})";
constexpr char kExtraImages[] = R"({"type":"object","required":["images","html_info"],"properties":{
    "images":{"type":"array","items":{"type":"string"}},"html_info":{"type":"string"}}})";
constexpr char kPicture[] =
    R"({"type":"object","required":["image"],"properties":{"image":{"type":"string","description":"base64"}}})";
constexpr char kPngInfo[] = R"({"type":"object","required":["info","items","parameters"],"properties":{
    "info":{"type":"string"},"items":{"type":"object"},"parameters":{"type":"object"}}})";
constexpr char kInterrogate[] =
    R"({"type":"object","properties":{"image":{"type":"string"},"model":{"type":"string"}}})";

}  // namespace

std::vector<NamedSchema> sdapi_schemas() {
  return {{"SdapiTextToImage", request_schema<SdapiTask::TextToImage>},
          {"SdapiImageToImage", request_schema<SdapiTask::ImageToImage>},
          {"SdapiOptions", options_schema},
          {"SdapiNull", parsed<kNull>},
          {"SdapiObject", parsed<kObject>},
          {"SdapiList", parsed<kList>},
          {"SdapiImages", parsed<kImages>},
          {"SdapiState", parsed<kState>},
          {"SdapiProgress", parsed<kProgress>},
          {"SdapiTask", parsed<kTask>},
          {"SdapiTaskProgress", parsed<kTaskProgress>},
          {"SdapiSamplers", parsed<kSamplers>},
          {"SdapiSchedulers", parsed<kSchedulers>},
          {"SdapiUpscalers", parsed<kUpscalers>},
          {"SdapiNames", parsed<kNames>},
          {"SdapiModels", parsed<kModels>},
          {"SdapiVaes", parsed<kVaes>},
          {"SdapiLoras", parsed<kLoras>},
          {"SdapiStyles", parsed<kStyles>},
          {"SdapiEmbeddings", parsed<kEmbeddings>},
          {"SdapiScripts", parsed<kScripts>},
          {"SdapiMemory", parsed<kMemory>},
          {"SdapiExtra", parsed<kExtra>},
          {"SdapiExtraBatch", parsed<kExtraBatch>},
          {"SdapiExtraImage", parsed<kExtraImage>},
          {"SdapiExtraImages", parsed<kExtraImages>},
          {"SdapiPicture", parsed<kPicture>},
          {"SdapiPngInfo", parsed<kPngInfo>},
          {"SdapiInterrogate", parsed<kInterrogate>}};
}

}  // namespace limn::server
