// SPDX-License-Identifier: Apache-2.0
#include "limn/server/submit.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <random>
#include <semaphore>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/engine/samplers.h"
#include "limn/engine/styles.h"
#include "limn/server/base64.h"
#include "limn/server/blob_store.h"
#include "limn/server/catalogue.h"
#include "limn/server/job_store.h"
#include "limn/server/picture_store.h"
#include "limn/server/settings.h"

namespace limn::server {
namespace fs = std::filesystem;
namespace {

using engine::FieldKind;
using engine::RequestField;

constexpr std::string_view kInput = "input:", kData = "data:";
constexpr size_t kDigits = 64;       // of a SHA-256
constexpr double kMostExact = 9e15;  // of numbers with a point that are taken for integers

[[noreturn]] void refuse(std::string_view field, const std::string& what, const std::string& hint = {}) {
  throw Error(ErrorCode::InvalidArgument, std::string(field), what, hint);
}

std::span<const std::byte> bytes_in(std::string_view text) { return std::as_bytes(std::span(text)); }

json::string_view key_of(const RequestField& field) { return {field.name.data(), field.name.size()}; }

std::string text_of(const json::value& value, std::string_view field) {
  if (!value.is_string()) refuse(field, "expected text, found " + limn::to_text(value));
  return std::string(value.get_string());
}

std::string name_of_file(const std::string& path) { return fs::path(path).filename().string(); }

/// "data:image/png;base64,…"
std::string bytes_of_data_url(std::string_view url, const std::string& where) {
  const size_t comma = url.find(',');
  if (comma == std::string_view::npos || !url.substr(0, comma).ends_with(";base64"))
    refuse(where, "expected data:image/png;base64,…");
  return decode_base64(url.substr(comma + 1), where);
}

std::counting_semaphore<>& turns() {
  static std::counting_semaphore<> left(kPictureTurns);
  return left;
}

/// Calls `read` for a client's bytes: that limn does not know their format is no failure of limn.
template <typename Read>
auto read_sent(const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unsupported) throw;
    throw HttpError(415, {"unsupported_media_type", error.where(), error.problem(), error.hint()});
  }
}

struct LoraName {
  std::string name;
  std::string weight;
};
/// "NAME" or "NAME:WEIGHT", as the engine reads it.
LoraName split_lora(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, "1"};
  double weight = 0;
  const char* end = text.data() + text.size();
  const auto [last, code] = std::from_chars(text.data() + colon + 1, end, weight);
  if (code != std::errc() || last != end) return {text, "1"};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

/// Fields that name models, and of what kind those are.
struct ModelField {
  std::string_view name, kind;
};
constexpr ModelField kModelFields[] = {
    {"model", "checkpoint"}, {"refiner", "checkpoint"}, {"vae", "vae"}, {"preview_vae", "vae"}};

/// Turns what a client says into what the queue keeps, field by field.
class Intake {
 public:
  Intake(Services& services, json::object& fields) : services_(services), fields_(fields) {}

  void take() {
    if (!fields_.contains("prompt")) refuse("prompt", "is missing", "say what to draw");
    for (const RequestField& field : engine::request_fields()) {
      if (field.kind == FieldKind::Integer) take_integer(field);
      if (field.kind == FieldKind::Seed) take_seed(field);
    }
    for (const ModelField& field : kModelFields) take_model(field);
    take_loras();
    take_picture("init_image");
    take_picture("mask");
    if (fields_.contains("init_latents"))
      refuse("init_latents", "is for the command line: it names a file of the server's machine");
    take_words();
    check_choices();
  }

 private:
  /// 20.0 is an integer, as JSON Schema has it.
  void take_integer(const RequestField& field) {
    json::value* value = fields_.if_contains(key_of(field));
    const double* number = value ? value->if_double() : nullptr;
    if (number && std::trunc(*number) == *number && std::abs(*number) < kMostExact)
      *value = static_cast<int64_t>(*number);
  }

