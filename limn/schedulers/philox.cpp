// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/philox.h"

#include <array>
#include <cmath>
#include <numbers>

#include <ATen/ops/empty.h>

namespace limn::schedulers {
namespace {

constexpr uint32_t kMultipliers[] = {0xD2511F53, 0xCD9E8D57};
constexpr uint32_t kWeyl[] = {0x9E3779B9, 0xBB67AE85};
constexpr int kRounds = 10;

using Words = std::array<uint32_t, 4>;

/// Salmon et al. 2011, §3.3.
Words philox_4x32(Words counter, uint32_t key_low, uint32_t key_high) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t a = uint64_t{counter[0]} * kMultipliers[0], b = uint64_t{counter[2]} * kMultipliers[1];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key_low, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key_high, static_cast<uint32_t>(a)};
    key_low += kWeyl[0];
    key_high += kWeyl[1];
  }
  return counter;
}

float normal(uint32_t x, uint32_t y) {
  constexpr double kUnit = 1.0 / 4294967296.0;
  const double u = x * kUnit + kUnit / 2;
  const double v = y * (kUnit * 2 * std::numbers::pi) + kUnit * std::numbers::pi;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::sin(v));
}

}  // namespace

at::Tensor Philox::randn(at::IntArrayRef shape) {
  const at::Tensor out = at::empty(shape, at::kFloat);
  float* data = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) {
    const Words words = philox_4x32({offset_, 0, static_cast<uint32_t>(i), 0}, static_cast<uint32_t>(seed_),
                                    static_cast<uint32_t>(seed_ >> 32));
    data[i] = normal(words[0], words[1]);
  }
  ++offset_;
  return out;
}

}  // namespace limn::schedulers
