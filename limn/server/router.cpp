// SPDX-License-Identifier: Apache-2.0
#include "limn/server/router.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <new>

#include "limn/base/error.h"
#include "limn/engine/engine.h"
#include "limn/server/auth.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/services.h"
#include "limn/server/settings.h"

namespace limn::server {
namespace {

constexpr int64_t kUnreadBody = int64_t{64} << 10;  // of a route that takes none: clients send "{}"
constexpr std::string_view kRetrySeconds = "5";

using Segments = std::vector<std::string>;

Segments split(std::string_view path) {
  Segments out;
  for (size_t from = 1; from <= path.size();) {
    const size_t end = std::min(path.find('/', from), path.size());
    out.emplace_back(path.substr(from, end - from));
    from = end + 1;
  }
  return out;
}

/// An encoded slash is part of its segment.
Segments segments_of(const HttpRequest& request) {
  if (request.target.empty()) return split(request.path);
  Segments out = split(request.target);
  for (std::string& segment : out) segment = percent_decode(segment).value_or(segment);
  return out;
}

bool is_capture(std::string_view segment) { return segment.starts_with('{') && segment.ends_with('}'); }

/// The captured segments, or nothing where the path is another.
std::optional<Pairs> captures_of(const Segments& pattern, const Segments& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  Pairs out;
  for (size_t i = 0; i < path.size(); ++i) {
    if (is_capture(pattern[i]) && !path[i].empty())
      out.emplace_back(pattern[i].substr(1, pattern[i].size() - 2), path[i]);
    else if (pattern[i] != path[i])
      return std::nullopt;
  }
  return out;
}

bool answers_method(const Route& route, const std::string& method) {
  return route.method == method || (route.method == "GET" && method == "HEAD");
}

bool is_get(const HttpRequest& request) { return request.method == "GET" || request.method == "HEAD"; }

bool is_json(std::string_view type) { return type == "application/json" || type.ends_with("+json"); }

/// @param takes  "application/json", "image/*", or several by ", "
bool fits(std::string_view takes, std::string_view type) {
  for (size_t from = 0; from < takes.size();) {
    const size_t end = std::min(takes.find(", ", from), takes.size());
    const std::string_view one = takes.substr(from, end - from);
    if (one == type || (one == "application/json" && is_json(type)) ||
        (one.ends_with("/*") && type.starts_with(one.substr(0, one.size() - 1))))
      return true;
    from = end + 2;
  }
  return false;
}

void check_content(const Route& route, const HttpRequest& request) {
  const auto refuse = [&](const char* where, const std::string& message, const std::string& hint) {
    throw HttpError(415, {"unsupported_media_type", where, message, hint});
  };
  const std::string encoding = lower_case(request.header("content-encoding"));
  if (!encoding.empty() && encoding != "identity")
    refuse("content-encoding", "bodies are not unpacked here", "send it as it is");
  const std::string type = media_type(request.header("content-type"));
  const bool has_body = !request.body.empty() || !request.header("transfer-encoding").empty() ||
                        request.header("content-length").find_first_not_of('0') != std::string::npos;
  if (route.takes.empty() || (type.empty() && !has_body) || fits(route.takes, type)) return;
  refuse("content-type", type.empty() ? "is missing" : "'" + type + "' is not taken here",
         "send " + std::string(route.takes));
}

template <typename Number>
std::optional<Number> parse_number(const std::string& text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [last, code] = std::from_chars(text.data(), end, number);
  if (code != std::errc() || last != end) return std::nullopt;
  return number;
}

/// A parameter's text as its schema's type has it; the text itself where it is none of that type.
json::value value_of(const std::string& text, const json::object& schema) {
  const json::value* type = schema.if_contains("type");
  const std::string name = type && type->is_string() ? std::string(type->get_string()) : "string";
  if (name == "integer")
    if (const auto number = parse_number<int64_t>(text)) return *number;
  if (name == "number")
    if (const auto number = parse_number<double>(text); number && std::isfinite(*number)) return *number;
  if (name == "boolean") {
    const std::string lower = lower_case(text);
    if (lower == "true" || lower == "1") return true;
    if (lower == "false" || lower == "0") return false;
  }
  if (name != "array") return json::value(text);
  json::array list;
  const json::value* items = schema.if_contains("items");
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find(',', from), text.size());
    list.push_back(value_of(text.substr(from, end - from), items ? items->as_object() : json::object()));
    from = end + 1;
  }
  return list;
}

std::optional<std::string> text_of(const Parameter& parameter, const HttpRequest& request,
                                   const Pairs& captured) {
  if (parameter.in == "header") return find_value(request.headers, lower_case(parameter.name));
  return find_value(parameter.in == "path" ? captured : request.query, parameter.name);
}

/// What is thrown, as a status and a problem.
struct Refusal {
  int status;
  Problem problem;
  Pairs headers;
};

