// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <hwy/base.h>
#include <hwy/targets.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "limn/kernels/element_type.h"

namespace limn::kernels::testing {

using Floats = std::vector<float>;

inline Floats noise(int64_t count, uint32_t seed, float spread = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  Floats out(static_cast<size_t>(count));
  for (float& x : out) x = normal(generator);
  return out;
}

/// ‖found − wanted‖ / ‖wanted‖
inline double relative_l2(const Floats& found, const std::vector<double>& wanted) {
  double gap = 0, size = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    gap += (found[i] - wanted[i]) * (found[i] - wanted[i]);
    size += wanted[i] * wanted[i];
  }
  return std::sqrt(gap / size);
}

/// Runs body once for each of the processor's targets that kernels are compiled for, "AVX2", "AVX3", ….
inline void for_each_target(const std::function<void(const std::string&)>& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
}

/// Runs body with so many threads.
inline void with_threads(int threads, const std::function<void()>& body) {
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  body();
  omp_set_num_threads(before);
#else
  body();
#endif
}

/// The numbers in 16 bits, and what they are then.
inline std::vector<hwy::bfloat16_t> rounded_to_bfloat16(Floats& numbers) {
  std::vector<hwy::bfloat16_t> out;
  for (float& x : numbers) {
    out.push_back(hwy::BF16FromF32(x));
    x = hwy::F32FromBF16(out.back());
  }
  return out;
}

/// Numbers as arrays of float32 or of bits of bfloat16 hold them, cut off where they do not fit, and back.
template <typename T>
std::vector<T> stored(const Floats& numbers) {
  if constexpr (std::is_same_v<T, float>) {
    return numbers;
  } else {
    std::vector<T> out;
    for (const float x : numbers) out.push_back(hwy::BF16FromF32(x).bits);
    return out;
  }
}
inline Floats as_floats(const Floats& numbers) { return numbers; }
inline Floats as_floats(const std::vector<uint16_t>& bits) {
  Floats out;
  for (const uint16_t x : bits) out.push_back(hwy::F32FromBF16(hwy::bfloat16_t{x}));
  return out;
}

/// The numbers as bfloat16 holds them.
inline Floats cut_to_bfloat16(const Floats& numbers) { return as_floats(stored<uint16_t>(numbers)); }

}  // namespace limn::kernels::testing
