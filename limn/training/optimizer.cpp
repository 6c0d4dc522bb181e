// SPDX-License-Identifier: Apache-2.0
#include "limn/training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

namespace limn::training {
namespace {

/// Parameters that have a gradient now, with what belongs to them.
struct Live {
  std::vector<at::Tensor> parameters, gradients, first, second, steps;
};

// Loshchilov & Hutter 2019, algorithm 2.
class AdamW : public Optimizer {
 public:
  AdamW(const OptimizerConfig& config, const std::vector<Trainable>& parameters)
      : config_(config), parameters_(parameters) {
    for (const Trainable& p : parameters_) {
      first_.push_back(at::zeros_like(p.tensor.detach()));
      second_.push_back(at::zeros_like(p.tensor.detach()));
      steps_.push_back(at::zeros({}, at::kFloat));
    }
  }

  void step(double learning_rate) override {
    const at::NoGradGuard no_grad;
    Live live;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& gradient = parameters_[i].tensor.grad();
      if (!gradient.defined()) continue;
      live.parameters.push_back(parameters_[i].tensor);
      live.gradients.push_back(gradient);
      live.first.push_back(first_[i]);
      live.second.push_back(second_[i]);
      live.steps.push_back(steps_[i].add_(1));
    }
    if (live.parameters.empty()) return;
    at::_fused_adamw_(live.parameters, live.gradients, live.first, live.second, {}, live.steps, learning_rate,
                      config_.beta1, config_.beta2, config_.weight_decay, config_.eps, /*amsgrad=*/false,
                      /*maximize=*/false);
  }

  std::map<std::string, at::Tensor> state() const override {
    std::map<std::string, at::Tensor> out;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      out["exp_avg." + parameters_[i].name] = first_[i];
      out["exp_avg_sq." + parameters_[i].name] = second_[i];
      out["step." + parameters_[i].name] = steps_[i];
    }
    return out;
  }

 private:
  OptimizerConfig config_;
  std::vector<Trainable> parameters_;
  std::vector<at::Tensor> first_, second_, steps_;
};

// AdamW whose moments are kept in 8 bits, in blocks with a scale each (Dettmers et al. 2022, §2): the first moment
// signed and linear in its square root, the second in its fourth root, which keeps small values apart.
class AdamW8Bit : public Optimizer {
 public:
  AdamW8Bit(const OptimizerConfig& config, const std::vector<Trainable>& parameters)
      : config_(config), parameters_(parameters), step_(at::zeros({}, at::kDouble)) {
    for (const Trainable& p : parameters_) {
      const int64_t blocks = (p.tensor.numel() + kBlock - 1) / kBlock;
      first_.push_back(at::zeros({blocks, kBlock}, at::kChar));
      second_.push_back(at::zeros({blocks, kBlock}, at::kByte));
      first_scale_.push_back(at::zeros({blocks, 1}, at::kFloat));
      second_scale_.push_back(at::zeros({blocks, 1}, at::kFloat));
    }
  }

