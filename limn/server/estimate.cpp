// SPDX-License-Identifier: Apache-2.0
#include "limn/server/estimate.h"

#include <numeric>

namespace limn::server {
namespace {

constexpr size_t kSteps = 8;  // whose times are kept

double seconds(Estimate::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

void Estimate::note_step(int64_t done, int64_t total, Clock::time_point now) {
  if (done <= done_ || total != total_) {
    ++pass_;
    steps_.clear();
    step_ended_.reset();
  }
  if (step_ended_) steps_.push_back(seconds(now - *step_ended_));
  if (steps_.size() > kSteps) steps_.pop_front();
  step_ended_ = now;
  decode_began_.reset();
  done_ = done;
  total_ = total;
}

void Estimate::note_decode(int64_t done, Clock::time_point now) {
  if (decode_began_) decode_seconds_ = seconds(now - *decode_began_);
  decode_began_ = now;
  step_ended_.reset();
  decoded_ = done;
}

std::optional<double> Estimate::seconds_left() const {
  const auto steps = static_cast<double>(total_ - done_),
             pictures = static_cast<double>(pictures_ - decoded_);
  if (pass_ != passes_ || (steps > 0 && steps_.empty())) return {};
  const double sum = std::accumulate(steps_.begin(), steps_.end(), 0.0);
  const double a_step = steps_.empty() ? 0 : sum / static_cast<double>(steps_.size());
  return a_step * steps + decode_seconds_.value_or(0) * pictures;
}

}  // namespace limn::server
