// SPDX-License-Identifier: Apache-2.0
#pragma once

// What kernels are compiled for: AVX2, AVX-512 and NEON with vectors of a known length. Older processors get LibTorch.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
