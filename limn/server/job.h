// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limn/base/json.h"

namespace limn::server {

using Time = std::chrono::sys_time<std::chrono::milliseconds>;

/// queued → running → done | failed | cancelled; running → queued when its worker is lost or puts it back;
/// queued → cancelled. Nothing leaves the last three.
enum class JobState { Queued, Running, Done, Failed, Cancelled };
std::string_view name_of(JobState state);
std::optional<JobState> job_state_of(std::string_view name);
constexpr bool has_ended(JobState state) { return state > JobState::Running; }

/// A new name: 26 characters of Crockford's base 32, time first, so that names sort by age (ULID). Those made in one
/// process are all different and rise, also within a millisecond. Safe to call from any thread.
std::string new_id();

/// How far a running job is.
struct JobProgress {
  std::string stage;                        // "load", "denoise", "decode"; empty: not started
  int64_t done = 0, total = 0;              // of the stage: steps, or pictures while decoding
  std::optional<double> seconds_left = {};  // until the job is done; absent: not known yet
  bool operator==(const JobProgress&) const = default;
};

/// What went wrong, fit to be shown to whoever asked: without paths of the machine.
struct JobError {
  std::string code, where, message, hint;  // code: a name of all_statuses()
};

/// A request for pictures that was accepted. A plain value, as the store has it.
struct Job {
  std::string id;     // new_id()
  std::string owner;  // the name of the key that sent it; "local" without keys
  JobState state = JobState::Queued;
  bool paused = false;   // not to be claimed
  int64_t priority = 0;  // −100 to 100; the higher first
  double position = 0;   // among equals the lower first
  /// Fields of engine::request_fields(); models by their name in the catalogue, pictures as "input:SHA256".
  json::object request;
  json::object origin;  // which API it came through, and what only that needs to answer
  std::string key;      // idempotency key; empty: none
  int64_t attempt = 0;  // how often it was claimed; every write of a worker is fenced by it
  int64_t strikes = 0;  // claims in a row that ended without a further checkpoint
  std::string worker;   // that runs it, or ran it last
  std::optional<Time> lease_until;
  bool cancel_requested = false;
  JobProgress progress;
  /// Blobs of what the model answered so far, in order; kept until it ends.
  std::vector<std::string> checkpoint;
  JobError error;
  std::vector<std::string> warnings;  // what was asked for and not done
  std::vector<std::string> pictures;  // ids, in order
  Time created{};
  std::optional<Time> started, ended;
};

/// What is asked of the queue.
struct NewJob {
  std::string owner = "local";
  json::object request, origin;
  int64_t priority = 0;
  std::string key;
  std::vector<std::string> warnings;
  /// Of what the client sent, which a key used again must equal; empty: that of `request`.
  std::string fingerprint;
};

}  // namespace limn::server
