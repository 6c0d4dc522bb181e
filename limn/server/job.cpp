// SPDX-License-Identifier: Apache-2.0
#include "limn/server/job.h"

#include <iterator>
#include <mutex>

#include <openssl/rand.h>

#include "limn/base/error.h"

namespace limn::server {
namespace {

constexpr std::string_view kStates[] = {"queued", "running", "done", "failed", "cancelled"};  // as JobState
constexpr uint64_t kHalf = (uint64_t{1} << 40) - 1;  // the random part: two halves of 40 bits

/// The last name that was made.
struct Ulid {
  uint64_t milliseconds = 0, high = 0, low = 0;

  void step() {
    low = (low + 1) & kHalf;
    if (low == 0) high = (high + 1) & kHalf;
    if (low == 0 && high == 0) ++milliseconds;
  }
  void draw() {
    uint64_t bits[2];
    LIMN_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bits), sizeof bits) == 1, "no random numbers");
    high = bits[0] & kHalf;
    low = bits[1] & kHalf;
  }
};

void append_base32(std::string& out, uint64_t value, int digits) {
  for (int shift = 5 * (digits - 1); shift >= 0; shift -= 5)
    out += "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(value >> shift) & 31];
}

}  // namespace

std::string_view name_of(JobState state) { return kStates[static_cast<size_t>(state)]; }

std::optional<JobState> job_state_of(std::string_view name) {
  for (size_t i = 0; i < std::size(kStates); ++i)
    if (kStates[i] == name) return static_cast<JobState>(i);
  return std::nullopt;
}

std::string new_id() {
  static std::mutex lock;
  static Ulid last;
  const std::lock_guard guard(lock);
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto milliseconds = static_cast<uint64_t>(now.time_since_epoch().count());
  if (milliseconds > last.milliseconds) {
    last.milliseconds = milliseconds;
    last.draw();
  } else {
    last.step();
  }
  std::string id;
  append_base32(id, last.milliseconds, 10);
  append_base32(id, last.high, 8);
  append_base32(id, last.low, 8);
  return id;
}

}  // namespace limn::server
