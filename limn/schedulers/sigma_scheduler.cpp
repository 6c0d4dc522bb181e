// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/sigma_scheduler.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linspace.h>

#include "limn/base/error.h"
#include "limn/schedulers/alpha_scheduler.h"

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

}  // namespace

SigmaScheduler::SigmaScheduler(const Fields& config, const RunSettings& settings,
                               const SigmaDefaults& defaults)
    : schedule_(read_noise_schedule(config, defaults.noise)),
      spacing_(read_timestep_spacing(config, "linspace")),
      prediction_(read_prediction(config, defaults.predictions)) {
  const int64_t count = settings.num_inference_steps;
  std::vector<double> timesteps = timesteps_to_zero(spacing_, schedule_.num_train_timesteps(), count);
  for (double& timestep : timesteps) timestep = static_cast<float>(timestep);

  const SigmaTable table(schedule_.sigmas());
  std::vector<double> sigmas = run_sigmas(config, defaults.reads_interpolation, table, timesteps, count);
  const SigmaSpacing spacing =
      defaults.reads_sigma_spacing ? read_sigma_spacing(config) : SigmaSpacing::Timesteps;
  if (spacing != SigmaSpacing::Timesteps) {
    SigmaRange range{sigmas.front(), sigmas.back()};
    if (spacing != SigmaSpacing::Karras || defaults.karras_reads_range)
      range = read_sigma_range(config, range);
    sigmas = spaced_sigmas(spacing, range, count);
    timesteps.clear();
    for (double sigma : sigmas) timesteps.push_back(static_cast<float>(table.timestep_of(sigma)));
  }
  const bool ends_at_least = defaults.reads_final_sigmas_type &&
                             config.one_of("final_sigmas_type", "zero", {"zero", "sigma_min"}) == "sigma_min";
  set_tables(std::move(timesteps), with_final(sigmas, ends_at_least ? table.sigmas().front() : 0.0));
}

void SigmaScheduler::set_tables(std::vector<double> timesteps, std::vector<float> sigmas) {
  LIMN_CHECK(sigmas.size() > timesteps.size(), "fewer noise levels than steps");
  timesteps_ = std::move(timesteps);
  sigmas_ = std::move(sigmas);
}

double SigmaScheduler::init_noise_sigma() const {
  const float most = *std::max_element(sigmas_.begin(), sigmas_.end());
  return spacing_.name == "leading" ? std::sqrt(most * most + 1.0f) : most;
}

at::Tensor SigmaScheduler::scale_model_input(const at::Tensor& sample, size_t i) const {
  const float sigma = sigmas_.at(i);
  return sample / std::sqrt(sigma * sigma + 1.0f);
}

at::Tensor SigmaScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const {
  return original + noise * sigmas_.at(i);
}

at::Tensor SigmaScheduler::to_original(const at::Tensor& model_output, const at::Tensor& sample,
                                       float sigma) const {
  if (prediction_ == Prediction::Sample) return model_output;
  if (prediction_ == Prediction::Epsilon) return sample - sigma * model_output;
  const float variance = sigma * sigma + 1.0f;
  return model_output * (-sigma / std::sqrt(variance)) + sample / variance;
}

}  // namespace limn::schedulers
