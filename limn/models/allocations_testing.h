// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include <c10/core/Allocator.h>

namespace limn::models::testing {

/// Bytes that tensors take on the CPU, as the allocator tells profilers.
class Allocations : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    now_ += bytes;
    most = std::max(most, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t most = 0;

 private:
  int64_t now_ = 0;
};

}  // namespace limn::models::testing
