// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/routes.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "limn/base/error.h"

namespace limn::server {

const std::vector<Route>& all_routes() {
  static const std::vector<Route> all = [] {
    std::vector<Route> out;
    for (auto* routes : {job_routes, event_routes, picture_routes, input_routes, model_routes, system_routes,
                         sdapi_routes, openai_routes})
      std::ranges::move(routes(), std::back_inserter(out));
    return out;
  }();
  return all;
}

HttpResponse json_answer(const json::value& value, int status) {
  HttpResponse out;
  out.status = status;
  out.body = limn::to_text(value);
  return out;
}

std::string text_parameter(const Call& call, std::string_view name) {
  return find_value(call.http.query, name).value_or("");
}

int64_t integer_parameter(const Call& call, std::string_view name, int64_t fallback, int64_t least,
                          int64_t most) {
  const std::optional<std::string> text = find_value(call.http.query, name);
  if (!text) return fallback;
  int64_t value = 0;
  const char* end = text->data() + text->size();
  const auto [last, code] = std::from_chars(text->data(), end, value);
  if (code != std::errc() || last != end || value < least || value > most)
    throw Error(ErrorCode::InvalidArgument, std::string(name),
                "expected an integer from " + std::to_string(least) + " to " + std::to_string(most) +
                    ", found '" + *text + "'");
  return value;
}

bool boolean_parameter(const Call& call, std::string_view name, bool fallback) {
  const std::optional<std::string> text = find_value(call.http.query, name);
  if (!text) return fallback;
  const std::string lower = lower_case(*text);
  if (lower == "true" || lower == "1") return true;
  if (lower == "false" || lower == "0") return false;
  throw Error(ErrorCode::InvalidArgument, std::string(name), "expected true or false, found '" + *text + "'");
}

}  // namespace limn::server
