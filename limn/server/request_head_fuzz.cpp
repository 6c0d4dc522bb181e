// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "limn/server/request_head.h"

/// Every input is lines: a request's target, then fields. What is read of them is text that a database can keep.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace limn::server;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto line = [&] {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view out = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return out;
  };
  HttpRequest request;
  request.peer = "127.0.0.1";
  const std::string target(line());
  while (!rest.empty()) {
    const std::string_view field = line();
    const size_t colon = std::min(field.find(':'), field.size());
    request.headers.emplace_back(field.substr(0, colon), field.substr(std::min(colon + 1, field.size())));
    media_type(field);
    parameter_of(field, "boundary");
  }
  try {
    read_target(target, request);
    if (!is_utf8(request.path) || request.path.find('\0') != std::string::npos) __builtin_trap();
    for (const auto& [name, value] : request.query)
      if (!is_utf8(name + value) || (name + value).find('\0') != std::string::npos) __builtin_trap();
    check_fields(request, true);
    expects_continue(request);
  } catch (const HttpError& error) {
    if (reason_of(error.status()).empty()) __builtin_trap();
  }
  read_forwarded({"127.0.0.1"}, request);
  return 0;
}