Refusal describe(const std::exception_ptr& thrown, const HttpRequest& request, Log& log) {
  const auto internal = [&](const char* what) -> Refusal {
    log.error("internal_error", {{"method", request.method}, {"path", request.path}, {"problem", what}});
    return {500, {"internal", "", "something went wrong inside limn", "the server's log says what"}, {}};
  };
  try {
    std::rethrow_exception(thrown);
  } catch (const HttpError& error) {
    return {error.status(), error.problem(), error.headers()};
  } catch (const Error& error) {
    if (error.code() == ErrorCode::Internal) return internal(error.what());
    const Status& status = status_of(error.code());
    return {status.http_status, {std::string(status.name), error.where(), error.problem(), error.hint()}, {}};
  } catch (const std::bad_alloc&) {
    const Status& status = status_of(ErrorCode::OutOfMemory);
    return {
        status.http_status, {std::string(status.name), "", "there is not enough memory", "ask for less"}, {}};
  } catch (const std::exception& error) {
    return internal(error.what());
  } catch (...) {
    return internal("thrown by another library");
  }
}

}  // namespace

/// A route, as it is asked for each request.
struct Router::Row {
  const Route* route;
  Segments path;
  std::vector<json::object> parameters;  // schemas, of the route's parameters in turn
  const json::object* body = nullptr;    // schema
};

struct Router::Match {
  const Row* row = nullptr;  // null: none has this path and method
  Pairs captured;
  std::string allowed;  // the methods of the path; empty: none has it
};

const std::string& Call::at(std::string_view name) const {
  for (const auto& [key, value] : captured)
    if (key == name) return value;
  throw Error(ErrorCode::Internal, "route", "has no {" + std::string(name) + "}");
}

Router::Router(Services& services, std::span<const Route> routes, std::span<const NamedSchema> schemas,
               Page page)
    : services_(services),
      schemas_(schemas),
      page_(std::move(page)),
      document_(openapi_document(routes, schemas, engine::version())) {
  const json::object& named = document_.at("components").at("schemas").as_object();
  for (const Route& route : routes) {
    Row row{&route, split(route.path), {}};
    for (const Parameter& parameter : route.parameters)
      row.parameters.push_back(parse_json(parameter.schema, std::string(parameter.name)).as_object());
    if (!route.takes_schema.empty())
      row.body =
          &named.at(json::string_view(route.takes_schema.data(), route.takes_schema.size())).as_object();
    rows_.push_back(std::move(row));
  }
  services.metrics.describe("limn_http_requests_total", Metrics::Kind::Counter,
                            "Requests that were answered.");
  services.metrics.describe("limn_http_request_seconds", Metrics::Kind::Histogram,
                            "From a request's last byte to the first of its answer.");
}

Router::~Router() = default;

Router::Match Router::match(const HttpRequest& request) const {
  const Segments path = segments_of(request);
  Match out;
  for (const Row& row : rows_) {
    auto captured = captures_of(row.path, path);
    if (!captured) continue;
    out.allowed += (out.allowed.empty() ? "" : ", ") + std::string(row.route->method);
    // "/pictures/bulk" before "/pictures/{id}"
    if (answers_method(*row.route, request.method) && (!out.row || captured->size() < out.captured.size())) {
      out.row = &row;
      out.captured = std::move(*captured);
    }
  }
  return out;
}

Client Router::check(const HttpRequest& request, const Match& match) const {
  const Route* route = match.row ? match.row->route : nullptr;
  // Those who ask whether the server is alive call it by any name.
  if (!route || !route->instant) services_.auth.check_origin(request);
  const bool local = is_loopback(request.peer) && !request.proxied;
  if (services_.settings.behind_proxy && !request.proxied && !request.secure && !local)
    throw HttpError(403, {"refused", "", "clients come through the proxy alone", "--proxy ADDRESS names it"});
  if (!route || route->role == Role::Anyone)
    return services_.auth.is_open() ? Client{} : Client{"", Role::Anyone};
  if (route->free_on_loopback && local) return {};
  const Client client = services_.auth.identify(request);
  if (client.role < route->role)
    throw HttpError(403,
                    {"refused", "", "this needs a key of the role " + std::string(name_of(route->role)),
                     "the key of '" + client.owner + "' has the role " + std::string(name_of(client.role))});
  return client;
}

std::variant<int64_t, HttpResponse> Router::admit(const HttpRequest& head) const {
  const Match match = this->match(head);
  Client client{"", Role::Anyone};
  HttpResponse response;
  try {
    client = check(head, match);
    if (match.row) {
      check_content(*match.row->route, head);
      return match.row->route->takes.empty() ? kUnreadBody : services_.settings.body_limit;
    }
    response = answer(head, match, client);
  } catch (...) {
    response = refusal(head, match, std::current_exception());
  }
  finish(head, match, client.owner, 0, response);
  return response;
}

