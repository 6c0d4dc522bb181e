// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/winograd.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "limn/kernels/winograd.cpp"
#include "limn/kernels/targets.h"
// The order matters: what follows is compiled once a target.
#include "hwy/foreach_target.h"
#include "limn/kernels/math-inl.h"
#include "limn/kernels/pack-inl.h"
#include "limn/kernels/parallel.h"
#include "limn/kernels/storage-inl.h"
#include "limn/kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace {

constexpr int64_t kOut = 4, kIn = 6, kPoints = kIn * kIn;
constexpr float kRootHalf = 0.70710678F, kRootTwo = 1.41421356F, kRootEighth = 0.35355339F,
                kRootEight = 2.82842712F;

constexpr int64_t kDepth = 256;           // input channels of one pass
constexpr int64_t kInputBytes = 8 << 20;  // of transformed input at a time, to stay in a shared cache
constexpr int64_t kPackChannels = 16;

/// What a call works through: tiles of 4 × 4 outputs, in order of picture, row and column.
template <typename T>
struct Plan {
  const Conv3x3Arguments<T>& args;
  int64_t across, down, tiles;
  int64_t padded;  // input channels, rounded up to vectors
  int64_t block;   // tiles at a time
  int64_t plane;   // floats of one point's transformed input
};

template <typename T>
Plan<T> plan_of(const Conv3x3Arguments<T>& args) {
  Plan<T> plan{args, (args.width + kOut - 1) / kOut, (args.height + kOut - 1) / kOut, 0, 0, 0, 0};
  plan.tiles = args.batch * plan.across * plan.down;
  plan.padded = (args.channels + kLanes - 1) / kLanes * kLanes;
  const int64_t fit = kInputBytes / (kPoints * plan.padded * static_cast<int64_t>(sizeof(float)));
  plan.block =
      std::clamp<int64_t>(fit / kTileRows * kTileRows, 5 * kTileRows, std::max<int64_t>(plan.tiles, 1));
  plan.plane =
      plan.block * plan.padded + kLanes;  // not a multiple of a page: 36 planes are written side by side
  return plan;
}

/// Bᵀ x of six vectors.
HWY_INLINE void input_transform(const V* x, int64_t stride, V* out, int64_t out_stride) {
  const V x0 = x[0], x1 = x[stride], x2 = x[2 * stride], x3 = x[3 * stride], x4 = x[4 * stride],
          x5 = x[5 * stride];
  const V mid = hn::Set(d, 2.5F), two = hn::Set(d, 2.0F), half = hn::Set(d, 0.5F);
  const V root_half = hn::Set(d, kRootHalf), root_two = hn::Set(d, kRootTwo);
  out[0] = hn::Add(hn::NegMulAdd(mid, x2, x0), x4);
  const V even_a = hn::NegMulAdd(two, x2, x4), odd_a = hn::NegMulAdd(root_two, x1, hn::Mul(root_half, x3));
  out[out_stride] = hn::Add(even_a, odd_a);
  out[2 * out_stride] = hn::Sub(even_a, odd_a);
  const V even_b = hn::NegMulAdd(half, x2, x4), odd_b = hn::NegMulAdd(root_half, x1, hn::Mul(root_two, x3));
  out[3 * out_stride] = hn::Add(even_b, odd_b);
  out[4 * out_stride] = hn::Sub(even_b, odd_b);
  out[5 * out_stride] = hn::Add(hn::NegMulAdd(mid, x3, x1), x5);
}

/// G g of three vectors.
HWY_INLINE void weight_transform(const V* g, int64_t stride, V* out, int64_t out_stride) {
  const V g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
  const V third = hn::Set(d, -1.0F / 3), two_thirds = hn::Set(d, -2.0F / 3), sixth = hn::Set(d, 1.0F / 6);
  out[0] = g0;
  const V even_a = hn::MulAdd(two_thirds, g0, hn::Mul(third, g2)),
          odd_a = hn::Mul(hn::Set(d, -kRootTwo / 3), g1);
  out[out_stride] = hn::Add(even_a, odd_a);
  out[2 * out_stride] = hn::Sub(even_a, odd_a);
  const V even_b = hn::MulAdd(sixth, g0, hn::Mul(hn::Neg(third), g2)),
          odd_b = hn::Mul(hn::Set(d, kRootTwo / 6), g1);
  out[3 * out_stride] = hn::Add(even_b, odd_b);
  out[4 * out_stride] = hn::Sub(even_b, odd_b);
  out[5 * out_stride] = g2;
}

