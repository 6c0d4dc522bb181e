// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "limn/kernels/norm.cpp"
#include "limn/kernels/targets.h"
// The order matters: what follows is compiled once a target.
#include "hwy/foreach_target.h"
#include "limn/kernels/math-inl.h"
#include "limn/kernels/parallel.h"
#include "limn/kernels/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr D d;
constexpr int64_t kLanes = hn::MaxLanes(d);
constexpr int64_t kRows = 256;  // pixels, or rows, of a task

/// Calls whole(i) for each whole vector of [0, count), then part(i, lanes) for what is left.
template <typename Whole, typename Part>
HWY_INLINE void for_vectors(int64_t count, const Whole& whole, const Part& part) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) whole(i);
  if (i < count) part(i, count - i);
}

/// Per channel, over `pixels` from x: Σ (x − origin) and Σ (x − origin)².
template <typename T>
void channel_sums(const T* x, const T* origin, int64_t pixels, int64_t channels, float* sums,
                  float* squares) {
  for_vectors(
      channels,
      [&](int64_t c) HWY_ATTR {
        const V from = storage::load(d, origin + c);
        V sum = hn::Zero(d), square = hn::Zero(d);
        for (int64_t p = 0; p < pixels; ++p) {
          const V value = hn::Sub(storage::load(d, x + p * channels + c), from);
          sum = hn::Add(sum, value);
          square = hn::MulAdd(value, value, square);
        }
        hn::StoreU(sum, d, sums + c);
        hn::StoreU(square, d, squares + c);
      },
      [&](int64_t c, int64_t count) {
        for (int64_t i = c; i < c + count; ++i) {
          float sum = 0, square = 0;
          for (int64_t p = 0; p < pixels; ++p) {
            const float value = storage::widened(x[p * channels + i]) - storage::widened(origin[i]);
            sum += value;
            square += value * value;
          }
          sums[i] = sum;
          squares[i] = square;
        }
      });
}

/// Mean and variance of each group from the sums of its channels, each about the channel's own first pixel: channels far
/// from 0 lose nothing.
template <typename T>
void finish_groups(const GroupNormArguments<T>& a, int64_t picture, const float* partial, int64_t parts) {
  const int64_t width = a.channels / a.groups;
  const T* origin = a.x + picture * a.pixels * a.channels;
  const auto count = static_cast<double>(a.pixels);
  std::vector<double> means(static_cast<size_t>(width));
  for (int64_t group = 0; group < a.groups; ++group) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; ++i) {
      const int64_t c = group * width + i;
      double sum = 0, square = 0;
      for (int64_t part = 0; part < parts; ++part) {
        sum += partial[part * 2 * a.channels + c];
        square += partial[(part * 2 + 1) * a.channels + c];
      }
      const double offset = sum / count;
      means[static_cast<size_t>(i)] = storage::widened(origin[c]) + offset;
      mean += means[static_cast<size_t>(i)];
      variance += std::max(square / count - offset * offset, 0.0);
    }
    mean /= static_cast<double>(width);
    for (const double m : means) variance += (m - mean) * (m - mean);
    const double factor = 1 / std::sqrt(variance / static_cast<double>(width) + a.eps);
    for (int64_t c = group * width; c < (group + 1) * width; ++c) {
      const double scale = a.weight[c] * factor;
      a.scale[picture * a.channels + c] = static_cast<float>(scale);
      a.shift[picture * a.channels + c] = static_cast<float>(a.bias[c] - mean * scale);
    }
  }
}

template <typename T>
void group_norm(const GroupNormArguments<T>& a) {
  const int64_t parts = (a.pixels + kRows - 1) / kRows;
  float* partial = scratch(1, a.batch * parts * 2 * a.channels);  // [picture][part][sum, square][channel]
  parallel_for(a.batch * parts, a.batch * a.pixels * a.channels, [&](int64_t task) {
    const int64_t picture = task / parts, first = task % parts * kRows;
    const T* x = a.x + picture * a.pixels * a.channels;
    float* sums = partial + task * 2 * a.channels;
    channel_sums(x + first * a.channels, x, std::min(kRows, a.pixels - first), a.channels, sums,
                 sums + a.channels);
  });
  for (int64_t picture = 0; picture < a.batch; ++picture)
    finish_groups(a, picture, partial + picture * parts * 2 * a.channels, parts);
}

template <typename T>
void change(const T* x, int64_t batch, int64_t pixels, int64_t channels, const float* scale,
            const float* shift, bool silu, T* y) {
  const int64_t parts = (pixels + kRows - 1) / kRows;
  parallel_for(batch * parts, batch * pixels * channels, [&](int64_t task) {
    const int64_t picture = task / parts, first = task % parts * kRows,
                  last = std::min(first + kRows, pixels);
    const float* scales = scale + picture * channels;
    const float* shifts = shift + picture * channels;
    for (int64_t p = picture * pixels + first; p < picture * pixels + last; ++p) {
      const auto changed = [&](V value, V by, V plus) HWY_ATTR {
        value = hn::MulAdd(value, by, plus);
        return silu ? silu_of(d, value) : value;
      };
      const T* from = x + p * channels;
      T* to = y + p * channels;
      for_vectors(
          channels,
          [&](int64_t c) HWY_ATTR {
            storage::store(
                changed(storage::load(d, from + c), hn::LoadU(d, scales + c), hn::LoadU(d, shifts + c)), d,
                to + c);
          },
          [&](int64_t c, int64_t count) HWY_ATTR {
            alignas(64) float value[kLanes] = {}, by[kLanes] = {}, plus[kLanes] = {};
            storage::copy(from + c, count, value);
            std::copy(scales + c, scales + c + count, by);
            std::copy(shifts + c, shifts + c + count, plus);
            hn::Store(changed(hn::Load(d, value), hn::Load(d, by), hn::Load(d, plus)), d, value);
            storage::copy(value, count, to + c);
          });
    }
  });
}

