// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/engine/request.h"
#include "limn/image/unicode.h"
#include "limn/server/routes/openai.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/routes/sdapi_pictures.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

using engine::FieldKind;

[[noreturn]] void refuse(std::string_view field, const std::string& what, const std::string& hint = {}) {
  throw Error(ErrorCode::InvalidArgument, std::string(field), what, hint);
}

/// Fields of OpenAI's that a form sends as text.
constexpr std::string_view kIntegers[] = {"n", "output_compression", "partial_images"};
constexpr std::string_view kBooleans[] = {"stream"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

/// limn's own fields that a client may add to OpenAI's: not those that OpenAI has in other words.
const engine::RequestField* own_field(std::string_view name) {
  constexpr std::string_view kOthers[] = {"count", "init_image", "mask"};
  return is_one_of(name, kOthers) ? nullptr : try_find_named(engine::request_fields(), name);
}

json::value number_or_text(const std::string& text) {
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  if (const auto [last, code] = std::from_chars(text.data(), end, integer);
      code == std::errc() && last == end)
    return integer;
  double number = 0;
  const auto [last, code] = std::from_chars(text.data(), end, number);
  if (code == std::errc() && last == end && std::isfinite(number)) return number;
  return json::value(text);
}

json::value value_of(const std::string& name, const std::string& text) {
  const engine::RequestField* field = own_field(name);
  const bool is_number = is_one_of(name, kIntegers) ||
                         (field && (field->kind == FieldKind::Integer || field->kind == FieldKind::Number));
  const bool is_boolean = is_one_of(name, kBooleans) || (field && field->kind == FieldKind::Boolean);
  if (is_number) return number_or_text(text);
  if (is_boolean && (text == "true" || text == "false")) return text == "true";
  return json::value(text);
}

/// A picture is edited where the mask is transparent: white in limn's.
Image mask_of_alpha(const Image& image) {
  constexpr uint8_t kHalf = 128;
  if (image.channels != 4)
    refuse("mask", "has no transparent parts", "transparent parts are edited, the rest is kept");
  Image out{image.width, image.height, 1, {}};
  out.pixels.reserve(image.pixels.size() / 4);
  for (size_t i = 3; i < image.pixels.size(); i += 4) out.pixels.push_back(image.pixels[i] < kHalf ? 255 : 0);
  if (std::ranges::find(out.pixels, 255) == out.pixels.end())
    refuse("mask", "has no transparent parts", "transparent parts are edited, the rest is kept");
  return out;
}

class Reader {
 public:
  Reader(OpenAiTask task, const OpenAiForm& form,
         const std::function<std::optional<std::string>(const std::string&)>& find_model, OpenAiRequest& out)
      : task_(task), form_(form), find_model_(find_model), out_(out) {}

  void read() {
    for (const auto& [name, value] : form_.body)
      if (!value.is_null()) read_field(std::string(name), value);
    if (out_.partial_images > 0 && !out_.streams) warn("partial_images: has an effect with stream alone");
    if (out_.format == "png" && out_.compression != 100) warn("output_compression: has no effect on png");
    if (task_ != OpenAiTask::Generate) read_pictures();
  }

 private:
  void warn(std::string text) { out_.warnings.push_back(std::move(text)); }

  /// Of a form, which has no schema that the router would have checked.
  std::string text(std::string_view name, const json::value& value) const {
    if (!value.is_string()) refuse(name, "expected text, found " + limn::to_text(value));
    return std::string(value.get_string());
  }
  int64_t integer(std::string_view name, const json::value& value, int64_t least, int64_t most) const {
    const double number = value.is_number() ? value.to_number<double>() : static_cast<double>(least) - 1;
    if (number < static_cast<double>(least) || number > static_cast<double>(most) ||
        number != static_cast<double>(static_cast<int64_t>(number)))
      refuse(name, "expected an integer from " + std::to_string(least) + " to " + std::to_string(most) +
                       ", found " + limn::to_text(value));
    return static_cast<int64_t>(number);
  }

  void read_field(const std::string& name, const json::value& value) {
    constexpr int64_t kMostPictures = 10, kMostPartial = 3;
    if (name == "prompt") {
      out_.fields["prompt"] = text(name, value);
    } else if (name == "model") {
      read_model(text(name, value));
    } else if (name == "n") {
      out_.fields["count"] = integer(name, value, 1, kMostPictures);
    } else if (name == "size") {
      read_size(text(name, value));
    } else if (name == "output_format") {
      out_.format = text(name, value);
      if (out_.format != "png" && out_.format != "jpeg" && out_.format != "webp")
        refuse(name, "no '" + out_.format + "'", "known: png, jpeg, webp");
    } else if (name == "output_compression") {
      out_.compression = static_cast<int>(integer(name, value, 0, 100));
    } else if (name == "response_format") {
      const std::string format = text(name, value);
      if (format != "url" && format != "b64_json")
        refuse(name, "no '" + format + "'", "known: url, b64_json");
      out_.wants_url = format == "url";
    } else if (name == "stream") {
      if (!value.is_bool()) refuse(name, "expected true or false, found " + limn::to_text(value));
      out_.streams = value.get_bool();
    } else if (name == "partial_images") {
      out_.partial_images = integer(name, value, 0, kMostPartial);
    } else {
      read_other(name, value);
    }
  }

  /// What says nothing here, what has no effect, and limn's own fields.
  void read_other(const std::string& name, const json::value& value) {
    const std::string said = value.is_string() ? std::string(value.get_string()) : "";
    if (name == "user" || name == "safety_identifier" || name == "moderation") return;
    if (name == "input_fidelity") {
      if (said == "high" && !form_.mask) out_.fields["strength"] = kCloseStrength;
      return;
    }
    if (name == "quality") {
      if (said != "auto" && said != "standard")
        warn("quality: limn has one; steps says how long it works on a picture");
    } else if (name == "background") {
      if (said == "transparent") warn("background: limn's pictures are opaque");
    } else if (name == "style" && (said == "vivid" || said == "natural")) {
      warn("style: has no effect; say it in the prompt");
    } else if (own_field(name)) {
      out_.fields[name] = value;
    } else {
      warn(name + ": is not known here; left out");
    }
  }

  /// Clients that cannot be told otherwise name OpenAI's models.
  void read_model(const std::string& name) {
    if (name.empty()) return;
    if (const auto found = find_model_(name)) {
      out_.fields["model"] = *found;
      return;
    }
    for (std::string_view beginning : {"gpt-image-", "chatgpt-image-", "dall-e-"})
      if (name.starts_with(beginning))
        return warn("model: " + name + " is not here; the server's first model is taken");
    throw Error(ErrorCode::NotFound, "model", "The model '" + name + "' does not exist",
                "GET /v1/models lists them");
  }

  void read_size(const std::string& size) {
    if (size == "auto" || size.empty()) return;
    int64_t width = 0, height = 0;
    const char* end = size.data() + size.size();
    const auto [cross, code] = std::from_chars(size.data(), end, width);
    const bool has_cross = code == std::errc() && cross != end && *cross == 'x';
    const auto [last, second] =
        has_cross ? std::from_chars(cross + 1, end, height) : std::from_chars_result{end, code};
    if (!has_cross || second != std::errc() || last != end || width < 8 || height < 8)
      refuse("size", "expected WIDTHxHEIGHT in pixels or auto, found '" + size + "'", "such as 512x512");
    out_.fields["width"] = width;
    out_.fields["height"] = height;
  }

  void read_pictures() {
    if (form_.images.empty()) refuse("image", "is missing", "send a PNG, JPEG or WebP as a file of the form");
    if (form_.images.size() > 1) warn("image: the first is taken; the others are left out");
    out_.init_image = on_white(decode_input(form_.images.front(), "image"));
    if (task_ == OpenAiTask::Vary) {
      out_.fields["prompt"] = "";
      if (!out_.fields.contains("strength")) out_.fields["strength"] = kVariedStrength;
    }
    if (!form_.mask) return;
    out_.mask = mask_of_alpha(decode_input(*form_.mask, "mask"));
    if (!out_.fields.contains("strength")) out_.fields["strength"] = 1.0;
  }

  static constexpr double kCloseStrength = 0.5, kVariedStrength = 0.6;
  OpenAiTask task_;
  const OpenAiForm& form_;
  const std::function<std::optional<std::string>(const std::string&)>& find_model_;
  OpenAiRequest& out_;
};

}  // namespace

OpenAiForm read_openai_form(std::span<const Part> parts) {
  OpenAiForm out;
  for (const Part& part : parts) {
    if (part.name == "image" || part.name == "image[]")
      out.images.push_back(part.body);
    else if (part.name == "mask")
      out.mask = part.body;
    else if (is_plain_utf8(part.body))
      out.body[part.name] = value_of(part.name, part.body);
    else
      refuse(part.name, "is not valid UTF-8");
  }
  return out;
}

OpenAiRequest read_openai_request(
    OpenAiTask task, const OpenAiForm& form,
    const std::function<std::optional<std::string>(const std::string&)>& find_model) {
  OpenAiRequest out;
  if (task != OpenAiTask::Vary && !form.body.contains("prompt"))
    refuse("prompt", "is missing", "say what to draw");
  Reader(task, form, find_model, out).read();
  return out;
}

}  // namespace limn::server
