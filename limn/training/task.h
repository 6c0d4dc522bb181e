// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "limn/training/batches.h"
#include "limn/training/config.h"
#include "limn/training/optimizer.h"
#include "limn/training/run_log.h"

namespace limn::training {

/// What a run trains: its parameters, its loss, and what it writes. The loop (trainer.cpp) knows nothing more of it.
/// One thread at a time.
class Task {
 public:
  virtual ~Task() = default;

  /// Groups of parameters with a learning rate each: all are trained by one optimizer a group.
  struct Group {
    std::string name;
    double learning_rate;
    std::vector<Trainable> parameters;
  };
  virtual const std::vector<Group>& groups() const = 0;

  /// How this step's samples are read.
  virtual LoadOptions load_options(int64_t samples_seen) const = 0;
  virtual const CaptionEncoder* captions() const { return nullptr; }

  /// The loss of one batch, ready for backward().
  virtual at::Tensor loss(const Batch& batch, int64_t step) = 0;
  /// A second player with its own parameters, trained after the first on the same batch (a discriminator), or null.
  virtual const Group* adversary() const { return nullptr; }
  /// Undefined while it does not play yet.
  virtual at::Tensor adversary_loss() { return {}; }
  /// Parts of the last loss, for the log.
  virtual std::vector<Scalar> terms() const { return {}; }

  /// Mean loss on held-out examples, in all and per band of noise levels. The same examples, noise and levels each time.
  virtual std::vector<Scalar> validate(const datasets::Dataset& held_out, int64_t samples) = 0;
  /// Pictures that show how far it is.
  virtual std::vector<SamplePicture> preview(const datasets::Dataset& held_out) = 0;
  /// How near new pictures come to training pictures, beside how near held-out pictures do: for the model card.
  virtual json::object memorisation(const datasets::Dataset& train, const datasets::Dataset& held_out) {
    return {};
  }
  /// Writes what was trained. @return  the file or folder
  virtual std::filesystem::path write(const std::filesystem::path& folder) = 0;
};

/// @param output  the run's folder, for caches
/// @throws what reading the model throws; Error{InvalidArgument} for settings that do not fit it
std::unique_ptr<Task> make_autoencoder_task(const TrainConfig& config, const std::filesystem::path& output);
std::unique_ptr<Task> make_denoising_task(const TrainConfig& config, const std::filesystem::path& output);

/// Arithmetic of the forward passes while it lives: bfloat16 where autocast knows how, if `on`.
class Autocast {
 public:
  Autocast(bool on, c10::DeviceType device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool on_, before_;
  c10::DeviceType device_;
};

/// Whether run.precision and the machine mean bfloat16.
bool wants_bfloat16(const TrainConfig& config);
at::Device device_of(const TrainConfig& config);

}  // namespace limn::training
