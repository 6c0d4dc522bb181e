// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/sigma_scheduler.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linspace.h>

#include "limn/base/error.h"
#include "limn/schedulers/alpha_scheduler.h"
#include "limn/schedulers/level_schedule.h"

namespace limn::schedulers {
namespace {

/// σ of the timesteps, or with interpolation_type "log_linear" `count` + 1 values even in log σ.
std::vector<double> run_sigmas(const Fields& config, bool reads_interpolation, const SigmaTable& table,
                               const std::vector<double>& timesteps, int64_t count) {
  std::vector<double> out;
  if (reads_interpolation &&
      config.one_of("interpolation_type", "linear", {"linear", "log_linear"}) == "log_linear") {
    const auto log_of = [](float sigma) { return static_cast<float>(std::log(static_cast<double>(sigma))); };
    const at::Tensor sigmas = at::exp(
        at::linspace(log_of(table.sigmas().back()), log_of(table.sigmas().front()), count + 1, at::kFloat));
    const float* data = sigmas.const_data_ptr<float>();
    return {data, data + sigmas.numel()};
  }
  for (double timestep : timesteps) out.push_back(table.sigma_at(timestep));
  return out;
}

SigmaTable table_of(const Fields& config, const NoiseSchedule& schedule, bool edm) {
  return edm ? SigmaTable::log_spaced(read_sigma_range(config, kEdmRange), schedule.num_train_timesteps())
             : SigmaTable(schedule.sigmas());
}

}  // namespace

ZeroSnr zero_snr_of_levels(const Fields& config) {
  return config.has("sigma_schedule") || config.has("sigmas") ? ZeroSnr::Finite : ZeroSnr::Ignored;
}

SigmaScheduler::SigmaScheduler(const Fields& config, const RunSettings& settings,
                               const SigmaDefaults& defaults)
    : schedule_(read_noise_schedule(config, defaults.noise)),
      spacing_(read_timestep_spacing(config, "linspace")),
      prediction_(read_prediction(config, defaults.predictions)),
      sigma_data_(config.optional_number("sigma_data")),
      table_(table_of(config, schedule_, sigma_data_.has_value())) {
  if (sigma_data_ && !(*sigma_data_ > 0))
    throw Error(ErrorCode::BadFile, config.where() + ": sigma_data", "expected a number above 0");
  if (sigma_data_ && prediction_ == Prediction::Sample)
    throw Error(ErrorCode::Unsupported, config.where() + ": prediction_type",
                "'sample' does not go with sigma_data", "known: epsilon, v_prediction");
  if (defaults.reads_sigma_schedule) {
    if (const auto levels =
            read_level_schedule(config, table_, sigma_data_.has_value(), settings.num_inference_steps)) {
      std::vector<double> timesteps;
      for (size_t i = 0; i + 1 < levels->sigmas.size(); ++i)
        timesteps.push_back(timestep_of(levels->sigmas[i]));
      init_noise_sigma_ = levels->init_noise_sigma;
      set_tables(std::move(timesteps), {levels->sigmas.begin(), levels->sigmas.end()});
      return;
    }
  }
  read_levels(config, settings, defaults);
}

void SigmaScheduler::read_levels(const Fields& config, const RunSettings& settings,
                                 const SigmaDefaults& defaults) {
  const int64_t count = settings.num_inference_steps;
  std::vector<double> timesteps = timesteps_to_zero(spacing_, schedule_.num_train_timesteps(), count);
  for (double& timestep : timesteps) timestep = static_cast<float>(timestep);

  std::vector<double> sigmas = run_sigmas(config, defaults.reads_interpolation, table_, timesteps, count);
  const SigmaSpacing spacing =
      defaults.reads_sigma_spacing ? read_sigma_spacing(config) : SigmaSpacing::Timesteps;
  if (spacing != SigmaSpacing::Timesteps) {
    SigmaRange range{sigmas.front(), sigmas.back()};
    if (spacing != SigmaSpacing::Karras || defaults.karras_reads_range)
      range = read_sigma_range(config, range);
    sigmas = spaced_sigmas(spacing, range, count);
    const bool rounds = defaults.rounds_timesteps && spacing == SigmaSpacing::Karras;
    timesteps.clear();
    for (double sigma : sigmas) {
      const double timestep = table_.timestep_of(sigma);
      timesteps.push_back(static_cast<float>(rounds ? std::nearbyint(timestep) : timestep));
    }
  }
  const bool ends_at_least = defaults.reads_final_sigmas_type &&
                             config.one_of("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "sigma_min";
  set_tables(std::move(timesteps), with_final(sigmas, ends_at_least ? table_.sigmas().front() : 0.0));
}

double SigmaScheduler::timestep_of(double sigma) const {
  if (sigma_data_) return 0.25 * std::log(static_cast<float>(sigma));
  return static_cast<float>(table_.timestep_of(sigma));
}

void SigmaScheduler::append_call(double sigma) {
  timesteps_.push_back(timestep_of(sigma));
  sigmas_.insert(sigmas_.end() - 1, static_cast<float>(sigma));
}

void SigmaScheduler::set_tables(std::vector<double> timesteps, std::vector<float> sigmas) {
  LIMN_CHECK(sigmas.size() > timesteps.size(), "fewer noise levels than steps");
  timesteps_ = std::move(timesteps);
  sigmas_ = std::move(sigmas);
}

double SigmaScheduler::init_noise_sigma() const {
  if (init_noise_sigma_) return *init_noise_sigma_;
  const float most = *std::max_element(sigmas_.begin(), sigmas_.end());
  return spacing_.name == "leading" ? std::sqrt(most * most + 1.0f) : most;
}

at::Tensor SigmaScheduler::scaled_input(const at::Tensor& sample, double level) const {
  const auto sigma = static_cast<float>(level);
  const auto data = static_cast<float>(sigma_data_.value_or(1.0));
  return sample / std::sqrt(sigma * sigma + data * data);
}

at::Tensor SigmaScheduler::scale_model_input(const at::Tensor& sample, size_t i) const {
  return scaled_input(sample, sigmas_.at(i));
}

at::Tensor SigmaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const {
  return original + noise * sigmas_.at(i);
}

at::Tensor SigmaScheduler::to_original(const at::Tensor& model_output, const at::Tensor& sample,
                                       float sigma) const {
  if (sigma_data_) {  // Karras et al. 2022, table 1, "EDM"; for v-prediction as CosXL has it
    const double data = *sigma_data_, all = sigma * sigma + data * data;
    const double out = sigma * data / std::sqrt(all) * (prediction_ == Prediction::VPrediction ? -1 : 1);
    return data * data / all * sample + out * model_output;
  }
  if (prediction_ == Prediction::Sample) return model_output;
  if (prediction_ == Prediction::Epsilon) return sample - sigma * model_output;
  const float variance = sigma * sigma + 1.0f;
  return model_output * (-sigma / std::sqrt(variance)) + sample / variance;
}

}  // namespace limn::schedulers
