// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/request.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "limn/base/named_table.h"
#include "limn/image/unicode.h"
#include "limn/schedulers/scheduler.h"

namespace limn::engine {
namespace {

template <auto Member>
void set_text(GenerateRequest& request, const json::value& value) {
  request.*Member = std::string(value.as_string());
}
template <auto Member>
void set_integer(GenerateRequest& request, const json::value& value) {
  request.*Member = value.as_int64();
}
template <auto Member>
void set_number(GenerateRequest& request, const json::value& value) {
  request.*Member = value.to_number<double>();
}
void set_seed(GenerateRequest& request, const json::value& value) {
  request.seed = value.to_number<uint64_t>();
}

constexpr double kMostLoraWeight = 100;

/// "FILE" or "FILE:WEIGHT"; a colon that no number follows belongs to the name.
LoraChoice lora_of(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, 1.0};
  double weight = 0;
  const char* end = text.data() + text.size();
  const auto [last, code] = std::from_chars(text.data() + colon + 1, end, weight);
  if (code != std::errc() || last != end) return {text, 1.0};
  if (!(std::abs(weight) <= kMostLoraWeight))
    throw Error(ErrorCode::InvalidArgument, "lora",
                "expected a weight from -100 to 100, found '" + text.substr(colon + 1) + "'");
  return {text.substr(0, colon), weight};
}

/// A list replaces what was there; one text is added to it.
void set_loras(GenerateRequest& request, const json::value& value) {
  if (value.is_string()) {
    request.loras.push_back(lora_of(std::string(value.as_string())));
    return;
  }
  request.loras.clear();
  for (const json::value& item : value.as_array()) {
    if (!item.is_string())
      throw Error(ErrorCode::InvalidArgument, "lora",
                  "expected \"FILE\" or \"FILE:WEIGHT\", found " + to_text(item));
    request.loras.push_back(lora_of(std::string(item.as_string())));
  }
}

using R = GenerateRequest;
constexpr double kMostSide = 8192;
constexpr size_t kMostText = 10'000;

const RequestField kFields[] = {
    {.name = "prompt",
     .kind = FieldKind::Text,
     .help = "what to draw, in words",
     .set = set_text<&R::prompt>},
    {.name = "negative_prompt",
     .kind = FieldKind::Text,
     .help = "what to keep out (needs guidance_scale above 1)",
     .set = set_text<&R::negative_prompt>},
    {.name = "model",
     .kind = FieldKind::Path,
     .help = "diffusers folder, .safetensors or .ckpt (default: the embedded model)",
     .set = set_text<&R::model>},
    {.name = "lora",
     .kind = FieldKind::Loras,
     .help = "FILE[:WEIGHT]: a LoRA to add, with kohya's, diffusers' or PEFT's names; may be given again "
             "(default weight: 1)",
     .set = set_loras},
    {.name = "width",
     .kind = FieldKind::Integer,
     .help = "pixels, a multiple of 8 (default: the model's own size)",
     .least = 8,
     .most = kMostSide,
     .set = set_integer<&R::width>},
    {.name = "height",
     .kind = FieldKind::Integer,
     .help = "pixels, a multiple of 8 (default: the model's own size)",
     .least = 8,
     .most = kMostSide,
     .set = set_integer<&R::height>},
    {.name = "steps",
     .kind = FieldKind::Integer,
     .help = "denoising steps (default: the model's, or 50)",
     .least = 1,
     .most = 1000,
     .set = set_integer<&R::steps>},
    {.name = "guidance_scale",
     .kind = FieldKind::Number,
     .help = "how strictly to follow the prompt; 1 and less: guidance off (default: the model's, or 7.5)",
     .least = 0,
     .most = 1000,
     .set = set_number<&R::guidance_scale>},
    {.name = "scheduler",
     .kind = FieldKind::Text,
     .help = "step rule (default: the model's)",
     .choices = [] { return names_of(schedulers::all()); },
     .set = set_text<&R::scheduler>},
    {.name = "schedule",
     .kind = FieldKind::Text,
     .help = "spacing of the noise levels (default: the model's)",
     .choices = [] { return names_of(schedulers::all_schedules()); },
     .set = set_text<&R::schedule>},
    {.name = "eta",
     .kind = FieldKind::Number,
     .help = "DDIM's share of fresh noise, 0 to 1 (default: 0)",
     .least = 0,
     .most = 1,
     .set = set_number<&R::eta>},
    {.name = "seed",
     .kind = FieldKind::Seed,
     .help = "of the first picture; picture i has seed + i (default: random)",
     .set = set_seed},
    {.name = "count",
     .kind = FieldKind::Integer,
     .help = "number of pictures (default: 1)",
     .least = 1,
     .most = 1024,
     .set = set_integer<&R::count>},
    {.name = "clip_skip",
     .kind = FieldKind::Integer,
     .help = "layers of the text encoder to leave out, as diffusers counts (default: 0)",
     .least = 0,
     .most = 255,
     .set = set_integer<&R::clip_skip>},
    {.name = "init_image",
     .kind = FieldKind::Path,
     .help = "picture to start from (image to image)",
     .set = set_text<&R::init_image>},
    {.name = "strength",
     .kind = FieldKind::Number,
     .help = "how far to change init_image: 0 keeps it, 1 forgets it (default: 0.8)",
     .least = 0,
     .most = 1,
     .set = set_number<&R::strength>},
    {.name = "init_latents",
     .kind = FieldKind::Path,
     .help = "safetensors with 'latents', float32 [pictures, channels, h, w], used as the unit noise",
     .set = set_text<&R::init_latents>},
    {.name = "compat",
     .kind = FieldKind::Text,
     .help = "whose conventions to follow (default: diffusers)",
     .choices = [] { return std::string("diffusers"); },
     .set = set_text<&R::compat>},
    {.name = "device",
     .kind = FieldKind::Text,
     .help = "cpu, cuda or cuda:N (default: cpu)",
     .set = set_text<&R::device>},
    {.name = "dtype",
     .kind = FieldKind::Text,
     .help = "arithmetic (default: auto, which is float32 on a CPU)",
     .choices = [] { return std::string("auto, float32, bfloat16, float16"); },
     .set = set_text<&R::dtype>},
};

[[noreturn]] void refuse(const RequestField& field, const std::string& expected, const std::string& found) {
  throw Error(ErrorCode::InvalidArgument, std::string(field.name),
              "expected " + expected + ", found " + found);
}

std::string plain(double number) {
  return std::abs(number) < 1e15 && number == std::trunc(number)
             ? std::to_string(static_cast<int64_t>(number))
             : std::to_string(number);
}

std::string expectation(const RequestField& field) {
  switch (field.kind) {
    case FieldKind::Seed:
      return "an integer from 0 to 18446744073709551615";
    case FieldKind::Integer:
      return "an integer from " + plain(field.least) + " to " + plain(field.most);
    case FieldKind::Loras:
      return "a list of FILE[:WEIGHT]";
    case FieldKind::Number:
      return "a number from " + plain(field.least) + " to " + plain(field.most);
    default:
      return "text";
  }
}

template <typename Number>
json::value number_of(const RequestField& field, const std::string& text) {
  Number number{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size())
    refuse(field, expectation(field), "'" + text + "'");
  return number;
}

/// The record inside a picture holds the texts, so they must be storable there.
void check_text(const RequestField& field, std::string_view text) {
  if (text.size() > kMostText)
    refuse(field, "at most " + std::to_string(kMostText) + " bytes", std::to_string(text.size()));
  if (!is_plain_utf8(text))
    throw Error(ErrorCode::InvalidArgument, std::string(field.name), "is not valid UTF-8, or holds a NUL");
}

bool has_kind(const RequestField& field, const json::value& value) {
  switch (field.kind) {
    case FieldKind::Seed:
      return value.is_uint64() || (value.is_int64() && value.as_int64() >= 0);
    case FieldKind::Integer:
      return value.is_int64();
    case FieldKind::Number:
      return value.is_number();
    case FieldKind::Loras:
      return value.is_array() || value.is_string();
    default:
      return value.is_string();
  }
}

}  // namespace

