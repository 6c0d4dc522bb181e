// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "limn/server/http.h"

namespace limn::server {

/// How the end of an answer is told.
struct Framing {
  std::optional<int64_t> length;  // of the body; absent: it is sent in chunks, or ends with the connection
  bool chunked = false;
  bool keep_alive = true;
};

/// Whether a body follows a status at all (RFC 9110 §6.4.1).
bool has_body(int status);

/// Status line and header fields, with those that are on every answer (they protect whoever looks at it in a browser).
std::string response_head(const HttpResponse& response, const Framing& framing);

}  // namespace limn::server
