// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "limn/engine/request.h"

namespace limn::engine {

struct MeasuredModel;

/// A part of a run that can be timed alone; one table, measured_parts().
struct MeasuredPart {
  std::string_view name, help;
  /// Does it for the nth time. What `model` refers to must live as long as the result.
  std::function<void(int64_t n)> (*begin)(const MeasuredModel& model);
};
std::span<const MeasuredPart> measured_parts();

struct MeasureSettings {
  std::vector<std::string> parts;  // names of measured_parts(); empty: all
  int64_t repeats = 3;             // timed, after one that is not
  int threads = 0;                 // for arithmetic; 0: as many as there are cores
};

/// What a part took, repeat by repeat.
struct PartTimes {
  std::string part;
  std::vector<double> seconds;
  std::vector<int64_t>
      page_faults;  // of the whole process, without reads from a disk: memory that was new to it
};

/// What was measured and with what. A plain value.
struct Measurement {
  std::string model, dtype, device;
  int64_t width = 0, height = 0;
  int64_t branches = 0;  // of guidance: the U-Net's batch
  int threads = 0;
  double load_seconds = 0;
  std::vector<PartTimes> parts;
};

/// Loads the request's model once and times parts of a run as the engine does them, on seeded noise.
/// @throws Error as Engine::generate; Error{InvalidArgument} for a part it does not know; Error{Cancelled} between
///         repeats, once stop is requested
Measurement measure(const GenerateRequest& request, const MeasureSettings& settings,
                    std::stop_token stop = {});

}  // namespace limn::engine
