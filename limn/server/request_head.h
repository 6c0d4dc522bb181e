// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "limn/server/http.h"

namespace limn::server {

// What HTTP asks of a request's head beyond its grammar, and what it means. All throw HttpError{400} and the like.

/// Sets target, path and query from the target of a request line. @return the authority of "http://authority/path"
std::string read_target(std::string_view target, HttpRequest& request);
/// Checks fields that decide where a request ends and whom it is for.
void check_fields(const HttpRequest& request, bool http_1_1);
/// Whether the client waits for "100 Continue" before it sends the body.
bool expects_continue(const HttpRequest& request);

/// Sets peer and secure from what a proxy says, where the connection comes from one.
/// @param proxies  addresses
void read_forwarded(const std::vector<std::string>& proxies, HttpRequest& request);

HttpError bad_request(const std::string& where, const std::string& message);

}  // namespace limn::server
