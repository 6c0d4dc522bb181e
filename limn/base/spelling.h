// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

namespace limn {

/// Least number of bytes to insert, take away or change to make one text of the other (Levenshtein 1966).
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace limn