  void step(double learning_rate) override {
    const at::NoGradGuard no_grad;
    const double step = step_.add_(1).item<double>();
    const double bias1 = 1 - std::pow(config_.beta1, step), bias2 = 1 - std::pow(config_.beta2, step);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& p = parameters_[i].tensor;
      if (!p.grad().defined()) continue;
      const at::Tensor flat = p.grad().contiguous().view(-1);
      at::Tensor g = at::zeros({first_[i].numel()}, flat.options());
      g.slice(0, 0, flat.numel()).copy_(flat);
      g = g.view_as(first_[i]);
      at::Tensor root = first_[i].to(at::kFloat) / 127.0;
      at::Tensor m = root * root.abs() * first_scale_[i];
      root = second_[i].to(at::kFloat) / 255.0;
      at::Tensor v = root.pow(4) * second_scale_[i];
      m = m * config_.beta1 + g * (1 - config_.beta1);
      v = v * config_.beta2 + g.square() * (1 - config_.beta2);
      const at::Tensor update = (m / bias1) / ((v / bias2).sqrt() + config_.eps);
      p.mul_(1 - learning_rate * config_.weight_decay);
      p.sub_(update.view(-1).slice(0, 0, p.numel()).view(p.sizes()) * learning_rate);
      const at::Tensor first_most = m.abs().amax(1, true), second_most = v.amax(1, true);
      first_scale_[i].copy_(first_most);
      second_scale_[i].copy_(second_most);
      const at::Tensor m_share = m / first_most.clamp_min(1e-38), v_share = v / second_most.clamp_min(1e-38);
      first_[i].copy_((m_share.abs().sqrt() * m_share.sign() * 127).round());
      second_[i].copy_((v_share.pow(0.25) * 255).ceil().clamp_max(255));  // never below: updates stay bounded
    }
  }

  std::map<std::string, at::Tensor> state() const override {
    std::map<std::string, at::Tensor> out{{"step", step_}};
    for (size_t i = 0; i < parameters_.size(); ++i) {
      out["exp_avg." + parameters_[i].name] = first_[i];
      out["exp_avg_sq." + parameters_[i].name] = second_[i];
      out["exp_avg_scale." + parameters_[i].name] = first_scale_[i];
      out["exp_avg_sq_scale." + parameters_[i].name] = second_scale_[i];
    }
    return out;
  }

 private:
  static constexpr int64_t kBlock = 256;
  OptimizerConfig config_;
  std::vector<Trainable> parameters_;
  at::Tensor step_;
  std::vector<at::Tensor> first_, second_, first_scale_, second_scale_;
};

// Shazeer & Stern 2018, algorithm 4 with a given learning rate, no first moment; as transformers' Adafactor with
// scale_parameter and relative_step off.
class Adafactor : public Optimizer {
 public:
  Adafactor(const OptimizerConfig& config, const std::vector<Trainable>& parameters)
      : config_(config), parameters_(parameters), step_(at::zeros({}, at::kDouble)) {
    for (const Trainable& p : parameters_) {
      auto rows = p.tensor.sizes().vec(), columns = rows;
      if (rows.size() < 2) {
        full_.push_back(at::zeros_like(p.tensor.detach()));
        rows_.emplace_back();
        columns_.emplace_back();
        continue;
      }
      rows.pop_back();
      columns.erase(columns.end() - 2);
      full_.emplace_back();
      rows_.push_back(at::zeros(rows, at::kFloat));
      columns_.push_back(at::zeros(columns, at::kFloat));
    }
  }

  void step(double learning_rate) override {
    const at::NoGradGuard no_grad;
    const double step = step_.add_(1).item<double>();
    const double beta2 = 1 - std::pow(step, -0.8);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& p = parameters_[i].tensor;
      if (!p.grad().defined()) continue;
      const at::Tensor squared = p.grad().square() + kEps1;
      at::Tensor update;
      if (full_[i].defined()) {
        full_[i].mul_(beta2).add_(squared, 1 - beta2);
        update = full_[i].rsqrt() * p.grad();
      } else {
        rows_[i].mul_(beta2).add_(squared.mean(-1), 1 - beta2);
        columns_[i].mul_(beta2).add_(squared.mean(-2), 1 - beta2);
        const at::Tensor row = (rows_[i] / rows_[i].mean(-1, true)).rsqrt().unsqueeze(-1);
        update = row * columns_[i].unsqueeze(-2).rsqrt() * p.grad();
      }
      const double rms =
          at::linalg_vector_norm(update).item<double>() / std::sqrt(static_cast<double>(p.numel()));
      update = update * (learning_rate / std::max(1.0, rms / kClip));
      if (config_.weight_decay != 0) p.add_(p, -config_.weight_decay * learning_rate);
      p.sub_(update);
    }
  }

  std::map<std::string, at::Tensor> state() const override {
    std::map<std::string, at::Tensor> out{{"step", step_}};
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (full_[i].defined()) {
        out["full." + parameters_[i].name] = full_[i];
      } else {
        out["rows." + parameters_[i].name] = rows_[i];
        out["columns." + parameters_[i].name] = columns_[i];
      }
    }
    return out;
  }

 private:
  static constexpr double kEps1 = 1e-30, kClip = 1.0;
  OptimizerConfig config_;
  std::vector<Trainable> parameters_;
  at::Tensor step_;
  std::vector<at::Tensor> full_, rows_, columns_;
};