std::span<const RequestField> request_fields() { return kFields; }

void set_field(GenerateRequest& request, const RequestField& field, const json::value& value) {
  if (!has_kind(field, value)) refuse(field, expectation(field), to_text(value));
  if (field.kind == FieldKind::Integer || field.kind == FieldKind::Number) {
    const double number = value.to_number<double>();
    if (!(number >= field.least && number <= field.most))
      refuse(field, expectation(field), plain(number));  // NaN too
  }
  if (field.kind == FieldKind::Text) check_text(field, value.as_string());
  field.set(request, value);
}

void set_field_from_text(GenerateRequest& request, const RequestField& field, const std::string& text) {
  switch (field.kind) {
    case FieldKind::Seed:
      return set_field(request, field, number_of<uint64_t>(field, text));
    case FieldKind::Integer:
      return set_field(request, field, number_of<int64_t>(field, text));
    case FieldKind::Number:
      return set_field(request, field, number_of<double>(field, text));
    default:
      return set_field(request, field, json::value(text));
  }
}

GenerateRequest request_from_json(const json::object& object) {
  GenerateRequest request;
  for (const auto& [key, value] : object)
    set_field(request, find_named(request_fields(), std::string_view(key.data(), key.size()), "request"),
              value);
  return request;
}

}  // namespace limn::engine
