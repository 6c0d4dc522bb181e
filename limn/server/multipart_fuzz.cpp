// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "limn/base/error.h"
#include "limn/server/http.h"
#include "limn/server/multipart.h"

namespace {

/// A body of the same parts.
std::string body_of(const std::vector<limn::server::Part>& parts, const std::string& boundary) {
  std::string out;
  for (const auto& part : parts)
    out += "--" + boundary + "\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n" + part.body + "\r\n";
  return out + "--" + boundary + "--\r\n";
}

}  // namespace

/// Every input is a content type, the end of a line, and a body. Parts that are read come again from a body made of them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string_view type = input.substr(0, end), body = input.substr(std::min(end + 1, size));
  try {
    const auto parts = limn::server::parse_multipart(body, type);
    if (parts.empty()) return 0;
    const std::string boundary = limn::server::parameter_of(type, "boundary").value();
    const auto again = limn::server::parse_multipart(body_of(parts, boundary), type);
    if (again.size() != parts.size()) __builtin_trap();
    for (size_t i = 0; i < parts.size(); ++i)
      if (again[i].body != parts[i].body) __builtin_trap();
  } catch (const limn::Error& error) {
    if (error.code() != limn::ErrorCode::InvalidArgument) __builtin_trap();
  }
  return 0;
}