template <typename T>
void normalise_row(const T* x, int64_t features, double eps, const float* weight, const float* bias, T* y) {
  V total = hn::Zero(d);
  float rest = 0;
  for_vectors(
      features, [&](int64_t i) HWY_ATTR { total = hn::Add(total, storage::load(d, x + i)); },
      [&](int64_t i, int64_t count) {
        for (int64_t j = i; j < i + count; ++j) rest += storage::widened(x[j]);
      });
  const float mean = (hn::GetLane(hn::SumOfLanes(d, total)) + rest) / static_cast<float>(features);
  V squares = hn::Zero(d);
  rest = 0;
  for_vectors(
      features,
      [&](int64_t i) HWY_ATTR {
        const V gap = hn::Sub(storage::load(d, x + i), hn::Set(d, mean));
        squares = hn::MulAdd(gap, gap, squares);
      },
      [&](int64_t i, int64_t count) {
        for (int64_t j = i; j < i + count; ++j) {
          const float gap = storage::widened(x[j]) - mean;
          rest += gap * gap;
        }
      });
  const double variance =
      (static_cast<double>(hn::GetLane(hn::SumOfLanes(d, squares))) + rest) / static_cast<double>(features);
  const auto factor = static_cast<float>(1 / std::sqrt(variance + eps));
  for_vectors(
      features,
      [&](int64_t i) HWY_ATTR {
        const V unit = hn::Mul(hn::Sub(storage::load(d, x + i), hn::Set(d, mean)), hn::Set(d, factor));
        storage::store(hn::MulAdd(unit, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d, y + i);
      },
      [&](int64_t i, int64_t count) {
        for (int64_t j = i; j < i + count; ++j)
          storage::narrow((storage::widened(x[j]) - mean) * factor * weight[j] + bias[j], y[j]);
      });
}

template <typename T>
void normalise(const T* x, int64_t rows, int64_t features, double eps, const float* weight, const float* bias,
               T* y) {
  constexpr int64_t kGroup = 64;
  parallel_for((rows + kGroup - 1) / kGroup, rows * features, [&](int64_t task) {
    for (int64_t row = task * kGroup; row < std::min(rows, (task + 1) * kGroup); ++row)
      normalise_row(x + row * features, features, eps, weight, bias, y + row * features);
  });
}

void group_norm_f32(const GroupNormArgs& args) { group_norm(args); }
void group_norm_bf16(const GroupNormBf16Args& args) { group_norm(args); }

void change_f32(const float* x, int64_t batch, int64_t pixels, int64_t channels, const float* scale,
                const float* shift, bool silu, float* y) {
  change(x, batch, pixels, channels, scale, shift, silu, y);
}
void change_bf16(const uint16_t* x, int64_t batch, int64_t pixels, int64_t channels, const float* scale,
                 const float* shift, bool silu, uint16_t* y) {
  change(x, batch, pixels, channels, scale, shift, silu, y);
}

void normalise_f32(const float* x, int64_t rows, int64_t features, double eps, const float* weight,
                   const float* bias, float* y) {
  normalise(x, rows, features, eps, weight, bias, y);
}
void normalise_bf16(const uint16_t* x, int64_t rows, int64_t features, double eps, const float* weight,
                    const float* bias, uint16_t* y) {
  normalise(x, rows, features, eps, weight, bias, y);
}

}  // namespace
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace limn::kernels {

HWY_EXPORT(group_norm_f32);
HWY_EXPORT(group_norm_bf16);
HWY_EXPORT(change_f32);
HWY_EXPORT(change_bf16);
HWY_EXPORT(normalise_f32);
HWY_EXPORT(normalise_bf16);

void group_norm_scales(const GroupNormArgs& args) { HWY_DYNAMIC_DISPATCH(group_norm_f32)(args); }
void group_norm_scales(const GroupNormBf16Args& args) { HWY_DYNAMIC_DISPATCH(group_norm_bf16)(args); }

void scale_and_shift(const float* x, int64_t batch, int64_t pixels, int64_t channels, const float* scale,
                     const float* shift, bool silu, float* y) {
  HWY_DYNAMIC_DISPATCH(change_f32)(x, batch, pixels, channels, scale, shift, silu, y);
}
void scale_and_shift(const uint16_t* x, int64_t batch, int64_t pixels, int64_t channels, const float* scale,
                     const float* shift, bool silu, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(change_bf16)(x, batch, pixels, channels, scale, shift, silu, y);
}

void layer_norm(const float* x, int64_t rows, int64_t features, double eps, const float* weight,
                const float* bias, float* y) {
  HWY_DYNAMIC_DISPATCH(normalise_f32)(x, rows, features, eps, weight, bias, y);
}
void layer_norm(const uint16_t* x, int64_t rows, int64_t features, double eps, const float* weight,
                const float* bias, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(normalise_bf16)(x, rows, features, eps, weight, bias, y);
}

}  // namespace limn::kernels
#endif
