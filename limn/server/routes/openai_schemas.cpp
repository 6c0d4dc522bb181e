// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/schemas.h"

namespace limn::server {
namespace {

template <const char* text>
json::object parsed() {
  return parse_json(text, "schema").get_object();
}

constexpr char kGeneration[] =
    R"({"type":"object","required":["prompt"],"additionalProperties":true,"properties":{
    "prompt":{"type":"string","maxLength":10000},"model":{"type":["string","null"]},
    "n":{"type":["integer","null"],"minimum":1,"maximum":10},
    "size":{"type":["string","null"],"description":"WIDTHxHEIGHT or auto"},
    "quality":{"type":["string","null"],"description":"without effect; told in the warnings"},
    "background":{"type":["string","null"],"description":"pictures are opaque"},
    "output_format":{"type":["string","null"],"enum":["png","jpeg","webp",null]},
    "output_compression":{"type":["integer","null"],"minimum":0,"maximum":100},
    "moderation":{"type":["string","null"]},"style":{},"user":{"type":["string","null"]},
    "safety_identifier":{"type":["string","null"]},
    "response_format":{"type":["string","null"],"enum":["url","b64_json",null]},
    "stream":{"type":["boolean","null"]},"partial_images":{"type":["integer","null"],"minimum":0,"maximum":3}}})";
constexpr char kEdit[] =
    R"({"type":"object","required":["image","prompt"],"additionalProperties":true,"properties":{
    "image":{"type":"string","format":"binary","description":"or image[]: the first is taken"},
    "mask":{"type":"string","format":"binary","description":"edited where it is transparent"},
    "prompt":{"type":"string","maxLength":10000},"model":{"type":"string"},
    "n":{"type":"integer","minimum":1,"maximum":10},"size":{"type":"string"},
    "input_fidelity":{"type":"string","enum":["low","high"]},
    "output_format":{"type":"string","enum":["png","jpeg","webp"]},
    "output_compression":{"type":"integer","minimum":0,"maximum":100},
    "response_format":{"type":"string","enum":["url","b64_json"]},
    "stream":{"type":"boolean"},"partial_images":{"type":"integer","minimum":0,"maximum":3}}})";
constexpr char kVariation[] =
    R"({"type":"object","required":["image"],"additionalProperties":true,"properties":{
    "image":{"type":"string","format":"binary"},"model":{"type":"string"},
    "n":{"type":"integer","minimum":1,"maximum":10},"size":{"type":"string"},
    "response_format":{"type":"string","enum":["url","b64_json"]}}})";
constexpr char kUsage[] =
    R"({"type":"object","required":["input_tokens","output_tokens","total_tokens"],"properties":{
    "input_tokens":{"type":"integer","description":"of the prompt"},"output_tokens":{"type":"integer"},
    "total_tokens":{"type":"integer"},"input_tokens_details":{"type":"object"},
    "output_tokens_details":{"type":"object"}}})";
constexpr char kImages[] = R"({"type":"object","required":["created","data"],"properties":{
    "created":{"type":"integer"},
    "data":{"type":"array","items":{"type":"object","properties":{"b64_json":{"type":"string"},"url":{"type":"string"}}}},
    "output_format":{"type":"string"},"size":{"type":"string"},"quality":{"type":"string"},
    "background":{"type":"string"},"usage":{"$ref":"#/components/schemas/OpenAiUsage"},
    "warnings":{"type":"array","items":{"type":"string"},"description":"what was asked for and not done"}}})";
constexpr char kEvent[] = R"({"type":"object","required":["data"],"properties":{"event":{"type":"string"},
    "data":{"type":"string","description":"JSON: type, b64_json, size, …; of the last ones usage; or error"}}})";
constexpr char kModel[] = R"({"type":"object","required":["id","object","created","owned_by"],"properties":{
    "id":{"type":"string"},"object":{"const":"model"},"created":{"type":"integer"},"owned_by":{"type":"string"}}})";
constexpr char kModels[] =
    R"({"type":"object","required":["object","data"],"properties":{"object":{"const":"list"},
    "data":{"type":"array","items":{"$ref":"#/components/schemas/OpenAiModel"}}}})";

}  // namespace

std::vector<NamedSchema> openai_schemas() {
  return {{"OpenAiGeneration", parsed<kGeneration>}, {"OpenAiEdit", parsed<kEdit>},
          {"OpenAiVariation", parsed<kVariation>},   {"OpenAiUsage", parsed<kUsage>},
          {"OpenAiImages", parsed<kImages>},         {"OpenAiEvent", parsed<kEvent>},
          {"OpenAiModel", parsed<kModel>},           {"OpenAiModels", parsed<kModels>}};
}

}  // namespace limn::server