template <typename O>
std::unique_ptr<Optimizer> make(const OptimizerConfig& config, const std::vector<Trainable>& parameters) {
  return std::make_unique<O>(config, parameters);
}

constexpr OptimizerEntry kOptimizers[] = {
    {"adamw", "Loshchilov & Hutter 2019, algorithm 2; one fused pass", 8, make<AdamW>},
    {"adamw_8bit", "AdamW with moments of 8 bits (Dettmers et al. 2022)", 2.1, make<AdamW8Bit>},
    {"adafactor", "Shazeer & Stern 2018, algorithm 4, with the given learning rate", 0.1, make<Adafactor>},
};

constexpr LearningRateSchedule kSchedules[] = {
    {"constant", "stays", [](double, double) { return 1.0; }},
    {"linear", "falls evenly",
     [](double progress, double last) { return last + (1 - last) * (1 - progress); }},
    {"cosine", "falls along half a cosine (Loshchilov & Hutter 2017)",
     [](double progress, double last) {
       return last + (1 - last) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
     }},
};

constexpr EmaKind kEmaKinds[] = {
    {"none", "no average"},
    {"constant", "exponential, its decay rising as (1 + n) / (10 + n) at the start, as diffusers' EMAModel"},
    {"power", "power function (Karras et al. 2024, eq. 4 and 9): the average's width is a share of the run"},
};

/// γ of a power-function average whose width is sigma_rel: Karras et al. 2024, eq. 126, solved for γ.
double gamma_of(double sigma_rel) {
  const double t = 1 / (sigma_rel * sigma_rel);
  double low = 0, high = t;  // (γ + 2)² (γ + 3) = (γ + 1) t grows in γ where γ is positive
  const auto excess = [t](double g) { return (g + 2) * (g + 2) * (g + 3) - (g + 1) * t; };
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (excess(middle) < 0 ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

std::span<const OptimizerEntry> optimizers() { return kOptimizers; }
std::span<const LearningRateSchedule> learning_rate_schedules() { return kSchedules; }
std::span<const EmaKind> ema_kinds() { return kEmaKinds; }

double clip_gradients(const std::vector<Trainable>& parameters, double most) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const Trainable& p : parameters)
    if (p.tensor.grad().defined()) gradients.push_back(p.tensor.grad());
  if (gradients.empty()) return 0;
  const double norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2))).item<double>();
  if (norm > most) at::_foreach_mul_(gradients, most / (norm + 1e-6));
  return norm;
}

double learning_rate_factor(const LearningRateSchedule& schedule, int64_t step, int64_t warmup, int64_t total,
                            double last) {
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
  const double progress =
      static_cast<double>(step - warmup) / static_cast<double>(std::max<int64_t>(1, total - warmup));
  return schedule.factor(std::min(progress, 1.0), last);
}

Ema::Ema(const Config& config, const std::vector<Trainable>& parameters) : config_(config) {
  if (config.kind == "none") return;
  if (config.kind == "power") gamma_ = gamma_of(config.sigma_rel);
  parameters_ = parameters;
  for (const Trainable& p : parameters) values_.push_back(p.tensor.detach().clone());
}

double Ema::decay_at(int64_t step) const {
  const auto n = static_cast<double>(step);
  if (config_.kind == "power") return std::pow(1 - 1 / n, gamma_ + 1);
  return n <= 1 ? 0 : std::min(config_.decay, n / (9 + n));
}

void Ema::update(int64_t step) {
  if (!active()) return;
  const at::NoGradGuard no_grad;
  const double weight = 1 - decay_at(step);
  for (size_t i = 0; i < values_.size(); ++i) values_[i].lerp_(parameters_[i].tensor.detach(), weight);
}

void Ema::swap() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < values_.size(); ++i) {
    const at::Tensor kept = values_[i].clone();
    values_[i].copy_(parameters_[i].tensor);
    parameters_[i].tensor.copy_(kept);
  }
}

std::map<std::string, at::Tensor> Ema::state() const {
  std::map<std::string, at::Tensor> out;
  for (size_t i = 0; i < values_.size(); ++i) out[parameters_[i].name] = values_[i];
  return out;
}

}  // namespace limn::training
