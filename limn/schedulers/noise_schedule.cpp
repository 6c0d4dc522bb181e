// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumprod.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/tensor.h>

#include "limn/base/error.h"

namespace limn::schedulers {
namespace {

constexpr int64_t kMostTrainTimesteps = 100'000;

// Nichol & Dhariwal 2021, eq. 17.
double cosine_alpha_bar(double t) {
  const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
  return c * c;
}

double exponential_alpha_bar(double t) { return std::exp(t * -12.0); }

double laplace_alpha_bar(double t) {
  const double lambda = -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::abs(0.5 - t) + 1e-6);
  const double snr = std::exp(lambda);
  return std::sqrt(snr / (1 + snr));
}

at::Tensor betas_for(double (*alpha_bar)(double), int64_t count) {
  std::vector<double> betas;
  for (int64_t i = 0; i < count; ++i) {
    const double from = static_cast<double>(i) / count, to = static_cast<double>(i + 1) / count;
    betas.push_back(std::min(1 - alpha_bar(to) / alpha_bar(from), 0.999));
  }
  return at::tensor(betas).to(at::kFloat);
}

at::Tensor named_betas(const std::string& name, double start, double end, int64_t count) {
  const auto linspace = [&](double from, double to) { return at::linspace(from, to, count, at::kFloat); };
  if (name == "linear") return linspace(start, end);
  if (name == "scaled_linear") return at::pow(linspace(std::pow(start, 0.5), std::pow(end, 0.5)), 2);
  if (name == "sigmoid") return at::sigmoid(linspace(-6, 6)) * (end - start) + start;
  if (name == "squaredcos_cap_v2") return betas_for(cosine_alpha_bar, count);
  if (name == "exp") return betas_for(exponential_alpha_bar, count);
  return betas_for(laplace_alpha_bar, count);
}

// Lin et al. 2023, algorithm 1.
at::Tensor rescale_zero_terminal_snr(const at::Tensor& betas) {
  const at::Tensor root = at::cumprod(1.0 - betas, 0).sqrt();
  const at::Tensor first = root[0], last = root[-1];
  const at::Tensor alpha_bar = at::pow((root - last) * (first / (first - last)), 2);
  const at::Tensor alphas = alpha_bar.slice(0, 1) / alpha_bar.slice(0, 0, -1);
  return 1 - at::cat({alpha_bar.slice(0, 0, 1), alphas});
}

at::Tensor read_betas(const Fields& config, const NoiseDefaults& defaults, const std::string& name) {
  const int64_t count = config.integer("num_train_timesteps", 1000, 2, kMostTrainTimesteps);
  const double start = config.number("beta_start", defaults.beta_start);
  const double end = config.number("beta_end", defaults.beta_end);
  const std::vector<double> trained = config.numbers("trained_betas", {});
  const bool is_trained = config.has("trained_betas");
  if (is_trained && static_cast<int64_t>(trained.size()) != count)
    throw Error(ErrorCode::BadFile, config.where() + ": trained_betas",
                "expected num_train_timesteps = " + std::to_string(count) + " numbers, found " +
                    std::to_string(trained.size()));
  const at::Tensor betas =
      is_trained ? at::tensor(trained).to(at::kFloat) : named_betas(name, start, end, count);
  if (!(betas > 0).logical_and(betas < 1).all().item<bool>())
    throw Error(ErrorCode::BadFile,
                config.where() + ": " + (is_trained ? "trained_betas" : "beta_start, beta_end"),
                "gives noise variances outside (0, 1)");
  return betas;
}

}  // namespace

void check_count(int64_t count, int64_t most) {
  if (count < 1 || count > most)
    throw Error(ErrorCode::InvalidArgument, "num_inference_steps",
                "expected 1 to " + std::to_string(most) + " steps, found " + std::to_string(count),
                "the model was trained with no more; ask for fewer");
}

