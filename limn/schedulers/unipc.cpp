// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/unipc.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/tensor.h>

#include "limn/base/error.h"
#include "limn/schedulers/alpha_scheduler.h"

namespace limn::schedulers {
namespace {

/// The first `count` unknowns of the system whose row k is Σ rᵢᵏ · ρᵢ = bₖ.
std::vector<float> solve_vandermonde(const std::vector<float>& r, const std::vector<float>& b,
                                     int64_t count) {
  std::vector<float> rows;
  for (int64_t k = 0; k < count; ++k)
    for (int64_t i = 0; i < count; ++i) rows.push_back(static_cast<float>(std::pow(r[i], k)));
  const at::Tensor matrix = at::tensor(rows).reshape({count, count});
  const at::Tensor right = at::tensor(std::vector<float>(b.begin(), b.begin() + count));
  const at::Tensor solved = at::linalg_solve(matrix, right).contiguous();
  return {solved.const_data_ptr<float>(), solved.const_data_ptr<float>() + count};
}

}  // namespace

/// The parts of a step that predictor and corrector share.
struct UniPc::Update {
  at::Tensor base;                      // the first-order step
  float scale = 0;                      // of the higher-order terms: −α·B(h), or −σ·B(h)
  std::vector<at::Tensor> differences;  // (m₋ᵢ − m₀) / rᵢ
  std::vector<float> r, b;
};

UniPc::UniPc(const Fields& config, const RunSettings& settings)
    : MultistepScheduler(config, settings, {}),
      predicts_x0_(config.boolean("predict_x0", true)),
      // Names that stand in other solvers' configurations mean this solver's default.
      is_bh1_(config.one_of("solver_type", "bh2", {"bh1", "bh2", "midpoint", "heun", "logrho"}) == "bh1"),
      disable_corrector_(config.integers("disable_corrector", {})) {
  for (const char* key : {"solver_p", "shift_terminal"})
    if (config.has(key))
      throw Error(ErrorCode::Unsupported, config.where() + ": " + key, "expected null", "leave it out");
}

UniPc::Update UniPc::prepare(size_t from, size_t to, const at::Tensor& sample, int64_t order) const {
  const Level start = level(from), end = level(to);
  const float h = end.lambda - start.lambda;
  const float hh = predicts_x0_ ? -h : h;
  const float phi_1 = std::expm1(hh);
  const float b_h = is_bh1_ ? hh : phi_1;

  Update out;
  const auto& m = outputs();
  for (int64_t k = 1; k < order; ++k) {
    out.r.push_back((level(from - k).lambda - start.lambda) / h);
    out.differences.push_back((m[k] - m[0]) / out.r.back());
  }
  out.r.push_back(1.0f);

  float phi_k = phi_1 / hh - 1.0f;
  float factorial = 1.0f;
  for (int64_t k = 1; k <= order; ++k) {
    out.b.push_back(phi_k * factorial / b_h);
    factorial *= static_cast<float>(k + 1);
    phi_k = phi_k / hh - 1.0f / factorial;
  }
  if (predicts_x0_) {
    out.base = end.sigma / start.sigma * sample - end.alpha * phi_1 * m[0];
    out.scale = -(end.alpha * b_h);
  } else {
    out.base = end.alpha / start.alpha * sample - end.sigma * phi_1 * m[0];
    out.scale = -(end.sigma * b_h);
  }
  return out;
}

at::Tensor UniPc::predict(size_t i, const at::Tensor& sample, int64_t order) const {
  const Update update = prepare(i, i + 1, sample, order);
  if (order == 1) return update.base;
  const std::vector<float> rho =
      order == 2 ? std::vector<float>{0.5f} : solve_vandermonde(update.r, update.b, order - 1);
  at::Tensor sum = rho[0] * update.differences[0];
  for (size_t k = 1; k < update.differences.size(); ++k) sum = sum + rho[k] * update.differences[k];
  return update.base + update.scale * sum;
}

at::Tensor UniPc::correct(size_t i, const at::Tensor& output, int64_t order) const {
  const Update update = prepare(i - 1, i, last_sample_, order);
  const std::vector<float> rho =
      order == 1 ? std::vector<float>{0.5f} : solve_vandermonde(update.r, update.b, order);
  at::Tensor sum = rho.back() * (output - outputs()[0]);
  for (size_t k = 0; k < update.differences.size(); ++k) sum = sum + rho[k] * update.differences[k];
  return update.base + update.scale * sum;
}

at::Tensor UniPc::step(const at::Tensor& model_output, size_t i, const at::Tensor& sample,
                       const NoiseSource&) {
  check_same_shape(model_output, sample);
  const Level at = level(i);
  const at::Tensor output =
      predicts_x0_ ? to_original(model_output, sample, at) : to_epsilon(model_output, sample, at);
  const bool corrects =
      last_sample_.defined() && std::find(disable_corrector_.begin(), disable_corrector_.end(),
                                          static_cast<int64_t>(i) - 1) == disable_corrector_.end();
  last_sample_ = corrects ? correct(i, output, last_order_) : sample;
  remember(output);

  // A step to σ = 0 has an infinite h, which only the first order bears.
  const auto left = static_cast<int64_t>(timesteps().size() - i);
  const bool limited = lower_order_final() || (left == 1 && ends_at_zero());
  last_order_ = std::min<int64_t>(limited ? std::min(solver_order(), left) : solver_order(),
                                  static_cast<int64_t>(outputs().size()));
  return predict(i, last_sample_, last_order_);
}

}  // namespace limn::schedulers
