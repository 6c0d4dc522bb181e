// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/measure.h"

#include <gtest/gtest.h>

namespace limn::engine {
namespace {

TEST(Measure, FindsNoNewMemoryAfterTheFirstTime) {
  GenerateRequest request;
  request.width = request.height = 256;
  const Measurement measured =
      measure(request, {.parts = {"step", "decode"}, .repeats = 3, .threads = 1}, std::stop_token());
  ASSERT_EQ(measured.parts.size(), 2u);
  for (const PartTimes& times : measured.parts) {
    ASSERT_EQ(times.page_faults.size(), 3u);
    // A map of 128 channels at 256 × 256 alone has 8,192 pages.
    EXPECT_LT(times.page_faults.back(), 1000) << times.part;
  }
}

}  // namespace
}  // namespace limn::engine
