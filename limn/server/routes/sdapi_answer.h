// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>

#include "limn/base/json.h"
#include "limn/server/job.h"
#include "limn/server/routes/sdapi_request.h"

namespace limn::server {

/// What A1111 tells of finished pictures, the object that its answers hold as a text.
/// @param records  of the pictures, in order, as provenance::to_json has them
json::object sdapi_info(const SdapiRequest& request, const Job& job, std::span<const json::object> records);

/// A1111's answer about the work going on.
/// @param jobs     of the client that have not ended, in the order of the queue
/// @param preview  of the one that runs, as base64; nothing: there is none, or it is not asked for
json::object sdapi_progress(std::span<const Job> jobs, const std::optional<std::string>& preview, Time now);

/// How much of a running job is done, 0 to 1.
double done_share(const Job& job);

}  // namespace limn::server
