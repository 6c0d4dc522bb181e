// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace limn::server {

/// One field of a form.
struct Part {
  std::string name;
  std::string filename;  // as the client says, never to be used as a path; empty: none
  std::string type;      // its content type; empty: none
  std::string body;
};

/// The fields of a multipart/form-data body (RFC 7578), at most 64, in their order.
/// @param content_type  of the request, with the boundary
/// @throws Error{InvalidArgument} at "body"
std::vector<Part> parse_multipart(std::string_view body, std::string_view content_type);

}  // namespace limn::server
