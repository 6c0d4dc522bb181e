// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "limn/base/json.h"
#include "limn/server/http.h"

namespace limn::server {

struct Services;
struct Settings;

/// What a key allows; each role includes those before it.
enum class Role { Anyone, Generate, Manage, Admin };

/// Who asks.
struct Client {
  std::string owner = "local";  // the name of the key
  Role role = Role::Admin;      // without keys, on loopback
};

/// One call of a route.
struct Call {
  const HttpRequest& http;
  const Client& client;
  Pairs captured;    // what stands for {names} in the route's path
  json::value json;  // the body, where the route takes JSON: parsed and checked against its schema

  const std::string& at(std::string_view name) const;  // of captured
};

/// A parameter of a query, or a field of a header.
struct Parameter {
  std::string_view name;
  std::string_view schema;  // JSON Schema, as JSON text
  std::string_view help;
  bool required = false;
  std::string_view in = "query";
};

/// One answer a route can give.
struct Answer {
  int status;
  std::string_view type;    // "application/json", "image/png", "text/event-stream"; empty: no body
  std::string_view schema;  // a name of schemas(), for JSON
  std::string_view help;
};

/// One row of the table of routes: all that the OpenAPI document says of it, and what answers.
struct Route {
  std::string_view method;
  std::string_view path;  // "/api/v1/jobs/{id}"
  std::string_view name;  // operationId: "get_job"
  std::string_view tag;   // of the document: "jobs"
  std::string_view help;
  Role role = Role::Generate;
  std::vector<Parameter> parameters;
  /// Content types of the body, by ", ": "application/json", "multipart/form-data", "image/*"; empty: none.
  std::string_view takes;
  std::string_view takes_schema;  // a name of schemas()
  std::vector<Answer> answers;    // the first is that of success; errors are common to all
  HttpResponse (*handle)(Services& services, const Call& call);
  /// The body of an error, where this API's clients expect another one than the native.
  json::value (*error_body)(int status, const Problem& problem) = nullptr;
  bool free_on_loopback = false;  // this machine's own programs need no key
  bool instant = false;           // takes no time, and answers to any host name: for who asks for our health
};

/// A named JSON Schema (2020-12) of the OpenAPI document.
struct NamedSchema {
  std::string_view name;  // "Job"
  json::object (*make)();
};

/// Finds the route, checks who asks and what the body is, calls, and turns what is thrown into an answer.
/// Safe to share.
class Router : public RequestHandler {
 public:
  using Page = std::function<std::optional<HttpResponse>(const HttpRequest&)>;

  /// @param routes  outlive this, as do schemas
  /// @param page    answers GET where no route has the path: the web page's files
  Router(Services& services, std::span<const Route> routes, std::span<const NamedSchema> schemas,
         Page page = {});
  ~Router() override;
  std::variant<int64_t, HttpResponse> admit(const HttpRequest& head) const override;
  HttpResponse handle(const HttpRequest& request) const override;
  bool is_instant(const HttpRequest& request) const override;
  /// OpenAPI 3.1.
  const json::object& document() const { return document_; }

 private:
  struct Row;
  struct Match;
  Match match(const HttpRequest& request) const;
  Client check(const HttpRequest& request, const Match& match) const;
  HttpResponse answer(const HttpRequest& request, const Match& match, Client& client) const;
  HttpResponse preflight(const HttpRequest& request, const Match& match) const;
  HttpResponse refusal(const HttpRequest& request, const Match& match, std::exception_ptr error) const;
  void finish(const HttpRequest& request, const Match& match, const std::string& owner, double seconds,
              HttpResponse& response) const;

  Services& services_;
  std::span<const NamedSchema> schemas_;
  Page page_;
  json::object document_;
  std::vector<Row> rows_;
};

/// The OpenAPI document of a table of routes.
json::object openapi_document(std::span<const Route> routes, std::span<const NamedSchema> schemas,
                              std::string_view version);

/// A text without folders of the machine: those that are configured are left out, of other paths the last part stays.
std::string without_paths(std::string text, const Settings& settings);

/// The JSON of a request's body: at most 32 levels deep, and no text in it with a zero character, which PostgreSQL cannot keep.
/// @throws Error{InvalidArgument} at "body"
json::value read_json(std::string_view body);

/// Checks a value against a schema: type, properties, required, additionalProperties, items, enum, const,
/// minimum, maximum, minLength, maxLength, pattern (of ids), minItems, maxItems, anyOf, oneOf, allOf, and
/// $ref into `schemas`.
/// @throws Error{InvalidArgument} at the field's path
void check_schema(const json::object& schema, const json::value& value, std::span<const NamedSchema> schemas,
                  const std::string& where = {});

}  // namespace limn::server