/// Aᵀ m of six vectors.
HWY_INLINE void output_transform(const V* m, int64_t stride, V* out, int64_t out_stride) {
  const V sum_a = hn::Add(m[stride], m[2 * stride]), gap_a = hn::Sub(m[stride], m[2 * stride]);
  const V sum_b = hn::Add(m[3 * stride], m[4 * stride]), gap_b = hn::Sub(m[3 * stride], m[4 * stride]);
  out[0] = hn::Add(hn::Add(m[0], sum_a), sum_b);
  out[out_stride] = hn::MulAdd(hn::Set(d, kRootHalf), gap_a, hn::Mul(hn::Set(d, kRootTwo), gap_b));
  out[2 * out_stride] = hn::MulAdd(hn::Set(d, 0.5F), sum_a, hn::Mul(hn::Set(d, 2.0F), sum_b));
  out[3 * out_stride] =
      hn::MulAdd(hn::Set(d, kRootEighth), gap_a, hn::MulAdd(hn::Set(d, kRootEight), gap_b, m[5 * stride]));
}

/// The 6 × 6 inputs of tiles, transformed to [point][tile][channel].
template <typename T>
struct InputTransform {
  const Plan<T>& plan;
  float* out;

  HWY_INLINE V activated(V x, const float* scale, const float* shift) const {
    const V y = hn::MulAdd(x, hn::LoadU(d, scale), hn::LoadU(d, shift));
    return plan.args.silu ? silu_of(d, y) : y;
  }

  /// One vector of channels of a tile: load(row, column) gives a pixel's.
  template <typename Load>
  HWY_INLINE void transform(float* to, const Load& load) const {
    V rows[kPoints];
#pragma GCC unroll 6
    for (int64_t column = 0; column < kIn; ++column) {
      V pixels[kIn];
#pragma GCC unroll 6
      for (int64_t row = 0; row < kIn; ++row) pixels[row] = load(row, column);
      input_transform(pixels, 1, rows + column, kIn);
    }
#pragma GCC unroll 6
    for (int64_t row = 0; row < kIn; ++row) {
      V points[kIn];
      input_transform(rows + row * kIn, 1, points, 1);
#pragma GCC unroll 6
      for (int64_t i = 0; i < kIn; ++i) hn::Store(points[i], d, to + (row * kIn + i) * plan.plane);
    }
  }

  void run(int64_t tile, int64_t slot) const {
    const Conv3x3Arguments<T>& a = plan.args;
    const int64_t picture = tile / (plan.across * plan.down), place = tile % (plan.across * plan.down);
    const int64_t top = place / plan.across * kOut - 1, left = place % plan.across * kOut - 1;
    const T* x = a.x + ((picture * a.height + top) * a.width + left) * a.channels;
    const float* scale = a.scale ? a.scale + picture * a.channels : nullptr;
    const float* shift = a.scale ? a.shift + picture * a.channels : nullptr;
    float* to = out + slot * plan.padded;
    const int64_t row_stride = a.width * a.channels;
    const bool inside = top >= 0 && left >= 0 && top + kIn <= a.height && left + kIn <= a.width;
    const int64_t whole = inside ? a.channels / kLanes * kLanes : 0;
    for (int64_t channel = 0; channel < whole; channel += kLanes) {
      const T* from = x + channel;
      if (!scale)
        transform(to + channel, [&](int64_t row, int64_t column) HWY_ATTR {
          return storage::load(d, from + row * row_stride + column * a.channels);
        });
      else
        transform(to + channel, [&](int64_t row, int64_t column) HWY_ATTR {
          return activated(storage::load(d, from + row * row_stride + column * a.channels), scale + channel,
                           shift + channel);
        });
    }
    for (int64_t channel = whole; channel < a.channels; channel += kLanes)
      run_edge(x + channel, std::min(kLanes, a.channels - channel), top, left,
               scale ? scale + channel : nullptr, scale ? shift + channel : nullptr, to + channel);
  }

  /// The same where pixels lie outside of the picture, which are 0, or channels are fewer than a vector's.
  void run_edge(const T* x, int64_t channels, int64_t top, int64_t left, const float* scale,
                const float* shift, float* to) const {
    const Conv3x3Arguments<T>& a = plan.args;
    const auto first = [channels](const T* from, float* lanes) HWY_ATTR {
      if (channels == kLanes) return storage::load(d, from);
      storage::copy(from, channels, lanes);
      return hn::Load(d, lanes);
    };
    alignas(64) float lanes[kLanes] = {}, scales[kLanes] = {}, shifts[kLanes] = {};
    if (scale) {
      std::copy(scale, scale + channels, scales);
      std::copy(shift, shift + channels, shifts);
    }
    transform(to, [&](int64_t row, int64_t column) HWY_ATTR {
      const int64_t y = top + row, left_of = left + column;
      if (y < 0 || y >= a.height || left_of < 0 || left_of >= a.width) return hn::Zero(d);
      const V value = first(x + (row * a.width + column) * a.channels, lanes);
      return scale ? activated(value, scales, shifts) : value;
    });
  }
};

