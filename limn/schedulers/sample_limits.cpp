// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/sample_limits.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/quantile.h>

#include "limn/base/error.h"

namespace limn::schedulers {

at::Tensor SampleLimits::apply(const at::Tensor& x0) const {
  if (thresholding) {
    const at::Tensor flat = x0.reshape({x0.size(0), -1});
    const at::Tensor quantile = at::quantile(flat.abs(), thresholding->ratio, 1);
    const at::Tensor bound = at::clamp(quantile, 1, thresholding->most).unsqueeze(1);
    return (at::clamp(flat, -bound, bound) / bound).reshape(x0.sizes());
  }
  return clip ? at::clamp(x0, -*clip, *clip) : x0;
}

std::optional<double> read_clip(const Fields& config, bool fallback) {
  if (!config.boolean("clip_sample", fallback)) return std::nullopt;
  return config.number("clip_sample_range", 1.0);
}

std::optional<SampleLimits::Thresholding> read_thresholding(const Fields& config) {
  if (!config.boolean("thresholding", false)) return std::nullopt;
  const SampleLimits::Thresholding out{config.number("dynamic_thresholding_ratio", 0.995),
                                       config.number("sample_max_value", 1.0)};
  if (!(out.ratio >= 0 && out.ratio <= 1))
    throw Error(ErrorCode::BadFile, config.where() + ": dynamic_thresholding_ratio", "expected 0 to 1");
  if (!(out.most > 0))
    throw Error(ErrorCode::BadFile, config.where() + ": sample_max_value", "expected above 0");
  return out;
}

}  // namespace limn::schedulers
