// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"
#include "limn/image/image.h"

namespace limn::server {

enum class SdapiTask { TextToImage, ImageToImage };

/// A field of A1111's requests. Fields that are absent or null have A1111's own default.
struct SdapiField {
  enum class Use {
    Read,     // by read_sdapi_request
    Quiet,    // says nothing about the picture
    Ignored,  // limn has no such thing: a warning, unless its value asks for nothing
  };
  std::string_view name;
  std::string_view schema;    // JSON Schema, as JSON text
  std::string_view fallback;  // A1111's default, as JSON text
  Use use = Use::Read;
  std::optional<SdapiTask> task = {};  // absent: both
};
std::span<const SdapiField> sdapi_fields();

/// What the words of a request are looked up in.
struct SdapiContext {
  /// The catalogue's name of a model of the kind "checkpoint", "vae" or "lora"; of the embedded one "embedded".
  std::function<std::optional<std::string>(const std::string& name, std::string_view kind)> find_model;
  std::vector<std::string> styles;  // that the server has
  json::object options;             // that the client set by POST /sdapi/v1/options
};

/// What an A1111 client asks for, in limn's terms. A plain value.
struct SdapiRequest {
  json::object fields;  // of engine::request_fields(), without pictures
  std::optional<Image> init_image, mask;
  std::vector<std::string> warnings;
  json::object parameters;  // what came, with A1111's defaults for what did not
  std::string prompt;       // as it came, with its tags
  std::vector<std::string> styles;
  int64_t batch_size = 1, batches = 1;
  std::string task;  // the client's own id; empty: none
  bool sends_pictures = true;
};

/// @throws Error{InvalidArgument} at A1111's name of the field; Error{NotFound} for samplers and models; Error{Refused} for
///         pictures by URL
SdapiRequest read_sdapi_request(SdapiTask task, const json::object& body, const SdapiContext& context);

/// A server's option that counts for pictures.
struct SdapiOption {
  std::string_view name;
  std::string_view fallback;  // as JSON text
  /// Puts it into limn's fields, or into the warnings.
  void (*apply)(const json::value& value, const SdapiContext& context, SdapiRequest& out);
};
std::span<const SdapiOption> picture_options();

/// Whether a text is one that clients write where they want nothing in particular: "", "None", "Automatic", …
bool says_none(std::string_view text);

/// "sd15.safetensors [abcdef1234]" as "sd15.safetensors" and "abcdef1234".
struct SdapiTitle {
  std::string name, hash;
};
SdapiTitle split_sdapi_title(const std::string& title);

}  // namespace limn::server
