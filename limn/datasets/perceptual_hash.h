// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "limn/image/image.h"

namespace limn::datasets {

/// 64 bits that change little when the picture does: which of the 8 × 8 lowest frequencies of the 32 × 32 grey picture are
/// above their median. Source: Zauner 2010, §3.2.1 (DCT-based hash).
uint64_t perceptual_hash(const Image& image);

std::string hash_text(uint64_t hash);              // 16 hexadecimal digits
uint64_t hash_from_text(const std::string& text);  // 0 for what is none

/// For each hash the index of an earlier one that is at most `distance` bits away and kept, or −1. Hashes that agree on
/// one of distance + 1 pieces are compared, which misses none (pigeonhole), so a million take seconds at distance 4.
/// @param distance  0 to 16
std::vector<int64_t> near_duplicates(std::span<const uint64_t> hashes, int distance);

}  // namespace limn::datasets
