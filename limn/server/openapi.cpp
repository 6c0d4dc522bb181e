// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "limn/server/auth.h"
#include "limn/server/http.h"
#include "limn/server/router.h"

namespace limn::server {
namespace {

json::string_view text(std::string_view from) { return {from.data(), from.size()}; }

json::object reference(std::string_view name) {
  return {{"$ref", "#/components/schemas/" + std::string(name)}};
}

json::object binary() { return {{"type", "string"}, {"format", "binary"}}; }

json::object error_schema() {
  const json::object plain{{"type", "string"}};
  return {{"type", "object"},
          {"required", {"error"}},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"required", {"code", "where", "message", "hint"}},
              {"properties",
               {{"code", {{"type", "string"}, {"description", "what kind of problem it is, for programs"}}},
                {"where", {{"type", "string"}, {"description", "the field of the request; may be empty"}}},
                {"message", {{"type", "string"}, {"description", "what is wrong"}}},
                {"hint", {{"type", "string"}, {"description", "what to do about it; may be empty"}}}}}}}}}};
}

json::object schema_of(std::string_view type, std::string_view name) {
  if (!name.empty()) return reference(name);
  if (type == "application/json") return {};  // any JSON
  return type.starts_with("text/") ? json::object{{"type", "string"}} : binary();
}

json::array parameters_of(const Route& route) {
  json::array out;
  std::set<std::string_view> described;
  for (const Parameter& parameter : route.parameters) {
    described.insert(parameter.name);
    out.push_back(json::object{{"name", text(parameter.name)},
                               {"in", text(parameter.in)},
                               {"required", parameter.required || parameter.in == "path"},
                               {"description", text(parameter.help)},
                               {"schema", parse_json(parameter.schema, std::string(parameter.name))}});
  }
  for (size_t at = 0; (at = route.path.find('{', at)) != std::string_view::npos; ++at) {
    const std::string_view name = route.path.substr(at + 1, route.path.find('}', at) - at - 1);
    if (described.contains(name)) continue;
    out.push_back(json::object{{"name", text(name)},
                               {"in", "path"},
                               {"required", true},
                               {"schema", {{"type", "string"}, {"minLength", 1}}}});
  }
  return out;
}

json::object body_of(const Route& route) {
  json::object content;
  for (size_t from = 0; from < route.takes.size();) {
    const size_t end = std::min(route.takes.find(", ", from), route.takes.size());
    const std::string_view type = route.takes.substr(from, end - from);
    content[text(type)] = json::object{{"schema", schema_of(type, route.takes_schema)}};
    from = end + 2;
  }
  return {{"required", true}, {"content", content}};
}

json::object responses_of(const Route& route) {
  json::object out;
  for (const Answer& answer : route.answers) {
    json::value& response = out[std::to_string(answer.status)];
    if (!response.is_object()) response = json::object{{"description", text(answer.help)}};
    if (answer.type.empty()) continue;
    json::value& content = response.as_object()["content"];
    if (!content.is_object()) content.emplace_object();
    content.as_object()[text(answer.type)] = json::object{{"schema", schema_of(answer.type, answer.schema)}};
  }
  const json::object error = route.error_body ? json::object{{"type", "object"}} : reference("Error");
  out["default"] = json::object{{"description", "what went wrong"},
                                {"content", {{"application/json", {{"schema", error}}}}}};
  return out;
}

json::object operation_of(const Route& route) {
  std::string help(route.help);
  if (route.role > Role::Generate)
    help += " Needs a key of the role " + std::string(name_of(route.role)) + ".";
  json::object out{{"operationId", text(route.name)}, {"tags", {text(route.tag)}}, {"description", help}};
  if (const json::array parameters = parameters_of(route); !parameters.empty())
    out["parameters"] = parameters;
  if (!route.takes.empty()) out["requestBody"] = body_of(route);
  out["responses"] = responses_of(route);
  if (route.role == Role::Anyone) out["security"] = json::array();
  return out;
}

json::object security_schemes() {
  return {
      {"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
      {"basic",
       {{"type", "http"}, {"scheme", "basic"}, {"description", "any name; the key is the password"}}},
      {"session",
       {{"type", "apiKey"}, {"in", "cookie"}, {"name", "__Host-limn"}, {"description", "of begin_session"}}}};
}

}  // namespace

json::object openapi_document(std::span<const Route> routes, std::span<const NamedSchema> schemas,
                              std::string_view version) {
  json::object paths, named;
  for (const Route& route : routes) {
    json::value& path = paths[text(route.path)];
    if (!path.is_object()) path.emplace_object();
    path.as_object()[lower_case(route.method)] = operation_of(route);
  }
  for (const NamedSchema& schema : schemas) named[text(schema.name)] = schema.make();
  if (!named.contains("Error")) named["Error"] = error_schema();
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "limn"},
        {"version", text(version)},
        {"description", "Pictures from words. Keys are needed where the server was started with some."},
        {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
      {"servers", {{{"url", "/"}}}},
      {"security", {{{"bearer", json::array()}}, {{"basic", json::array()}}, {{"session", json::array()}}}},
      {"paths", paths},
      {"components", {{"schemas", named}, {"securitySchemes", security_schemes()}}}};
}

}  // namespace limn::server