  void take_seed(const RequestField& field) {
    take_integer(field);
    json::value* value = fields_.if_contains(key_of(field));
    if (!value || !value->is_string()) return;
    const std::string_view text(value->get_string());
    uint64_t seed = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seed);
    if (code != std::errc() || end != text.data() + text.size())
      refuse(field.name,
             "expected an integer from 0 to 18446744073709551615, found '" + std::string(text) + "'");
    *value = seed;
  }

  void take_model(const ModelField& field) {
    const json::string_view key(field.name.data(), field.name.size());
    json::value* value = fields_.if_contains(key);
    if (!value) return;
    const std::string name = text_of(*value, field.name);
    if (name.empty())
      fields_.erase(key);
    else
      *value = services_.catalogue.get(name, field.kind, std::string(field.name)).name;
  }

  void take_loras() {
    json::value* value = fields_.if_contains("lora");
    if (!value) return;
    json::array out;
    for (const json::value& item : value->is_array() ? value->get_array() : json::array{*value}) {
      const LoraName lora = split_lora(text_of(item, "lora"));
      out.emplace_back(services_.catalogue.get(lora.name, "lora", "lora").name + ":" + lora.weight);
    }
    *value = std::move(out);
  }

  void take_picture(json::string_view key) {
    json::value* value = fields_.if_contains(key);
    if (!value) return;
    const std::string where(key), text = text_of(*value, where);
    if (text.empty())
      fields_.erase(key);
    else if (text.starts_with(kData))
      *value = store_input(services_, bytes_of_data_url(text, where), where).id;
    else
      blob_of_input(services_.blobs, text, where);
  }

  /// Styles and wildcards are files of the server, of which a client knows the names alone.
  void take_words() {
    const Settings& settings = services_.settings;
    take_file("styles_file", settings.styles_file);
    take_file("wildcards", settings.wildcards);
    take_styles();
    if (!fields_.contains("wildcards") && names_wildcard("prompt"))
      fields_["wildcards"] = name_of_file(settings.wildcards);
  }

  void take_styles() {
    json::value* value = fields_.if_contains("style");
    if (!value) return;
    if (value->is_string()) *value = json::array{*value};
    if (!value->is_array() || value->get_array().empty()) return;
    const std::vector<engine::StyleText> known = engine::styles_of(services_.settings.styles_file);
    for (const json::value& name : value->get_array())
      find_named(std::span<const engine::StyleText>(known), text_of(name, "style"), "style");
    fields_["styles_file"] = name_of_file(services_.settings.styles_file);
  }

  void take_file(json::string_view key, const std::string& configured) {
    const json::value* value = fields_.if_contains(key);
    if (!value) return;
    const std::string where(key), name = text_of(*value, where);
    if (!name.empty() && (configured.empty() || name != name_of_file(configured)))
      throw Error(ErrorCode::NotFound, where, "no '" + name + "'",
                  configured.empty() ? "the server has none" : "known: " + name_of_file(configured));
  }

  /// Whether a prompt has the name of one of the server's wildcards in it: "__animal__".
  bool names_wildcard(json::string_view key) const {
    const json::value* value = fields_.if_contains(key);
    if (!value || !value->is_string() || value->get_string().find("__") == json::string::npos) return false;
    return std::ranges::any_of(wildcard_names(services_.settings), [&](const std::string& name) {
      return value->get_string().find("__" + name + "__") != json::string::npos;
    });
  }

  /// Texts of closed lists. Samplers have other programs' names too.
  void check_choices() const {
    for (const RequestField& field : engine::request_fields()) {
      const json::value* value = fields_.if_contains(key_of(field));
      if (!value || !field.choices || field.name == "scheduler" || field.name == "schedule") continue;
      const std::string name = text_of(*value, field.name);
      const std::vector<std::string> known = choices_of(field);
      if (!name.empty() && std::ranges::find(known, name) == known.end())
        refuse(field.name, "no '" + name + "'", "known: " + field.choices());
    }
    const json::value* scheduler = fields_.if_contains("scheduler");
    const std::string name = scheduler ? text_of(*scheduler, "scheduler") : "";
    if (!name.empty() && !name.ends_with("Scheduler") &&
        !engine::find_sampler("", name))  // a class of diffusers
      refuse("scheduler", "no '" + name + "'", "GET /api/v1/schedulers lists them");
  }

  Services& services_;
  json::object& fields_;
};

