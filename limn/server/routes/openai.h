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
#include "limn/server/multipart.h"

namespace limn::server {

enum class OpenAiTask { Generate, Edit, Vary };

/// A form as the JSON object that the other calls send, its texts turned into numbers where numbers are meant, and the
/// pictures that came with it.
struct OpenAiForm {
  json::object body;
  std::vector<std::string> images;  // bytes of files, in order
  std::optional<std::string> mask;
};
OpenAiForm read_openai_form(std::span<const Part> parts);

/// What an OpenAI client asks for, in limn's terms. A plain value.
struct OpenAiRequest {
  json::object fields;  // of engine::request_fields(), without pictures
  std::optional<Image> init_image, mask;
  std::vector<std::string> warnings;
  std::string format = "png";  // of the answer: a name of image_formats()
  int compression = 100;       // 0 to 100, of jpeg and webp
  bool streams = false, wants_url = false;
  int64_t partial_images = 0;
};

/// @param find_model  the catalogue's name of a checkpoint
/// @throws Error{InvalidArgument} at OpenAI's name of the field; Error{NotFound} at "model"
OpenAiRequest read_openai_request(
    OpenAiTask task, const OpenAiForm& form,
    const std::function<std::optional<std::string>(const std::string&)>& find_model);

/// A picture's file in another format, with what it says of itself; the file itself where it has the format.
std::string in_format(const std::string& png, const std::string& format, int compression);

/// Whether the next of `wanted` partial pictures, of which `sent` have been sent, is due when this share of a job is done.
bool is_partial_due(int64_t sent, int64_t wanted, double done_share);

}  // namespace limn::server
