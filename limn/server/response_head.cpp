// SPDX-License-Identifier: Apache-2.0
#include "limn/server/response_head.h"

#include <ctime>

namespace limn::server {
namespace {

struct Field {
  std::string_view name, value;
};

// Put on every answer that does not say otherwise itself.
constexpr Field kFields[] = {
    {"Cache-Control", "no-store"},
    {"Content-Security-Policy",
     "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action "
     "'self'; "
     "frame-ancestors 'none'"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
    {"X-Content-Type-Options", "nosniff"},
};

std::string date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[40];
  return std::string(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

void add(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ");
  for (const char c : value)
    if (static_cast<unsigned char>(c) >= ' ' || c == '\t') head += c;  // no value ends its line
  head += "\r\n";
}

bool says(const HttpResponse& response, std::string_view name) {
  for (const auto& field : response.headers)
    if (lower_case(field.first) == lower_case(name)) return true;
  return false;
}

}  // namespace

bool has_body(int status) { return status >= 200 && status != 204 && status != 304; }

std::string response_head(const HttpResponse& response, const Framing& framing) {
  std::string head =
      "HTTP/1.1 " + std::to_string(response.status) + " " + std::string(reason_of(response.status)) + "\r\n";
  add(head, "Date", date());
  if (has_body(response.status)) add(head, "Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) add(head, name, value);
  for (const Field& field : kFields)
    if (!says(response, field.name)) add(head, field.name, field.value);
  if (has_body(response.status)) {
    if (framing.length) add(head, "Content-Length", std::to_string(*framing.length));
    if (framing.chunked) add(head, "Transfer-Encoding", "chunked");
  }
  add(head, "Connection", framing.keep_alive ? "keep-alive" : "close");
  return head + "\r\n";
}

}  // namespace limn::server
