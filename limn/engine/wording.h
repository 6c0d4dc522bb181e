// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "limn/engine/request.h"

namespace limn::engine {

/// The request with its styles in its prompts.
/// @throws Error{NotFound} for a style that the file does not hold, naming those it does; Error{BadFile}
GenerateRequest with_styles(const GenerateRequest& request);

/// With wildcards, a request a picture, each with the choices of its own seed; else the request as it is.
std::vector<GenerateRequest> with_choices(const GenerateRequest& request);

}  // namespace limn::engine
