// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/perceptual_hash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <numbers>
#include <unordered_map>

#include "limn/base/error.h"

namespace limn::datasets {
namespace {

constexpr int kSide = 32, kLow = 8, kBits = 64;

/// Rec. 601 luma.
Image to_grey(const Image& image) {
  const Image rgb = to_rgb(image);
  Image grey{rgb.width, rgb.height, 1, std::vector<uint8_t>(rgb.pixels.size() / 3)};
  for (size_t i = 0; i < grey.pixels.size(); ++i) {
    const uint8_t* p = &rgb.pixels[3 * i];
    grey.pixels[i] = static_cast<uint8_t>((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
  }
  return grey;
}

}  // namespace

uint64_t perceptual_hash(const Image& image) {
  const Image small = resize_lanczos(to_grey(image), kSide, kSide);
  std::array<std::array<double, kSide>, kLow> basis;
  for (int k = 0; k < kLow; ++k)
    for (int x = 0; x < kSide; ++x)
      basis[k][x] = std::cos(std::numbers::pi * (2 * x + 1) * k / (2.0 * kSide));
  std::array<double, kLow * kLow> low{};
  for (int v = 0; v < kLow; ++v)
    for (int u = 0; u < kLow; ++u)
      for (int y = 0; y < kSide; ++y) {
        double row = 0;
        for (int x = 0; x < kSide; ++x) row += basis[u][x] * small.pixels[static_cast<size_t>(y * kSide + x)];
        low[static_cast<size_t>(v * kLow + u)] += basis[v][y] * row;
      }
  auto sorted = low;
  std::ranges::sort(sorted);
  const double median = (sorted[kBits / 2 - 1] + sorted[kBits / 2]) / 2;
  uint64_t hash = 0;
  for (const double value : low) hash = hash << 1 | (value > median);
  return hash;
}

std::string hash_text(uint64_t hash) {
  std::string text(16, '0');
  for (size_t i = 0; i < 16; ++i) text[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
  return text;
}

uint64_t hash_from_text(const std::string& text) {
  uint64_t hash = 0;
  std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  return hash;
}

std::vector<int64_t> near_duplicates(std::span<const uint64_t> hashes, int distance) {
  LIMN_CHECK(distance >= 0 && distance <= 16, "distance out of range");
  const int pieces = distance + 1;
  std::vector<std::unordered_map<uint64_t, std::vector<int64_t>>> known(static_cast<size_t>(pieces));
  std::vector<int64_t> out(hashes.size(), -1);
  for (size_t i = 0; i < hashes.size(); ++i) {
    for (int piece = 0; piece < pieces && out[i] < 0; ++piece) {
      const int from = kBits * piece / pieces, to = kBits * (piece + 1) / pieces;
      const uint64_t key =
          to - from == kBits ? hashes[i] : hashes[i] >> from & ((uint64_t{1} << (to - from)) - 1);
      const auto& same = known[static_cast<size_t>(piece)][key];
      for (const int64_t j : same)
        if (std::popcount(hashes[i] ^ hashes[static_cast<size_t>(j)]) <= distance) {
          out[i] = j;
          break;
        }
    }
    if (out[i] >= 0) continue;
    for (int piece = 0; piece < pieces; ++piece) {
      const int from = kBits * piece / pieces, to = kBits * (piece + 1) / pieces;
      const uint64_t key =
          to - from == kBits ? hashes[i] : hashes[i] >> from & ((uint64_t{1} << (to - from)) - 1);
      known[static_cast<size_t>(piece)][key].push_back(static_cast<int64_t>(i));
    }
  }
  return out;
}

}  // namespace limn::datasets
