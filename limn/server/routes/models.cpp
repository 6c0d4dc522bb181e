// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/engine/catalog.h"
#include "limn/engine/request.h"
#include "limn/engine/samplers.h"
#include "limn/server/catalogue.h"
#include "limn/server/routes/routes.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

/// What the model decides where a request does not say it.
json::value defaults_json(const CatalogueEntry& entry) {
  if (!entry.can_run) return nullptr;
  return {{"steps", entry.default_steps},
          {"guidance_scale", entry.default_guidance_scale},
          {"width", entry.default_width},
          {"height", entry.default_height}};
}

json::object model_json(const Catalogue& catalogue, const CatalogueEntry& entry) {
  return {{"name", entry.name},
          {"kind", entry.kind},
          {"family", entry.family},
          {"title", entry.title},
          {"bytes", entry.bytes},
          {"sha256", text_or_null(entry.sha256)},
          {"licence", text_or_null(entry.licence)},
          {"resident", catalogue.is_resident(entry)},
          {"can_run", entry.can_run},
          {"default_width", entry.default_width},
          {"default_height", entry.default_height},
          {"defaults", defaults_json(entry)}};
}

HttpResponse list_models(Services& services, const Call& call) {
  if (boolean_parameter(call, "refresh", false)) {
    if (call.client.role < Role::Manage) throw Error(ErrorCode::Refused, "refresh", "is for the role manage");
    services.catalogue.refresh();
  }
  json::array models;
  for (const CatalogueEntry& entry : services.catalogue.list())
    models.push_back(model_json(services.catalogue, entry));
  return json_answer(json::object{{"models", models}});
}

HttpResponse load_model(Services& services, const Call& call) {
  const CatalogueEntry entry = services.catalogue.get(call.at("name"), "checkpoint", "name");
  services.catalogue.load(entry);
  return json_answer(model_json(services.catalogue, entry));
}

HttpResponse unload_model(Services& services, const Call& call) {
  const CatalogueEntry entry = services.catalogue.get(call.at("name"), "checkpoint", "name");
  services.catalogue.unload(entry);
  return json_answer(model_json(services.catalogue, entry));
}

/// The names of a field, and what people call them: else the same without the programmer's underscores.
json::array choices_json(std::string_view field) {
  json::array out;
  for (const std::string& name : choices_of(find_named(engine::request_fields(), field, "field"))) {
    std::string label(field == "scheduler" ? engine::label_of_scheduler(name) : "");
    if (label.empty()) {
      label = name;
      std::ranges::replace(label, '_', ' ');
    }
    out.push_back(json::object{{"name", name}, {"label", label}});
  }
  return out;
}

HttpResponse list_schedulers(Services&, const Call&) {
  return json_answer(
      json::object{{"schedulers", choices_json("scheduler")}, {"schedules", choices_json("schedule")}});
}

HttpResponse count_tokens(Services& services, const Call& call) {
  const json::object& body = call.json.get_object();
  const json::value* model = body.if_contains("model");
  const CatalogueEntry entry =
      services.catalogue.get(model ? std::string(model->as_string()) : "", "checkpoint", "model");
  const json::string& prompt = body.at("prompt").get_string();
  const engine::PromptLength length = engine::prompt_length({prompt.data(), prompt.size()}, entry.path);
  return json_answer(
      json::object{{"tokens", length.tokens}, {"chunks", length.chunks}, {"limit_per_chunk", length.limit}});
}

}  // namespace

std::vector<Route> model_routes() {
  const Answer model{200, "application/json", "Model", "the model as it is now"};
  return {
      {.method = "GET",
       .path = "/api/v1/models",
       .name = "list_models",
       .tag = "models",
       .help = "Models, and files that change them, that requests may name.",
       .parameters = {{"refresh", R"({"type":"boolean","default":false})",
                       "look through the folders again first; for the role manage"}},
       .answers = {{200, "application/json", "ModelList", "the embedded model first"}},
       .handle = list_models},
      {.method = "POST",
       .path = "/api/v1/models/{name}/load",
       .name = "load_model",
       .tag = "models",
       .help = "Brings a model into memory, before a request needs it. Slashes in its name are written %2F.",
       .role = Role::Manage,
       .answers = {model},
       .handle = load_model},
      {.method = "POST",
       .path = "/api/v1/models/{name}/unload",
       .name = "unload_model",
       .tag = "models",
       .help = "Takes a model out of memory, once no job works with it.",
       .role = Role::Manage,
       .answers = {model},
       .handle = unload_model},
      {.method = "GET",
       .path = "/api/v1/schedulers",
       .name = "list_schedulers",
       .tag = "models",
       .help = "What scheduler and schedule of a request take. With another program's conventions its names "
               "do, too.",
       .answers = {{200, "application/json", "SchedulerList", "the names"}},
       .handle = list_schedulers},
      {.method = "POST",
       .path = "/api/v1/tokens",
       .name = "count_tokens",
       .tag = "models",
       .help = "How long a prompt is for a model's text encoder.",
       .takes = "application/json",
       .takes_schema = "TokensRequest",
       .answers = {{200, "application/json", "Tokens", "its length"}},
       .handle = count_tokens},
  };
}

}  // namespace limn::server
