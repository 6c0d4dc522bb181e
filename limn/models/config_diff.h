// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "limn/base/json.h"

namespace limn::models {

/// Fields in which two component configurations of one class differ for the model they make: absent fields
/// count as the class's defaults, a list of equal numbers as the number; versions and names of origin do not
/// count.
/// @param class_name  "UNet2DConditionModel", "AutoencoderKL", "CLIPTextModel", or a scheduler's
std::vector<std::string> differing_fields(const std::string& class_name, const json::object& a,
                                          const json::object& b);

}  // namespace limn::models
