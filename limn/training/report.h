// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "limn/base/json.h"

namespace limn::training {

/// A run in one HTML file that needs nothing else: curves, sheets of pictures over time, settings.
/// @param folder  of the run; its samples/ are shown
/// @param lines   of log.jsonl
std::string make_report(const std::filesystem::path& folder, const json::object& settings,
                        std::span<const json::object> lines, double seconds);

}  // namespace limn::training