/// Floats between two points' panels: not a multiple of a page, since 36 of them are written side by side.
constexpr int64_t point_stride(int64_t rows) { return rows * kPanel + kLanes; }

/// Transformed weights [point][channel][kPanel] of the panel at `column`, of channels [first, first + depth).
template <typename T>
void transform_weights(const Conv3x3Arguments<T>& a, int64_t column, int64_t first, int64_t depth,
                       float* out) {
  constexpr int64_t kTaps = 9;
  alignas(64) float taps[kPackChannels * kTaps * kPanel];
  const int64_t columns = std::min(kPanel, a.out_channels - column);
  for (int64_t c = 0; c < depth; c += kPackChannels) {
    const int64_t channels = std::min(kPackChannels, depth - c);
    pack(a.weight, column, columns, a.channels * kTaps, (first + c) * kTaps, channels * kTaps, kPanel, taps);
    for (int64_t i = 0; i < channels; ++i)
      for (int64_t part = 0; part < kPanel; part += kLanes) {
        V g[kTaps], rows[3 * kIn];
#pragma GCC unroll 9
        for (int64_t tap = 0; tap < kTaps; ++tap)
          g[tap] = hn::Load(d, taps + (i * kTaps + tap) * kPanel + part);
#pragma GCC unroll 3
        for (int64_t tap = 0; tap < 3; ++tap) weight_transform(g + tap, 3, rows + tap, 3);
        float* to = out + (c + i) * kPanel + part;
#pragma GCC unroll 6
        for (int64_t row = 0; row < kIn; ++row) {
          V points[kIn];
          weight_transform(rows + row * 3, 1, points, 1);
#pragma GCC unroll 6
          for (int64_t j = 0; j < kIn; ++j)
            hn::Store(points[j], d, to + (row * kIn + j) * point_stride(depth));
        }
      }
  }
}

/// Products [point][tile][kPanel] to pixels.
template <typename T>
struct OutputTransform {
  const Plan<T>& plan;
  const float* products;
  int64_t rows;  // tiles in `products`

  void store(V value, const T* residual, T* to, int64_t columns) const {
    if (columns >= kLanes) {
      if (residual) value = hn::Add(value, storage::load(d, residual));
      storage::store(value, d, to);
      return;
    }
    alignas(64) float lanes[kLanes];
    hn::Store(value, d, lanes);
    for (int64_t i = 0; i < columns; ++i)
      storage::narrow(lanes[i] + (residual ? storage::widened(residual[i]) : 0.0F), to[i]);
  }

  void run(int64_t tile, int64_t slot, int64_t column) const {
    const Conv3x3Arguments<T>& a = plan.args;
    const int64_t picture = tile / (plan.across * plan.down), place = tile % (plan.across * plan.down);
    const int64_t top = place / plan.across * kOut, left = place % plan.across * kOut;
    const int64_t last_row = std::min(kOut, a.height - top), last_column = std::min(kOut, a.width - left);
    for (int64_t part = 0; part < kPanel && column + part < a.out_channels; part += kLanes) {
      const int64_t channel = column + part, columns = std::min(kLanes, a.out_channels - channel);
      alignas(64) float offsets[kLanes] = {};
      for (int64_t i = 0; i < columns; ++i)
        offsets[i] = (a.bias ? a.bias[channel + i] : 0.0F) +
                     (a.addition ? a.addition[picture * a.out_channels + channel + i] : 0.0F);
      const V offset = hn::Load(d, offsets);
      V halves[kOut * kIn], pixels[kOut * kOut];
      const float* from = products + slot * kPanel + part;
#pragma GCC unroll 6
      for (int64_t i = 0; i < kIn; ++i) {
        V points[kIn];
#pragma GCC unroll 6
        for (int64_t j = 0; j < kIn; ++j) points[j] = hn::Load(d, from + (j * kIn + i) * point_stride(rows));
        output_transform(points, 1, halves + i, kIn);
      }
#pragma GCC unroll 4
      for (int64_t i = 0; i < kOut; ++i) output_transform(halves + i * kIn, 1, pixels + i * kOut, 1);
      for (int64_t row = 0; row < last_row; ++row)
        for (int64_t i = 0; i < last_column; ++i) {
          const int64_t at =
              ((picture * a.height + top + row) * a.width + left + i) * a.out_channels + channel;
          store(hn::Add(pixels[row * kOut + i], offset), a.residual ? a.residual + at : nullptr, a.y + at,
                columns);
        }
    }
  }
};

