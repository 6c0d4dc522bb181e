// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "limn/base/json.h"
#include "limn/image/image.h"

namespace limn::training {

/// A number of a run at a moment: "loss", "learning_rate", "samples_per_second", "memory_mib", "validation/t000-099".
struct Scalar {
  std::string name;
  double value;
};

/// A sample picture of a run.
struct SamplePicture {
  std::string prompt;
  Image image;  // RGB
};

/// What a training run tells, in its folder: log.jsonl (one JSON object a moment: "samples", "step", "seconds" and the
/// scalars), TensorBoard event files, samples/SAMPLES.png (a sheet of labelled pictures) and report.html, self-contained:
/// curves, the sheets over time with a row a prompt, settings. One thread at a time.
class RunLog {
 public:
  /// Opens the folder's log, or begins it. What was logged after `samples` is dropped: a resumed run says it again.
  /// @param settings  shown in the report
  RunLog(const std::filesystem::path& folder, int64_t samples, const json::object& settings);
  ~RunLog();

  void add(int64_t samples, int64_t step, std::span<const Scalar> scalars);
  void add_pictures(int64_t samples, int64_t step, std::span<const SamplePicture> pictures);
  /// Writes report.html anew, atomically.
  void write_report() const;
  /// Seconds of training so far, over all resumptions.
  double seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace limn::training