struct Size {
  int64_t width = 0, height = 0;
};

/// Of the PNG that an input is, by its header alone.
Size size_of_input(const BlobStore& blobs, const json::value& id, const std::string& where) {
  const std::string png = blobs.get(blob_of_input(blobs, std::string(id.as_string()), where));
  constexpr size_t kWidth = 16, kHeight = 20, kHeader = 24;
  if (!is_png(png) || png.size() < kHeader) refuse(where, "is no picture that was sent");
  const auto number = [&png](size_t at) {
    int64_t out = 0;
    for (size_t i = at; i < at + 4; ++i) out = out << 8 | static_cast<unsigned char>(png[i]);
    return out;
  };
  return {number(kWidth), number(kHeight)};
}

/// What is drawn at most at once, of one picture.
int64_t pixels_of(const Services& services, const engine::GenerateRequest& request) {
  Size size;
  if (const json::value* picture = request.given.if_contains("init_image")) {
    size = size_of_input(services.blobs, *picture, "init_image");
    if (!request.outpaint.empty()) {
      size.width += request.outpaint[0] + request.outpaint[2];
      size.height += request.outpaint[1] + request.outpaint[3];
    }
  }
  if (size.width == 0 || request.inpaint_area == "masked") {
    const CatalogueEntry model = services.catalogue.get(request.model.string(), "checkpoint", "model");
    size = {model.default_width, model.default_height};
  }
  const auto drawn =
      static_cast<double>(request.width.value_or(size.width) * request.height.value_or(size.height));
  return static_cast<int64_t>(drawn * request.hires_scale * request.hires_scale);
}

void check_limit(std::string_view field, int64_t asked, int64_t most, std::string_view what) {
  if (asked > most)
    refuse(field, std::to_string(asked) + " " + std::string(what) + " are over this server's limit",
           "at most " + std::to_string(most));
}

void check_limits(const Services& services, const engine::GenerateRequest& request) {
  const Settings& most = services.settings;
  check_limit("count", request.count, most.most_count, "pictures");
  check_limit("steps", request.steps.value_or(0), most.most_steps, "steps");
  check_limit("hires_steps", request.hires_steps.value_or(0), most.most_steps, "steps");
  check_limit("width, height", pixels_of(services, request), most.most_pixels, "pixels");
}

/// A name of the catalogue, or empty, as a path.
std::string path_of_model(const Services& services, const std::string& name, std::string_view kind,
                          const std::string& field) {
  return services.catalogue.get(name, kind, field).path.string();
}

}  // namespace

std::vector<std::string> choices_of(const engine::RequestField& field) {
  std::vector<std::string> out;
  const std::string names = field.choices ? field.choices() : "";
  for (size_t start = 0, end; start < names.size(); start = end + 2) {
    end = std::min(names.find(", ", start), names.size());
    out.push_back(names.substr(start, end - start));
  }
  return out;
}

std::vector<std::string> wildcard_names(const Settings& settings) {
  std::vector<std::string> out;
  if (settings.wildcards.empty()) return out;
  std::error_code error;
  for (fs::recursive_directory_iterator it(settings.wildcards, error), end; !error && it != end;
       it.increment(error))
    if (it->is_regular_file() && it->path().extension() == ".txt")
      out.push_back(it->path().lexically_relative(settings.wildcards).replace_extension().generic_string());
  std::ranges::sort(out);
  return out;
}

PictureTurn::PictureTurn() { turns().acquire(); }
PictureTurn::~PictureTurn() { turns().release(); }

bool is_png(std::string_view bytes) { return bytes.starts_with("\x89PNG\r\n\x1a\n"); }

