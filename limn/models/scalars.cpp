// SPDX-License-Identifier: Apache-2.0
#include "limn/models/scalars.h"

#include <cmath>
#include <cstring>

namespace limn::models {
namespace {

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// IEEE 754 binary16.
double half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

double bfloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  return load<float>(reinterpret_cast<const std::byte*>(&wide));
}

std::optional<double> element(const weights::TensorEntry& entry, size_t i) {
  const size_t width = weights::info_of(entry.dtype).bytes;
  if (i >= entry.bytes.size() / width) return std::nullopt;
  const std::byte* at = entry.bytes.data() + i * width;
  switch (entry.dtype) {
    case weights::DType::F64:
      return load<double>(at);
    case weights::DType::F32:
      return load<float>(at);
    case weights::DType::F16:
      return half(load<uint16_t>(at));
    case weights::DType::BF16:
      return bfloat16(load<uint16_t>(at));
    case weights::DType::I64:
      return static_cast<double>(load<int64_t>(at));
    case weights::DType::I32:
      return load<int32_t>(at);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<double> scalar(const weights::TensorEntry& entry) {
  return entry.elements() == 1 ? element(entry, 0) : std::nullopt;
}

std::optional<double> standard_deviation(const weights::TensorEntry& entry) {
  const auto count = static_cast<size_t>(entry.elements());
  if (count < 2 || !entry.strides.empty()) return std::nullopt;
  double mean = 0, squares = 0;  // Welford's updates
  for (size_t i = 0; i < count; ++i) {
    const auto value = element(entry, i);
    if (!value) return std::nullopt;
    const double offset = *value - mean;
    mean += offset / static_cast<double>(i + 1);
    squares += offset * (*value - mean);
  }
  return std::sqrt(squares / static_cast<double>(count - 1));
}

}  // namespace limn::models