namespace {

// Rounding can make T, T − T/N, … one longer than N and end at −1, which is no timestep.
std::vector<double> trailing(int64_t train, int64_t last, int64_t count) {
  const double ratio = static_cast<double>(train) / count;
  const double delta = (last - ratio) - last;
  const auto length = static_cast<int64_t>(std::ceil(-last / -ratio));
  std::vector<double> out;
  for (int64_t i = 0; i < length; ++i) {
    const double timestep = std::nearbyint(last + i * delta) - 1;
    if (timestep >= 0) out.push_back(timestep);
  }
  return out;
}

std::vector<double> leading(int64_t ratio, int64_t count, int64_t offset) {
  std::vector<double> out;
  for (int64_t i = count; i-- > 0;) out.push_back(static_cast<double>(i * ratio + offset));
  return out;
}

}  // namespace

std::vector<float> NoiseSchedule::sigmas() const {
  const at::Tensor alpha = at::tensor(alphas_cumprod);
  const at::Tensor sigmas = at::sqrt((1.0 - alpha) / alpha);  // LibTorch's root can be a bit off std::sqrt
  return {sigmas.const_data_ptr<float>(), sigmas.const_data_ptr<float>() + sigmas.numel()};
}

NoiseSchedule read_noise_schedule(const Fields& config, const NoiseDefaults& defaults) {
  const bool zero_snr =
      defaults.zero_snr != ZeroSnr::Ignored && config.boolean("rescale_betas_zero_snr", false);
  NoiseSchedule out;
  out.beta_schedule = config.one_of("beta_schedule", "linear", defaults.beta_schedules);
  at::Tensor betas = read_betas(config, defaults, out.beta_schedule);
  if (zero_snr) betas = rescale_zero_terminal_snr(betas);
  const at::Tensor alphas_cumprod = at::cumprod(1.0 - betas, 0).contiguous();
  const float* data = alphas_cumprod.const_data_ptr<float>();
  out.alphas_cumprod.assign(data, data + alphas_cumprod.numel());
  const double terminal =
      config.number("zero_snr_alpha", defaults.zero_snr == ZeroSnr::Finite ? std::exp2(-24.0) : 0.0);
  if (zero_snr && terminal > 0) out.alphas_cumprod.back() = static_cast<float>(terminal);
  const auto& alpha = out.alphas_cumprod;
  const bool falls = std::adjacent_find(alpha.begin(), alpha.end(), std::less_equal<float>()) == alpha.end();
  if (!falls || !(alpha.front() < 1) || !(alpha.back() > 0 || zero_snr))
    throw Error(ErrorCode::BadFile, config.where() + ": beta_start, beta_end",
                "the noise schedule leaves the range of float32");
  if (config.boolean("downcast_alphas_cumprod", false))  // A1111 before 1.7.0
    for (float& value : out.alphas_cumprod) value = static_cast<float>(c10::Half(value));
  return out;
}

TimestepSpacing read_timestep_spacing(const Fields& config, std::string_view fallback) {
  TimestepSpacing out;
  out.name = config.one_of("timestep_spacing", fallback, {"linspace", "leading", "trailing"});
  out.steps_offset = config.integer("steps_offset", 0, 0, kMostTrainTimesteps);
  return out;
}

std::vector<double> timesteps_to_zero(const TimestepSpacing& spacing, int64_t train, int64_t count) {
  check_count(count, train);
  if (spacing.name == "trailing") return trailing(train, train, count);
  if (spacing.name == "leading") return leading(train / count, count, spacing.steps_offset);
  std::vector<double> out;
  const double step = count > 1 ? static_cast<double>(train - 1) / (count - 1) : 0;
  for (int64_t i = count; i-- > 0;) out.push_back(i > 0 && i == count - 1 ? train - 1 : i * step);
  return out;
}

std::vector<double> timesteps_above_zero(const TimestepSpacing& spacing, int64_t train, int64_t last,
                                         int64_t count) {
  check_count(count, train);
  if (spacing.name == "trailing") return trailing(train, last, count);
  if (spacing.name == "leading") {
    check_count(count, last - 1);
    std::vector<double> out = leading(last / (count + 1), count + 1, spacing.steps_offset);
    out.pop_back();
    return out;
  }
  std::vector<double> out;
  const double step = static_cast<double>(last - 1) / count;
  for (int64_t i = count; i > 0; --i) out.push_back(std::nearbyint(i == count ? last - 1 : i * step));
  return out;
}

}  // namespace limn::schedulers