/// Outputs of tiles [first, first + count) of the block that starts at tile `base`, in the panel at `column`.
template <typename T>
void multiply_block(const Plan<T>& plan, const float* inputs, int64_t base, int64_t first, int64_t count,
                    int64_t column) {
  const Conv3x3Arguments<T>& a = plan.args;
  const int64_t most = std::min(kDepth, plan.padded);
  float* weights = scratch(0, kPoints * (point_stride(most) + point_stride(count)));
  float* products = weights + kPoints * point_stride(most);
  for (int64_t channel = 0; channel < a.channels; channel += kDepth) {
    const int64_t depth = std::min(kDepth, a.channels - channel);
    transform_weights(a, column, channel, depth, weights);
    for (int64_t point = 0; point < kPoints; ++point)
      multiply_panel(count, inputs + point * plan.plane + first * plan.padded + channel, plan.padded,
                     weights + point * point_stride(depth), depth, products + point * point_stride(count),
                     kPanel, channel > 0);
  }
  const OutputTransform<T> transform{plan, products, count};
  for (int64_t i = 0; i < count; ++i) transform.run(base + first + i, i, column);
}

template <typename T>
void run_winograd(const Conv3x3Arguments<T>& args) {
  const Plan<T> plan = plan_of(args);
  float* inputs = scratch(1, kPoints * plan.plane);
  const int64_t panels = (args.out_channels + kPanel - 1) / kPanel, threads = num_threads();
  for (int64_t base = 0; base < plan.tiles; base += plan.block) {
    const int64_t count = std::min(plan.block, plan.tiles - base);
    const InputTransform<T> transform{plan, inputs};
    constexpr int64_t kGroup = 8;
    parallel_for((count + kGroup - 1) / kGroup, count * kPoints * args.channels, [&](int64_t group) {
      for (int64_t i = group * kGroup; i < std::min(count, (group + 1) * kGroup); ++i)
        transform.run(base + i, i);
    });
    // Where panels are fewer than threads, tiles are shared out too, at the price of transforming weights again.
    const int64_t parts =
        std::clamp<int64_t>((2 * threads + panels - 1) / panels, 1, (count + kTileRows - 1) / kTileRows);
    const int64_t part = ((count + parts - 1) / parts + kTileRows - 1) / kTileRows * kTileRows;
    parallel_for(panels * parts, kPoints * count * args.channels * args.out_channels, [&](int64_t task) {
      const int64_t first = task % parts * part;
      if (first < count)
        multiply_block(plan, inputs, base, first, std::min(part, count - first), task / parts * kPanel);
    });
  }
}

void run_f32(const Conv3x3Args& args) { run_winograd(args); }
void run_bf16(const Conv3x3Bf16Args& args) { run_winograd(args); }

}  // namespace
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace limn::kernels {
namespace {
constexpr int64_t kOut = 4;
constexpr double kPoints = 36;
}  // namespace

HWY_EXPORT(run_f32);
HWY_EXPORT(run_bf16);

void winograd_conv3x3(const Conv3x3Args& args) { HWY_DYNAMIC_DISPATCH(run_f32)(args); }
void winograd_conv3x3(const Conv3x3Bf16Args& args) { HWY_DYNAMIC_DISPATCH(run_bf16)(args); }

bool winograd_pays(int64_t height, int64_t width, int64_t channels, int64_t out_channels) {
  // In multiply-adds of a matrix product at its full rate, as measured with one AVX-512 thread (winograd_bench).
  constexpr double kInput = 1700, kOutput = 1200;  // transforms of a tile's channel
  constexpr double kWeight = 540;                  // transform of one input's weights of one output
  constexpr double kDirectRate = 0.85;             // of oneDNN's direct convolution
  constexpr double kBatch = 2;  // guidance; the real batch must not change a picture's bits
  constexpr int64_t kColumns = 32, kDirectColumns = 16;  // outputs are computed in such multiples
  const auto up = [](int64_t n, int64_t to) { return static_cast<double>((n + to - 1) / to * to); };
  const double tiles = kBatch * up(height, kOut) * up(width, kOut) / static_cast<double>(kOut * kOut);
  const auto in = static_cast<double>(channels), out = static_cast<double>(out_channels);
  const double winograd =
      tiles * (kPoints * in * up(out_channels, kColumns) + kInput * in + kOutput * out) + kWeight * in * out;
  const double direct =
      kBatch * static_cast<double>(height * width) * 9 * in * up(out_channels, kDirectColumns) / kDirectRate;
  return winograd < direct;
}

}  // namespace limn::kernels
#endif
