// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/parallel.h"

#include <array>
#include <cstdlib>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace limn::kernels {
namespace {

constexpr int kSlots = 4;
constexpr std::align_val_t kAlignment{64};

struct Buffer {
  float* data = nullptr;
  int64_t size = 0;
  ~Buffer() { ::operator delete(data, kAlignment); }
};

}  // namespace

int num_threads() {
#ifdef _OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

void parallel_for(int64_t count, int64_t work, FunctionRef<void(int64_t)> body) {
#ifdef _OPENMP
  constexpr int64_t kLeastShared = 1 << 20;  // operations: some ten microseconds of one thread
  const bool shared = count > 1 && work >= kLeastShared && num_threads() > 1;
#pragma omp parallel for schedule(dynamic, 1) if (shared)
#endif
  for (int64_t i = 0; i < count; ++i) body(i);
}

float* scratch(int slot, int64_t floats) {
  thread_local std::array<Buffer, kSlots> buffers;
  Buffer& buffer = buffers.at(static_cast<size_t>(slot));
  if (buffer.size < floats) {
    ::operator delete(buffer.data, kAlignment);
    buffer.data = nullptr;
    buffer.data =
        static_cast<float*>(::operator new(static_cast<size_t>(floats) * sizeof(float), kAlignment));
    buffer.size = floats;
  }
  return buffer.data;
}

}  // namespace limn::kernels
