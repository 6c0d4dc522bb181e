// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "limn/training/config.h"

namespace limn::training {

/// News of a run.
struct TrainProgress {
  std::string stage;  // "training", "validating", "drawing", "saving"
  int64_t samples = 0, total = 0;
  double loss = 0;                // mean since the last line of the log
  double samples_per_second = 0;  // of all processes, over the last lines of the log
  double seconds_left = 0;        // at the pace so far, with validation, pictures and checkpoints
};

struct TrainOptions {
  std::filesystem::path output;
  bool resume = false;
  int64_t max_samples = 0;  // stop there, as if interrupted; 0: go on to run.samples
  int threads = 0;          // for arithmetic; 0: as many as there are cores
  std::stop_token stop;
  std::function<void(const TrainProgress&)> on_progress;
  std::function<void(const std::string&)> on_message;
};

struct TrainResult {
  int64_t samples = 0;
  bool finished = false;          // false: stopped before run.samples, to be resumed
  std::filesystem::path written;  // what was trained; empty when not finished and in ranks above 0
};

/// Trains as `config` says. OUTPUT gets config.toml, log.jsonl, TensorBoard events, samples/, report.html, checkpoints/, and
/// at the end the model, LoRA or embedding with its card. Stopped by `stop`, it finishes the step and writes a checkpoint.
/// The same configuration, data, threads and number of processes give the same bits, however often it was killed and
/// resumed (float32 on a CPU).
/// @throws Error{InvalidArgument}: settings, or an output folder in use; Error{OutOfMemory} predicted before starting;
///         Error{BadFile} for a loss that is not finite (the last checkpoint is from before)
TrainResult train(const TrainConfig& config, const TrainOptions& options);

}  // namespace limn::training
