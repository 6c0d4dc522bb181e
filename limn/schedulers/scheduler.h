// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "limn/base/json.h"
#include "limn/schedulers/noise_source.h"

namespace limn::schedulers {

/// What the model's output means. v: Salimans & Ho 2022, eq. 11.
enum class Prediction { Epsilon, VPrediction, Sample };
Prediction prediction_of(std::string_view diffusers_name);  // "epsilon", "v_prediction", "sample"
std::string_view name_of(Prediction prediction);

/// What one run asks for; a plain value.
struct RunSettings {
  int64_t num_inference_steps = 50;
  std::optional<double>
      eta;  // share of fresh noise; absent: the algorithm's own. Ignored by those without takes_eta
};

/// Turns model outputs into less noisy samples: one instance, one run, one thread at a time.
/// Results equal those of the diffusers class of the same name for the same configuration.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// The timesteps the model is asked at, in order, one entry a model call (diffusers' `timesteps`).
  virtual const std::vector<double>& timesteps() const = 0;
  /// Model calls per step of the schedule: 2 for Heun, else 1 (diffusers' `order`).
  virtual int64_t order() const { return 1; }
  /// Called once before anything below when a run does not start at timesteps()[0] (image to image).
  virtual void begin_at(size_t i) {}
  /// The standard deviation to scale initial unit noise by.
  virtual double init_noise_sigma() const = 0;

  /// @param sample  [batch, channels, height, width], at timesteps()[i]
  virtual at::Tensor scale_model_input(const at::Tensor& sample, size_t i) const = 0;

  /// One model call's worth of progress. Calls come in order of i, starting anywhere (image to image).
  /// @param model_output, sample  [batch, channels, height, width], float32
  /// @return                      the sample at timesteps()[i + 1]
  virtual at::Tensor step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                          const NoiseSource& noise) = 0;

  /// Whether step() needs the model's unconditional output besides the guided one (CFG++: Chung et al. 2024).
  virtual bool reads_unconditional() const { return false; }
  /// Called before step() where reads_unconditional(). @param unconditional  as step's model_output
  virtual void set_unconditional(const at::Tensor& unconditional) {}

  /// Clean samples noised to the level of timesteps()[i] (diffusers' add_noise).
  virtual at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const = 0;
};

/// One row of the table of schedulers.
struct SchedulerEntry {
  std::string_view name;                     // limn's: "euler_ancestral"
  std::string_view class_name;               // diffusers': "EulerAncestralDiscreteScheduler"
  std::string_view source;                   // paper and equation
  std::span<const std::string_view> fields;  // what it reads of a scheduler_config.json
  /// @param config  a scheduler_config.json; fields the class does not read are ignored, as diffusers does
  /// @param where   the file it came from, for errors
  /// @throws Error{BadFile, Unsupported} at the field that is wrong or cannot be honoured,
  ///         Error{InvalidArgument} for a number of steps the schedule cannot have
  std::unique_ptr<Scheduler> (*make)(const json::object& config, const RunSettings& settings,
                                     const std::string& where);
  bool one_picture_a_batch = false;  // its steps depend on all pictures of a batch together
  bool takes_eta = false;
};
std::span<const SchedulerEntry> all();

/// One row of the table of schedules that --schedule names: which config field it sets ("karras" sets
/// use_karras_sigmas, "trailing" sets timestep_spacing, …).
struct ScheduleEntry {
  std::string_view name;
  std::string_view source;
  std::string_view field;  // config field it sets
  std::string_view value;  // its value, as JSON text
};
std::span<const ScheduleEntry> all_schedules();

/// The configuration that diffusers' from_config of the entry's class makes of `config`, a
/// scheduler_config.json written for any class: fields this class reads are taken over, others and those
/// named in "_use_default_values" are dropped, so that the class's own defaults hold. Then `schedule`, where
/// not null, sets its field and turns rival sigma schedules off.
/// @throws Error{InvalidArgument} at "schedule", naming who takes it, when the class does not read the field
json::object config_for(const SchedulerEntry& entry, const json::object& config,
                        const ScheduleEntry* schedule = nullptr);

}  // namespace limn::schedulers
