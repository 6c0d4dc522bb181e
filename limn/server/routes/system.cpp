// SPDX-License-Identifier: Apache-2.0
#include "limn/base/error.h"
#include "limn/engine/engine.h"
#include "limn/engine/request.h"
#include "limn/engine/styles.h"
#include "limn/image/image.h"
#include "limn/server/job_store.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/settings.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

using engine::FieldKind;
using engine::RequestField;

json::string_view text(std::string_view from) { return {from.data(), from.size()}; }

std::string_view kind_of(const RequestField& field) {
  switch (field.kind) {
    case FieldKind::Text:
      return "text";
    case FieldKind::Path:
      if (field.name == "init_image" || field.name == "mask") return "picture";
      return field.name == "styles_file" || field.name == "wildcards" ? "text" : "model";
    case FieldKind::Boolean:
      return "boolean";
    case FieldKind::Integer:
      return "integer";
    case FieldKind::Seed:
      return "seed";
    case FieldKind::Number:
      return "number";
    case FieldKind::Size:
      return "size";
    case FieldKind::Integers:
      return "integers";
    case FieldKind::Numbers:
      return "numbers";
    case FieldKind::Loras:
      return "loras";
    default:
      return "texts";
  }
}

bool is_whole(const RequestField& field) {
  return field.kind == FieldKind::Integer || field.kind == FieldKind::Integers;
}
bool has_range(const RequestField& field) {
  return is_whole(field) || field.kind == FieldKind::Number || field.kind == FieldKind::Numbers;
}

json::object field_json(const RequestField& field) {
  json::object out{{"name", text(field.name)},
                   {"kind", text(kind_of(field))},
                   {"help", text(help_of(field))},
                   {"default", default_of(field)}};
  if (has_range(field)) {
    const auto bound = [&](double limit) {
      return is_whole(field) ? json::value(static_cast<int64_t>(limit)) : json::value(limit);
    };
    out["least"] = bound(field.least);
    out["most"] = bound(field.most);
  }
  if (const std::vector<std::string> choices = choices_of(field); !choices.empty())
    out["choices"] = json::array(choices.begin(), choices.end());
  return out;
}

HttpResponse get_capabilities(Services& services, const Call&) {
  const Settings& settings = services.settings;
  json::array fields, formats, styles;
  for (const RequestField& field : engine::request_fields())
    if (is_for_clients(field)) fields.push_back(field_json(field));
  for (const ImageFormat& format : image_formats()) formats.push_back(text(format.name));
  for (const engine::StyleText& style : engine::styles_of(settings.styles_file))
    styles.emplace_back(style.name);
  const std::vector<std::string> wildcards = wildcard_names(settings);
  return json_answer(json::object{{"version", text(engine::version())},
                                  {"fields", fields},
                                  {"limits",
                                   {{"pixels", settings.most_pixels},
                                    {"count", settings.most_count},
                                    {"steps", settings.most_steps},
                                    {"body_bytes", settings.body_limit}}},
                                  {"formats", formats},
                                  {"styles", styles},
                                  {"wildcards", json::array(wildcards.begin(), wildcards.end())}});
}

HttpResponse get_document(Services& services, const Call&) {
  return json_answer(services.router->document());
}

HttpResponse is_alive(Services&, const Call&) {
  HttpResponse out;
  out.content_type = "text/plain; charset=utf-8";
  out.body = "ok\n";
  return out;
}

/// Whether jobs would be accepted now.
HttpResponse is_ready(Services& services, const Call&) {
  bool ready = !services.closing.stop_requested();
  try {
    if (ready) services.jobs.queue_paused();
  } catch (const Error& error) {
    services.log.warning("not_ready", {{"error", error.what()}});
    ready = false;
  }
  return json_answer(json::object{{"ready", ready}}, ready ? 200 : 503);
}

HttpResponse get_metrics(Services& services, const Call&) {
  HttpResponse out;
  out.content_type = "text/plain; version=0.0.4; charset=utf-8";
  out.body = services.metrics.text();
  return out;
}

}  // namespace

std::vector<Route> system_routes() {
  return {
      {.method = "GET",
       .path = "/api/v1/capabilities",
       .name = "get_capabilities",
       .tag = "system",
       .help = "What this server can do: every field of a request, and its limits.",
       .answers = {{200, "application/json", "Capabilities", "for forms"}},
       .handle = get_capabilities},
      {.method = "GET",
       .path = "/api/v1/openapi.json",
       .name = "get_document",
       .tag = "system",
       .help = "This document.",
       .role = Role::Anyone,
       .answers = {{200, "application/json", "Document", "OpenAPI 3.1"}},
       .handle = get_document},
      {.method = "GET",
       .path = "/healthz",
       .name = "is_alive",
       .tag = "system",
       .help = "Answers as long as the server runs.",
       .role = Role::Anyone,
       .answers = {{200, "text/plain", "", "it does"}},
       .handle = is_alive,
       .instant = true},
      {.method = "GET",
       .path = "/readyz",
       .name = "is_ready",
       .tag = "system",
       .help = "Whether the server takes jobs: it reaches its database and is not about to end.",
       .role = Role::Anyone,
       .answers = {{200, "application/json", "Ready", "it does"},
                   {503, "application/json", "Ready", "it does not"}},
       .handle = is_ready},
      {.method = "GET",
       .path = "/metrics",
       .name = "get_metrics",
       .tag = "system",
       .help = "Numbers for Prometheus. On the server's own machine it needs no key.",
       .role = Role::Admin,
       .answers = {{200, "text/plain", "", "text format 0.0.4"}},
       .handle = get_metrics,
       .free_on_loopback = true},
  };
}

}  // namespace limn::server
