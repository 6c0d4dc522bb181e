// SPDX-License-Identifier: Apache-2.0
#include "limn/training/random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>

namespace limn::training {
namespace {

uint64_t splitmix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t mixed(uint64_t seed, Stream stream, uint64_t index) {
  return splitmix(splitmix(splitmix(seed) ^ static_cast<uint64_t>(stream)) ^ index);
}

at::Generator generator_for(uint64_t seed, Stream stream, uint64_t index) {
  return at::make_generator<at::CPUGeneratorImpl>(mixed(seed, stream, index));
}

double uniform(uint64_t seed, Stream stream, uint64_t index) {
  return static_cast<double>(mixed(seed, stream, index) >> 11) * 0x1.0p-53;
}

at::Tensor normal_rows(uint64_t seed, Stream stream, uint64_t first, int64_t count, at::IntArrayRef shape) {
  std::vector<int64_t> whole{count};
  whole.insert(whole.end(), shape.begin(), shape.end());
  const at::Tensor out = at::empty(whole, at::kFloat);
  for (int64_t i = 0; i < count; ++i)
    out[i].normal_(0, 1, generator_for(seed, stream, first + static_cast<uint64_t>(i)));
  return out;
}

uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace limn::training
