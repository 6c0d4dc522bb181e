// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "limn/server/router.h"
#include "limn/server/services.h"

namespace limn::server {

/// Every route of the server, in the order of the document.
const std::vector<Route>& all_routes();

// One file a subject.
std::vector<Route> job_routes();
std::vector<Route> event_routes();
std::vector<Route> picture_routes();
std::vector<Route> input_routes();
std::vector<Route> model_routes();
std::vector<Route> system_routes();
std::vector<Route> sdapi_routes();
std::vector<Route> openai_routes();

HttpResponse json_answer(const json::value& value, int status = 200);

// Parameters of a query. @throws Error{InvalidArgument} at the name
std::string text_parameter(const Call& call, std::string_view name);  // empty: absent
int64_t integer_parameter(const Call& call, std::string_view name, int64_t fallback, int64_t least,
                          int64_t most);
bool boolean_parameter(const Call& call, std::string_view name, bool fallback);

}  // namespace limn::server
