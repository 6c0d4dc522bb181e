// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>

namespace limn {

/// sha256_of_file of one that may be large. @throws Error{Cancelled} when stop is requested meanwhile
std::string sha256_of_file(const std::filesystem::path& path, const std::stop_token& stop);

}  // namespace limn