HttpResponse Router::handle(const HttpRequest& request) const {
  const auto start = std::chrono::steady_clock::now();
  const Match match = this->match(request);
  Client client{"", Role::Anyone};
  HttpResponse response;
  try {
    response = answer(request, match, client);
  } catch (...) {
    response = refusal(request, match, std::current_exception());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  finish(request, match, client.owner, seconds.count(), response);
  return response;
}

bool Router::is_instant(const HttpRequest& request) const {
  const Match match = this->match(request);
  return !match.row || (match.row->route->instant && match.row->route->role == Role::Anyone);
}

HttpResponse Router::answer(const HttpRequest& request, const Match& match, Client& client) const {
  client = check(request, match);
  if (request.method == "OPTIONS" && !match.allowed.empty()) return preflight(request, match);
  if (!match.row) {
    if (!match.allowed.empty())
      throw HttpError(405,
                      {"method_not_allowed", "", request.method + " is not for this address",
                       "it takes " + match.allowed},
                      {{"Allow", match.allowed}});
    if (page_ && is_get(request))
      if (auto file = page_(request)) return std::move(*file);
    throw Error(ErrorCode::NotFound, request.path, "there is nothing at this address",
                "GET /api/v1/openapi.json lists what is");
  }
  const Route& route = *match.row->route;
  check_content(route, request);
  Call call{request, client, match.captured, {}};
  for (size_t i = 0; i < route.parameters.size(); ++i) {
    const Parameter& parameter = route.parameters[i];
    const std::string name(parameter.name);
    if (const auto text = text_of(parameter, request, call.captured))
      check_schema(match.row->parameters[i], value_of(*text, match.row->parameters[i]), schemas_, name);
    else if (parameter.required)
      throw Error(ErrorCode::InvalidArgument, name, "is missing");
  }
  if (route.takes == "application/json") {
    call.json = read_json(request.body);
    if (match.row->body) check_schema(*match.row->body, call.json, schemas_);
  }
  return route.handle(services_, call);
}

// Fetch §4.8: a browser asks before it lets another site's page send something.
HttpResponse Router::preflight(const HttpRequest& request, const Match& match) const {
  HttpResponse out;
  out.status = 204;
  out.headers = {{"Allow", match.allowed + ", OPTIONS"}};
  if (!services_.auth.is_listed_origin(request)) return out;
  out.headers.emplace_back("Access-Control-Allow-Methods", match.allowed);
  out.headers.emplace_back("Access-Control-Allow-Headers",
                           "Authorization, Content-Type, Idempotency-Key, If-None-Match, Range");
  out.headers.emplace_back("Access-Control-Max-Age", "600");
  return out;
}

HttpResponse Router::refusal(const HttpRequest& request, const Match& match, std::exception_ptr error) const {
  Refusal refusal = describe(error, request, services_.log);
  for (std::string* text : {&refusal.problem.where, &refusal.problem.message, &refusal.problem.hint})
    *text = without_paths(std::move(*text), services_.settings);
  // An address that no route has still belongs to one of the APIs.
  const Route* form = match.row ? match.row->route : nullptr;
  const Segments path = segments_of(request);
  for (const Row& row : rows_)
    if (!form && !path.empty() && !row.path.empty() && row.path.front() == path.front()) form = row.route;
  HttpResponse out = error_response(refusal.status, refusal.problem);
  if (form && form->error_body) out.body = to_text(form->error_body(refusal.status, refusal.problem));
  out.headers = std::move(refusal.headers);
  if ((out.status == 429 || out.status == 503) && !find_value(out.headers, "Retry-After"))
    out.headers.emplace_back("Retry-After", kRetrySeconds);
  return out;
}

void Router::finish(const HttpRequest& request, const Match& match, const std::string& owner, double seconds,
                    HttpResponse& response) const {
  if (!services_.settings.allow_origin.empty()) response.headers.emplace_back("Vary", "Origin");
  if (services_.auth.is_listed_origin(request)) {
    response.headers.emplace_back("Access-Control-Allow-Origin", request.header("origin"));
    response.headers.emplace_back("Access-Control-Expose-Headers", "ETag, Location, Retry-After");
  }
  const std::string status = std::to_string(response.status);
  const std::string_view name = match.row ? match.row->route->name : "none";
  services_.metrics.add("limn_http_requests_total", {{"route", name}, {"status", status}});
  services_.metrics.observe("limn_http_request_seconds", {{"route", name}}, seconds);
  if (is_instant(request) && response.status < 400)
    return;  // the page's files, and whoever asks for its health
  services_.log.info("request", {{"method", request.method},
                                 {"path", request.path},
                                 {"status", response.status},
                                 {"milliseconds", std::round(seconds * 1e4) / 10},
                                 {"client", owner},
                                 {"peer", request.peer}});
}

}  // namespace limn::server
