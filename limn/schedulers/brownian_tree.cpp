// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/brownian_tree.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

namespace limn::schedulers {
namespace {

constexpr size_t kPoolSize = 24;
constexpr uint32_t kInitA = 0x43b0d7e5, kMultA = 0x931e8875, kInitB = 0x8b51f9dd, kMultB = 0x58f38ded;
constexpr uint32_t kMixLeft = 0xca01f9dd, kMixRight = 0x4973f715;

/// To six decimals, as Python rounds: the decimal nearest to the exact binary value.
double rounded(double x) {
  char text[64];
  std::snprintf(text, sizeof text, "%.6f", x);
  return std::strtod(text, nullptr);
}

uint32_t shifted(uint32_t x) { return x ^ x >> 16; }

/// O'Neill 2015, "Developing a seed_seq alternative": what numpy's SeedSequence hashes with.
struct Hash {
  uint32_t constant;
  uint32_t operator()(uint32_t value) {
    value ^= constant;
    constant *= kMultA;
    return shifted(value * constant);
  }
};

uint32_t mixed(uint32_t x, uint32_t y) { return shifted(kMixLeft * x - kMixRight * y); }

void append_words(std::vector<uint32_t>& out, uint64_t value) {
  out.push_back(static_cast<uint32_t>(value));
  if (value >> 32) out.push_back(static_cast<uint32_t>(value >> 32));
}

}  // namespace

std::vector<uint32_t> seed_sequence_state(uint64_t entropy, const std::vector<uint64_t>& spawn_key,
                                          size_t pool_size, size_t count) {
  std::vector<uint32_t> words;
  append_words(words, entropy);
  if (!spawn_key.empty() && words.size() < pool_size) words.resize(pool_size, 0);
  for (const uint64_t key : spawn_key) append_words(words, key);

  Hash hash{kInitA};
  std::vector<uint32_t> pool(pool_size);
  for (size_t i = 0; i < pool_size; ++i) pool[i] = hash(i < words.size() ? words[i] : 0);
  for (size_t from = 0; from < pool_size; ++from)
    for (size_t to = 0; to < pool_size; ++to)
      if (from != to) pool[to] = mixed(pool[to], hash(pool[from]));
  for (size_t from = pool_size; from < words.size(); ++from)
    for (size_t to = 0; to < pool_size; ++to) pool[to] = mixed(pool[to], hash(words[from]));

  std::vector<uint32_t> state;
  uint32_t constant = kInitB;
  for (size_t i = 0; i < count; ++i) {
    uint32_t value = pool[i % pool_size] ^ constant;
    constant *= kMultB;
    state.push_back(shifted(value * constant));
  }
  return state;
}

BrownianTree::BrownianTree(uint64_t seed, double start, double end, std::vector<int64_t> shape, Draw draw)
    : seed_(seed),
      root_{rounded(static_cast<float>(start)), rounded(static_cast<float>(end)), 0, 0},
      shape_(std::move(shape)),
      draw_(std::move(draw)) {
  // The whole motion's variance is that of the ends before they are rounded, in float32 as they come.
  const double length = std::sqrt(static_cast<double>(static_cast<float>(end)) -
                                  static_cast<double>(static_cast<float>(start)));
  whole_ = draw_(seed_sequence_state(seed_, {}, kPoolSize, 1)[0], shape_) * length;
}

at::Tensor BrownianTree::noise(double sigma, double sigma_next) const {
  const auto a = static_cast<float>(sigma), b = static_cast<float>(sigma_next);
  const at::Tensor w = increment(std::min(a, b), std::max(a, b)) * (a < b ? 1 : -1);
  return w / std::sqrt(std::abs(b - a));
}

at::Tensor BrownianTree::increment(double from, double to) const {
  from = rounded(std::clamp(from, root_.start, root_.end));
  to = rounded(std::clamp(to, root_.start, root_.end));
  if (from == to) return at::zeros(shape_);
  std::vector<at::Tensor> parts;
  collect(root_, whole_, from, to, parts);
  at::Tensor sum = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) sum = sum + parts[i];
  return sum;
}

/// The increments of the nodes that make up [from, to], which lies inside the node, from left to right.
void BrownianTree::collect(const Node& node, const at::Tensor& whole, double from, double to,
                           std::vector<at::Tensor>& parts) const {
  if (from == node.start && to == node.end) {
    parts.push_back(whole);
    return;
  }
  const double middle = rounded(0.5 * (node.end + node.start));
  const double left = middle - node.start, right = node.end - middle, inverse = 1 / (node.end - node.start);
  const uint32_t seed = seed_sequence_state(seed_, {node.spawn_key, node.depth}, kPoolSize, 1)[0];
  const at::Tensor mean = left * whole * inverse;
  const at::Tensor left_part = mean + std::sqrt(left * right * inverse) * draw_(seed, shape_);
  if (from < middle)
    collect({node.start, middle, 2 * node.spawn_key, node.depth + 1}, left_part, from, std::min(to, middle),
            parts);
  if (to > middle)
    collect({middle, node.end, 2 * node.spawn_key + 1, node.depth + 1}, whole - left_part,
            std::max(from, middle), to, parts);
}

}  // namespace limn::schedulers
