// SPDX-License-Identifier: Apache-2.0
#include "limn/server/request_head.h"

#include <algorithm>

#include <arpa/inet.h>

namespace limn::server {
namespace {

size_t count_of(const HttpRequest& request, std::string_view name) {
  return static_cast<size_t>(std::ranges::count(request.headers, name, &Pairs::value_type::first));
}

/// An address as inet_pton takes it, from "1.2.3.4", "1.2.3.4:80", "::1" or "[::1]:80"; empty: it is none.
std::string address_of(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  text = text.substr(0, text.find_last_not_of(" \t") + 1);
  if (text.starts_with('[')) text = text.substr(1, text.find(']') - 1);
  if (std::ranges::count(text, ':') == 1) text = text.substr(0, text.find(':'));
  const std::string address(text);
  unsigned char bytes[sizeof(in6_addr)];
  const bool good =
      ::inet_pton(AF_INET, address.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, address.c_str(), bytes) == 1;
  return good ? address : "";
}

}  // namespace

HttpError bad_request(const std::string& where, const std::string& message) {
  return {400, {"bad_request", where, message, ""}};
}

std::string read_target(std::string_view target, HttpRequest& request) {
  std::string authority;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!lower_case(target.substr(0, scheme.size())).starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    authority = target.substr(0, end);
    target.remove_prefix(end);
    if (target.empty()) target = "/";
  }
  if (!target.starts_with('/')) throw bad_request("", "the request's target is no path");
  const size_t question = std::min(target.find('?'), target.size());
  const auto path = percent_decode(target.substr(0, question));
  const auto query = parse_query(target.substr(std::min(question + 1, target.size())));
  if (!path) throw bad_request("", "the path is not percent-encoded UTF-8");
  if (!query) throw bad_request("", "the query is not percent-encoded UTF-8");
  request.target = target.substr(0, question);
  request.path = *path;
  request.query = *query;
  return authority;
}

void check_fields(const HttpRequest& request, bool http_1_1) {
  const size_t hosts = count_of(request, "host"), codings = count_of(request, "transfer-encoding");
  if (hosts > 1 || (http_1_1 && hosts == 0)) throw bad_request("host", "must be there once");
  if (codings > 1 || (codings == 1 && !http_1_1))
    throw bad_request("transfer-encoding", "is not for this request");
  // Of anything else than this alone, nobody can say where the body ends.
  if (codings == 1 && lower_case(request.header("transfer-encoding")) != "chunked")
    throw HttpError(501, {"unsupported", "transfer-encoding", "only chunked is known", ""});
}

bool expects_continue(const HttpRequest& request) {
  const std::string expected = lower_case(request.header("expect"));
  if (!expected.empty() && expected != "100-continue")
    throw HttpError(417, {"expectation_failed", "expect", "only 100-continue is known", ""});
  return !expected.empty();
}

void read_forwarded(const std::vector<std::string>& proxies, HttpRequest& request) {
  const auto is_proxy = [&](const std::string& address) {
    return std::ranges::find(proxies, address) != proxies.end();
  };
  if (!is_proxy(request.peer)) return;
  request.proxied = true;
  std::string hops;
  for (const auto& [name, value] : request.headers) {
    if (name == "x-forwarded-for") hops += "," + value;
    if (name == "x-forwarded-proto") request.secure = lower_case(value) == "https";
  }
  // The last word is the nearest proxy's; what stands before those of our proxies anyone may have written.
  while (!hops.empty()) {
    const size_t comma = hops.rfind(',');
    const std::string address = address_of(std::string_view(hops).substr(comma + 1));
    if (address.empty()) return;
    request.peer = address;
    if (!is_proxy(address)) return;
    hops.erase(comma);
  }
}

}  // namespace limn::server
