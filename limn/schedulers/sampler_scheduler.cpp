// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/sampler_scheduler.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include "limn/base/error.h"
#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {

AncestralStep ancestral_step(double sigma, double sigma_next, double eta) {
  if (eta == 0) return {sigma_next, 0};
  // In float32, as k-diffusion has it: where nearly all of the next level is noise, what is left is rounding.
  const auto from = static_cast<float>(sigma), to = static_cast<float>(sigma_next);
  const float up =
      std::min(to, static_cast<float>(eta) * std::sqrt(to * to * (from * from - to * to) / (from * from)));
  return {std::sqrt(std::max(to * to - up * up, 0.0F)), up};
}

SamplerScheduler::SamplerScheduler(const Fields& config, const RunSettings& settings, const Options& options)
    : SigmaScheduler(config, settings,
                     {.noise = {.zero_snr = ZeroSnr::Finite},
                      .reads_final_sigmas_type = true,
                      .rounds_timesteps = options.rounds_timesteps}),
      options_(options),
      eta_(settings.eta.value_or(config.number("eta", 1))),
      noise_spans_schedule_(config.one_of("noise_range", "schedule", {"schedule", "run"}) == "schedule") {
  if (!(eta_ >= 0 && eta_ <= 1))
    throw Error(ErrorCode::BadFile, config.where() + ": eta", "expected a number from 0 to 1");
  levels_.assign(sigmas().begin(), sigmas().end());
  grid_ = timesteps();
  if (options_.length == Length::Chosen && levels_.size() < 3)
    throw Error(ErrorCode::InvalidArgument, "num_inference_steps",
                "expected 2 or more: the sampler goes from the first to the last level in steps of its own");
  plan(0);
}

std::vector<double> SamplerScheduler::levels_from(size_t i) const {
  const size_t step = i / static_cast<size_t>(options_.calls_per_step);
  return {levels_.begin() + static_cast<ptrdiff_t>(std::min(step, levels_.size() - 1)), levels_.end()};
}

/// Which levels the model will be asked at: what the sampler asks when every answer is zero.
void SamplerScheduler::plan(size_t first) {
  calls_.resize(std::min(calls_.size(), first));
  for (size_t i = calls_.size(); i < first; ++i)
    calls_.push_back(levels_[i / static_cast<size_t>(options_.calls_per_step)]);
  const at::Tensor nothing = at::zeros({1});
  SamplerRun dry = options_.function(
      nothing,
      {.sigmas = levels_from(first), .eta = eta_, .noise = [nothing](double, double) { return nothing; }});
  for (bool asks = dry.start(); asks; asks = dry.answer({nothing, nothing, nothing})) {
    calls_.push_back(dry.question().sigma);
    if (options_.length == Length::Chosen) break;
  }
  std::vector<double> timesteps;
  for (const double sigma : calls_) timesteps.push_back(timestep_at(sigma));
  std::vector<float> sigmas(calls_.begin(), calls_.end());
  sigmas.push_back(static_cast<float>(levels_.back()));
  set_tables(std::move(timesteps), std::move(sigmas));
}

/// The schedule's own timestep for its levels, one between those of the training for others.
double SamplerScheduler::timestep_at(double sigma) const {
  const auto level = std::ranges::find(levels_, sigma);
  const auto place = static_cast<size_t>(level - levels_.begin());
  return place < grid_.size() ? grid_[place] : timestep_of(sigma);
}

void SamplerScheduler::begin_at(size_t i) {
  run_ = {};
  plan(i);
}

at::Tensor SamplerScheduler::scale_model_input(const at::Tensor& sample, size_t i) const {
  return scaled_input(sample, calls_.at(i));
}

at::Tensor SamplerScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, size_t i) const {
  return original + noise * (i < calls_.size() ? calls_[i] : levels_.back());
}

at::Tensor SamplerScheduler::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                                  const NoiseSource& noise) {
  check_same_shape(model_output, sample);
  if (!run_) {
    const auto levels = levels_from(i);
    const std::vector<int64_t> shape = sample.sizes().vec();
    auto draw = noise.sampler(options_.noise, shape, noise_spans_schedule_ ? levels_ : levels);
    run_ = options_.function(sample, {.sigmas = levels, .eta = eta_, .noise = std::move(draw)});
    run_.start();
  }
  const auto sigma = static_cast<float>(run_.question().sigma);
  Answer answer{sample, to_original(model_output, sample, sigma), {}};
  if (options_.reads_unconditional) answer.unconditional = to_original(unconditional_, sample, sigma);
  if (!run_.answer(std::move(answer))) return run_.result();
  if (options_.length == Length::Chosen && i + 1 == calls_.size()) {
    calls_.push_back(run_.question().sigma);
    append_call(run_.question().sigma);
  }
  return run_.question().sample;
}

}  // namespace limn::schedulers
