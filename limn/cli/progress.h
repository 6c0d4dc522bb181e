// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "limn/engine/engine.h"

namespace limn::cli {

/// A one-line bar with the remaining time on stderr, when that is a terminal; nothing otherwise.
class ProgressBar {
 public:
  explicit ProgressBar(bool quiet);
  ~ProgressBar();
  void show(const engine::Progress& progress);

 private:
  bool active_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point
      first_step_;  // when the first step ended: it alone pays for warming up
};

}  // namespace limn::cli
