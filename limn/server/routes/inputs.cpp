// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <span>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/engine/request.h"
#include "limn/provenance/recipe.h"
#include "limn/server/blob_store.h"
#include "limn/server/catalogue.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

using engine::FieldKind;
using engine::RequestField;

std::string_view view(json::string_view text) { return {text.data(), text.size()}; }

json::object input_json(const Input& input) {
  return {{"id", input.id}, {"width", input.width}, {"height", input.height}};
}

HttpResponse store_picture(Services& services, const Call& call) {
  const Input input = store_input(services, call.http.body, "body");
  HttpResponse out = json_answer(input_json(input), 201);
  out.headers.emplace_back("Location", "/api/v1/inputs/" + input.id);
  return out;
}

HttpResponse get_input(Services& services, const Call& call) {
  const std::string& id = call.at("id");
  HttpResponse out;
  out.content_type = "image/png";
  out.headers = {{"ETag", "\"" + id + "\""}, {"Cache-Control", "private, max-age=31536000, immutable"}};
  out.body = services.blobs.get(blob_of_input(services.blobs, id, "id"));
  // A blob may also be something that nobody sent.
  if (!is_png(out.body)) throw Error(ErrorCode::NotFound, "id", "no picture '" + id + "'");
  return out;
}

/// What a picture says of how it was made, as a request to this server.
struct Reading {
  json::object request;
  std::vector<std::string> honoured, problems;
};

/// Integers that were written as 20.0.
json::value tidied(const RequestField& field, const json::value& value) {
  const double* number = value.if_double();
  const bool whole = number && std::trunc(*number) == *number && std::abs(*number) < 1e15;
  if (whole && (field.kind == FieldKind::Integer || field.kind == FieldKind::Seed))
    return static_cast<int64_t>(*number);
  return value;
}

void read_field(const std::string& name, const json::value& value, Reading& out) {
  const RequestField* field = try_find_named(engine::request_fields(), name);
  if (!field || !is_for_clients(*field)) {
    out.problems.push_back(name + ": limn has no such setting");
    return;
  }
  try {
    engine::GenerateRequest scratch;
    const json::value tidy = tidied(*field, value);
    engine::set_field(scratch, *field, tidy);
    out.request[name] = tidy;
    out.honoured.push_back(name + ": " + limn::to_text(value));
  } catch (const Error& error) {
    out.problems.push_back(name + ": " + error.problem());
  }
}

std::string quoted(const std::string& name, const std::string& hash) {
  return "'" + name + "'" + (hash.empty() ? "" : " (" + hash.substr(0, 10) + ")");
}

/// A model that the picture names, in the catalogue: by its hash where one is known, and by its name else.
std::optional<std::string> find_model(const Catalogue& catalogue, const char* field, std::string_view kind,
                                      const std::string& name, const std::string& hash, Reading& out) {
  const std::string called = std::string(field) + ": " + quoted(name, hash);
  if (const auto found = catalogue.find_hash(hash, kind)) {
    out.honoured.push_back(called);
    return found->name;
  }
  const auto found = name.empty() ? std::nullopt : catalogue.find(name, kind);
  if (!found)
    out.problems.push_back(called + " is not here");
  else if (hash.empty())
    out.honoured.push_back(called);
  else
    out.problems.push_back(called + ": '" + found->name +
                           "' has its name, but its hash is another or not known");
  return found ? std::optional(found->name) : std::nullopt;
}

void read_models(const Catalogue& catalogue, const provenance::Recipe& recipe, Reading& out) {
  const bool embedded = recipe.program == "limn" && recipe.model == "limn embedded";
  if (recipe.model.empty() && recipe.model_hash.empty())
    out.problems.emplace_back("model: the picture does not say which");
  else if (const auto name = find_model(catalogue, "model", "checkpoint",
                                        embedded ? "embedded" : recipe.model, recipe.model_hash, out);
           name && *name != "embedded")
    out.request["model"] = *name;
  if (!recipe.vae.empty())
    if (const auto name = find_model(catalogue, "vae", "vae", recipe.vae, recipe.vae_hash, out))
      out.request["vae"] = *name;
  if (!recipe.refiner.empty())
    if (const auto name =
            find_model(catalogue, "refiner", "checkpoint", recipe.refiner, recipe.refiner_hash, out))
      out.request["refiner"] = *name;
  json::array loras;
  for (const provenance::RecipeLora& lora : recipe.loras)
    if (const auto name = find_model(catalogue, "lora", "lora", lora.name, lora.hash, out))
      loras.emplace_back(*name + ":" + limn::to_text(json::value(lora.weight)));
  if (!loras.empty()) out.request["lora"] = loras;
}

Reading read(const Catalogue& catalogue, const provenance::Recipe& recipe) {
  Reading out;
  out.problems = recipe.notes;
  read_field("compat", json::value(recipe.compat), out);
  for (const auto& [key, value] : recipe.fields) read_field(std::string(view(key)), value, out);
  for (const auto& [key, value] : recipe.unused) out.problems.push_back(key + ": " + value + ": not used");
  read_models(catalogue, recipe, out);
  return out;
}

HttpResponse read_picture(Services& services, const Call& call) {
  const PictureTurn turn;
  const Image image = decode_input(call.http.body, "body");
  const std::vector<TextEntry> texts = texts_of_input(call.http.body, "body");
  const auto recipe = provenance::read_recipe(texts);
  const Reading reading = recipe ? read(services.catalogue, *recipe) : Reading();
  const auto infotext = std::ranges::find(texts, "parameters", &TextEntry::keyword);
  return json_answer(json::object{{"width", image.width},
                                  {"height", image.height},
                                  {"request", with_readable_seeds(reading.request)},
                                  {"honoured", json::array(reading.honoured.begin(), reading.honoured.end())},
                                  {"problems", json::array(reading.problems.begin(), reading.problems.end())},
                                  {"infotext", infotext == texts.end() ? "" : infotext->text},
                                  {"program", recipe ? recipe->program : ""},
                                  {"input", store_input(services, image).id}});
}

}  // namespace

std::vector<Route> input_routes() {
  return {
      {.method = "POST",
       .path = "/api/v1/inputs",
       .name = "store_input",
       .tag = "inputs",
       .help = "Keeps a picture (PNG, JPEG or WebP) for init_image and mask of requests.",
       .takes = "image/*",
       .answers = {{201, "application/json", "Input", "kept"}},
       .handle = store_picture},
      {.method = "GET",
       .path = "/api/v1/inputs/{id}",
       .name = "get_input",
       .tag = "inputs",
       .help = "A picture that was sent, as PNG.",
       .answers = {{200, "image/png", "", "the picture"}},
       .handle = get_input},
      {.method = "POST",
       .path = "/api/v1/inputs/read",
       .name = "read_picture",
       .tag = "inputs",
       .help = "Keeps a picture, and says what it tells of how it was made, as fields to submit. Reads what "
               "limn, A1111, "
               "ComfyUI, InvokeAI and stable-diffusion.cpp write.",
       .takes = "image/*",
       .answers = {{200, "application/json", "ReadInput", "what it says; an empty request: nothing"}},
       .handle = read_picture},
  };
}

}  // namespace limn::server
