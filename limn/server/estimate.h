// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace limn::server {

/// How long a run will still take, from how long its last steps and pictures took. Says nothing before it knows.
class Estimate {
 public:
  using Clock = std::chrono::steady_clock;

  /// @param passes          how often the steps are counted anew: 2 with a second pass or a refiner; 0: it cannot be known
  /// @param decode_seconds  of a picture, from an earlier run; absent: not known
  Estimate(int64_t passes, int64_t pictures, std::optional<double> decode_seconds)
      : passes_(passes), pictures_(pictures), decode_seconds_(decode_seconds) {}

  void note_step(int64_t done, int64_t total, Clock::time_point now);
  void note_decode(int64_t done, Clock::time_point now);  // before each picture
  std::optional<double> seconds_left() const;

 private:
  int64_t passes_, pictures_;
  std::optional<double> decode_seconds_;
  int64_t pass_ = 0, done_ = 0, total_ = 0, decoded_ = 0;
  std::optional<Clock::time_point> step_ended_, decode_began_;  // of what goes on now
  std::deque<double> steps_;                                    // seconds, of the last ones
};

}  // namespace limn::server