Image decode_input(std::string_view bytes, const std::string& where) {
  Image image = read_sent([&] { return decode_image(bytes_in(bytes), where, kMostInputPixels); });
  if (std::max(image.width, image.height) > kMostInputSide)
    throw Error(ErrorCode::BadFile, where,
                "is " + std::to_string(image.width) + " × " + std::to_string(image.height) + " pixels",
                "at most " + std::to_string(kMostInputSide) + " a side");
  return image;
}

std::vector<TextEntry> texts_of_input(std::string_view bytes, const std::string& where) {
  return read_sent([&] { return image_texts(bytes_in(bytes), where); });
}

Input store_input(Services& services, const Image& image) {
  const std::string png = encode_image(image, "png", {});
  services.pictures.note_input(sha256(bytes_in(png)));
  return {std::string(kInput) + services.blobs.put(png), image.width, image.height};
}

Input store_input(Services& services, std::string_view bytes, const std::string& where) {
  const PictureTurn turn;
  return store_input(services, decode_input(bytes, where));
}

std::string blob_of_input(const BlobStore& blobs, std::string_view id, const std::string& where) {
  const std::string_view digits = id.substr(std::min(kInput.size(), id.size()));
  const bool is_id = id.starts_with(kInput) && digits.size() == kDigits &&
                     digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!is_id) refuse(where, "expected \"input:\" and 64 hexadecimal digits, or a data: address");
  if (!blobs.has(digits))
    throw Error(ErrorCode::NotFound, where, "no picture '" + std::string(id) + "'",
                "POST /api/v1/inputs keeps one");
  return std::string(digits);
}

Job submit(Services& services, const Client& client, Submission submission) {
  json::object& fields = submission.fields;
  const std::string fingerprint = fingerprint_of(fields);  // before anything is drawn
  Intake(services, fields).take();
  const engine::GenerateRequest request = engine::request_from_json(fields);
  check_limits(services, request);
  if (!request.seed) fields["seed"] = std::random_device{}();  // a resumed run must be the same run
  return services.jobs.submit({.owner = client.owner,
                               .request = std::move(fields),
                               .origin = std::move(submission.origin),
                               .priority = submission.priority,
                               .key = std::move(submission.key),
                               .warnings = std::move(submission.warnings),
                               .fingerprint = fingerprint});
}

json::object engine_fields(const Services& services, const json::object& request) {
  json::object out = request;
  for (const ModelField& field : kModelFields) {
    const json::string_view key(field.name.data(), field.name.size());
    json::value* value = out.if_contains(key);
    if (!value) continue;
    const std::string path =
        path_of_model(services, text_of(*value, field.name), field.kind, std::string(field.name));
    if (path.empty())
      out.erase(key);  // the embedded model
    else
      *value = path;
  }
  if (json::value* loras = out.if_contains("lora"))
    for (json::value& item : loras->as_array()) {
      const LoraName lora = split_lora(text_of(item, "lora"));
      item = path_of_model(services, lora.name, "lora", "lora") + ":" + lora.weight;
    }
  for (const char* field : {"init_image", "mask"})
    if (json::value* value = out.if_contains(field))
      *value = services.blobs.file(blob_of_input(services.blobs, text_of(*value, field), field)).string();
  for (const auto& [field, path] : {std::pair("styles_file", services.settings.styles_file),
                                    std::pair("wildcards", services.settings.wildcards)})
    if (json::value* value = out.if_contains(field); value && !text_of(*value, field).empty()) *value = path;
  return out;
}

std::string visible_owner(const Client& client) { return client.role < Role::Manage ? client.owner : ""; }

Job visible_job(const Services& services, const Client& client, const std::string& id) {
  const std::optional<Job> job = services.jobs.find(id);
  const std::string owner = visible_owner(client);
  if (!job || (!owner.empty() && job->owner != owner))
    throw Error(ErrorCode::NotFound, "id", "no job '" + id + "'");
  return *job;
}

}  // namespace limn::server
