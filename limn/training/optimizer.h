// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace limn::training {

/// Something trained, by the name it has in checkpoints. The tensor is a leaf that requires gradients.
struct Trainable {
  std::string name;
  at::Tensor tensor;
};

struct OptimizerConfig {
  std::string name = "adamw";
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

/// Turns gradients into changes. State depends on the calls alone. One thread at a time.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One step with the gradients the parameters hold; parameters without a gradient stay as they are.
  virtual void step(double learning_rate) = 0;
  /// Everything a checkpoint must hold, by name. Writing into the tensors restores the state.
  virtual std::map<std::string, at::Tensor> state() const = 0;
};

/// One row of the table of optimizers.
struct OptimizerEntry {
  std::string_view name;
  std::string_view source;
  double state_bytes;  // per parameter, for the memory plan
  std::unique_ptr<Optimizer> (*make)(const OptimizerConfig& config, const std::vector<Trainable>& parameters);
};
std::span<const OptimizerEntry> optimizers();

/// Scales the gradients so that their norm together is at most `most` (Pascanu et al. 2013).
/// @return  the norm before
double clip_gradients(const std::vector<Trainable>& parameters, double most);

/// One row of the table of learning-rate schedules.
struct LearningRateSchedule {
  std::string_view name;
  std::string_view help;
  /// @param progress  0 to 1 of the steps after warm-up
  double (*factor)(double progress, double last);
};
std::span<const LearningRateSchedule> learning_rate_schedules();

/// The factor of the learning rate at `step`: rises over `warmup` steps, then follows the schedule to `total`.
/// @param last  the factor that falling schedules end with
double learning_rate_factor(const LearningRateSchedule& schedule, int64_t step, int64_t warmup, int64_t total,
                            double last);

/// A moving average of the parameters.
class Ema {
 public:
  struct Config {
    std::string kind = "none";  // of ema_kinds()
    double decay = 0.9999;      // of "constant"
    double sigma_rel = 0.05;    // of "power": width as a share of the run (Karras et al. 2024, §3.1)
  };
  Ema(const Config& config, const std::vector<Trainable>& parameters);
  /// After optimizer step `step`, counted from 1.
  void update(int64_t step);
  /// Exchanges the averages with the parameters' values: the network is then the averaged one, until the next call.
  void swap();
  bool active() const { return !values_.empty(); }
  std::map<std::string, at::Tensor> state() const;
  double decay_at(int64_t step) const;

 private:
  Config config_;
  double gamma_ = 0;
  std::vector<Trainable> parameters_;
  std::vector<at::Tensor> values_;
};
struct EmaKind {
  std::string_view name;
  std::string_view source;
};
std::span<const EmaKind> ema_kinds();

}  // namespace limn::training
