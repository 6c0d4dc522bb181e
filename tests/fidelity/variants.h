// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "limn/base/json.h"

namespace limn {

/// tests/goldens/families/variants.json: models that are changes of the tiny model sdxl, and runs of them. Made by
/// tools/goldens/variants.py.
const json::object& variants();

/// The folder of one of tests/goldens/families, or of a model of variants(), which is put together for this process.
std::filesystem::path model_folder(const std::string& name);

}  // namespace limn
