// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace limn::weights {

/// More dimensions than any model has; keeps a hostile shape from costing anything.
constexpr size_t kMaxRank = 16;

/// Number of elements. Nothing when there are more than kMaxRank sizes, one is negative, or they multiply to
/// 2^56 or more (sizes of 0 left out of the product, so that no later arithmetic on strides overflows).
std::optional<int64_t> count_elements(std::span<const int64_t> shape);

/// One more than the index of the farthest element, 0 for a tensor without elements. Nothing when the lists
/// differ in length, a stride is negative, the shape is none that count_elements takes, or the index passes
/// 2^56.
std::optional<int64_t> reach_of(std::span<const int64_t> shape, std::span<const int64_t> strides);

/// Whether these strides are those of a row-major tensor without holes; dimensions of size 1 may have any.
bool is_dense(std::span<const int64_t> shape, std::span<const int64_t> strides);

/// "[2, 3]".
std::string shape_text(std::span<const int64_t> shape);

/// Text from a file as it may be shown: in quotes, cut to 120 bytes, control and non-ASCII bytes as \xNN.
std::string shown(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace limn::weights
