// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/linear.h"

#include <algorithm>
#include <numeric>
#include <type_traits>

#include "limn/kernels/linear_avx512.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "limn/kernels/linear.cpp"
#include "limn/kernels/targets.h"
// The order matters: what follows is compiled once a target.
#include "hwy/foreach_target.h"
#include "limn/kernels/math-inl.h"
#include "limn/kernels/pack-inl.h"
#include "limn/kernels/parallel.h"
#include "limn/kernels/quantize-inl.h"
#include "limn/kernels/storage-inl.h"
#include "limn/kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlockRows = 4 * kTileRows;
constexpr int64_t kDepth = 1536;  // of one pass: a panel of it and kBlockRows rows stay in the L2 cache
constexpr int64_t kPackedBytes = 384 << 10;  // of a task's panels
constexpr int64_t kLeastRows = 512;  // of a task, where rows are shared out: packing then costs little
constexpr int64_t kMostInt8Depth = 1 << 17;  // with it sums of products still fit into 32 bits

/// What multiplies in place of float32, if anything.
struct Narrow {
  const Bf16Panels* pairs = nullptr;
  const Int8Panels* bytes = nullptr;
  Int8Rows rows{};  // x, for `bytes`

  explicit operator bool() const { return pairs || bytes; }
};

/// A block of rows and panels of columns, for one thread.
template <typename T>
struct Task {
  static constexpr bool kBf16 = std::is_same_v<T, uint16_t>;

  const LinearArguments<T>& args;
  const Narrow& narrow;
  int64_t first_row, last_row, first_column, last_column;

  /// Sums that wait for a further pass lie in y, where bfloat16 would round them.
  static int64_t pass_depth(const LinearArguments<T>& args, const Narrow& narrow) {
    return kBf16 || narrow || args.geglu ? args.depth : std::min(args.depth, kDepth);
  }
  static int64_t panel_size(const Narrow& narrow, int64_t depth) {
    return (narrow.bytes ? (depth + 3) / 4 : narrow.pairs ? (depth + 1) / 2 : depth) * kPanel;
  }

  /// Memory for `panels` panels, then for a block's rows in float32 if x is not that.
  float* memory(int64_t panels, int64_t depth) const {
    const int64_t rows = kBf16 && !narrow ? kBlockRows * depth : 0;
    return scratch(0, panels * panel_size(narrow, depth) + rows);
  }

  void pack_panel(int64_t column, int64_t columns, int64_t first, int64_t depth, float* panel) const {
    if (narrow.bytes)
      narrow.bytes->pack(static_cast<const int8_t*>(args.weight.data) + column * depth, columns, depth,
                         panel);
    else if (narrow.pairs)
      narrow.pairs->pack(args.weight, column, columns, depth, panel);
    else
      pack(args.weight, column, columns, args.depth, first, depth, kPanel, panel);
  }

  /// Rows as float32 arithmetic reads them.
  struct Rows {
    const float* data;
    int64_t stride;
  };

  Rows widened_rows(int64_t row, int64_t rows, float* copies) const {
    const T* x = args.x + row * args.x_stride;
    if constexpr (kBf16) {
      if (narrow) return {};
      for (int64_t r = 0; r < rows; ++r) {
        int64_t k = 0;
        for (; k + kLanes <= args.depth; k += kLanes)
          hn::StoreU(storage::load(d, x + r * args.x_stride + k), d, copies + r * args.depth + k);
        storage::copy(x + r * args.x_stride + k, args.depth - k, copies + r * args.depth + k);
      }
      return {copies, args.depth};
    } else {
      return {x, args.x_stride};
    }
  }

  /// sums = rows of x, from depth `first`, times the panel; onto the sums before if `first` is not 0.
  void multiply(int64_t row, int64_t rows, const Rows& wide, int64_t first, const float* panel, int64_t depth,
                float* sums) const {
    if (narrow.bytes) return narrow.bytes->multiply(rows, narrow.rows, row, panel, sums);
    if constexpr (kBf16) {
      if (narrow.pairs)
        return narrow.pairs->multiply(rows, args.x + row * args.x_stride, args.x_stride, panel, depth, sums);
    }
    multiply_panel(rows, wide.data + first, wide.stride, panel, depth, sums, kPanel, first > 0);
  }

  void add_bias(float* sums, int64_t rows, int64_t column) const {
    const bool scales = narrow && args.weight.type == ElementType::Int8;
    if (!args.bias && !scales) return;
    const int64_t count = std::min(kPanel, args.columns - column);
    alignas(64) float bias[kPanel] = {}, factors[kPanel] = {};
    if (args.bias) std::copy_n(args.bias + column, count, bias);
    if (scales) std::copy_n(args.weight.scales + column, count, factors);
    for (int64_t part = 0; part < kPanel; part += kLanes) {
      const V offset = hn::Load(d, bias + part), factor = hn::Load(d, factors + part);
      for (float* at = sums + part; at < sums + rows * kPanel; at += kPanel) {
        const V sum = hn::Load(d, at);
        hn::Store(scales ? hn::MulAdd(sum, factor, offset) : hn::Add(sum, offset), d, at);
      }
    }
  }

  /// y = sums (+ residual), columns that exist only.
  void write(const float* sums, int64_t row, int64_t rows, int64_t column, int64_t columns, bool last) const {
    const bool adds = last && args.residual;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = sums + r * kPanel;
      T* to = args.y + (row + r) * args.y_stride + column;
      const T* residual = adds ? args.residual + (row + r) * args.residual_stride + column : nullptr;
      if (columns == kPanel) {
        for (int64_t c = 0; c < kPanel; c += kLanes) {
          const V value = hn::Load(d, from + c);
          storage::store(adds ? hn::Add(value, storage::load(d, residual + c)) : value, d, to + c);
        }
      } else {
        for (int64_t c = 0; c < columns; ++c)
          storage::narrow(from[c] + (adds ? storage::widened(residual[c]) : 0.0F), to[c]);
      }
    }
  }

  void read(float* sums, int64_t row, int64_t rows, int64_t column, int64_t columns) const {
    for (int64_t r = 0; r < rows; ++r) {
      storage::copy(args.y + (row + r) * args.y_stride + column, columns, sums + r * kPanel);
      std::fill(sums + r * kPanel + columns, sums + (r + 1) * kPanel, 0.0F);
    }
  }

  void run() const {
    const int64_t panels = (last_column - first_column + kPanel - 1) / kPanel,
                  most = pass_depth(args, narrow);
    alignas(64) float sums[kBlockRows * kPanel];
    float* packed = memory(panels, most);
    for (int64_t first = 0; first < args.depth; first += most) {
      const int64_t depth = std::min(most, args.depth - first), size = panel_size(narrow, depth);
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t column = first_column + p * kPanel;
        pack_panel(column, std::min(kPanel, last_column - column), first, depth, packed + p * size);
      }
      const bool last = first + depth == args.depth;
      for (int64_t row = first_row; row < last_row; row += kBlockRows) {
        const int64_t rows = std::min(kBlockRows, last_row - row);
        const Rows wide = widened_rows(row, rows, packed + panels * size);
        for (int64_t p = 0; p < panels; ++p) {
          const int64_t column = first_column + p * kPanel, columns = std::min(kPanel, last_column - column);
          if (first > 0) read(sums, row, rows, column, columns);
          multiply(row, rows, wide, first, packed + p * size, depth, sums);
          if (last) add_bias(sums, rows, column);
          write(sums, row, rows, column, columns, last);
        }
      }
    }
  }

  /// Columns are those of y; value and gate of a panel are made side by side, in one pass over the depth.
  void run_geglu() const {
    const int64_t half = args.columns / 2, panels = (last_column - first_column + kPanel - 1) / kPanel;
    const int64_t size = panel_size(narrow, args.depth);
    float* packed = memory(2 * panels, args.depth);
    for (int64_t p = 0; p < panels; ++p)
      for (int64_t part = 0; part < 2; ++part) {
        const int64_t column = first_column + p * kPanel;
        pack_panel(part * half + column, std::min(kPanel, last_column - column), 0, args.depth,
                   packed + (2 * p + part) * size);
      }
    alignas(64) float value[kBlockRows * kPanel];
    alignas(64) float gate[kBlockRows * kPanel];
    for (int64_t row = first_row; row < last_row; row += kBlockRows) {
      const int64_t rows = std::min(kBlockRows, last_row - row);
      const Rows wide = widened_rows(row, rows, packed + 2 * panels * size);
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t column = first_column + p * kPanel;
        multiply(row, rows, wide, 0, packed + 2 * p * size, args.depth, value);
        multiply(row, rows, wide, 0, packed + (2 * p + 1) * size, args.depth, gate);
        add_bias(value, rows, column);
        add_bias(gate, rows, half + column);
        for (int64_t i = 0; i < rows * kPanel; i += kLanes)
          hn::Store(hn::Mul(hn::Load(d, value + i), gelu_of(d, hn::Load(d, gate + i))), d, value + i);
        write(value, row, rows, column, std::min(kPanel, last_column - column), true);
      }
    }
  }
};

/// x in 8 bits; the memory is the calling thread's until its next call.
template <typename T>
Int8Rows quantized(const LinearArguments<T>& args) {
  const int64_t stride = (args.depth + 3) / 4 * 4;
  float* scales = scratch(1, args.rows * (2 + stride / 4));
  auto* sums = reinterpret_cast<int32_t*>(scales + args.rows);
  auto* integers = reinterpret_cast<int8_t*>(sums + args.rows);
  constexpr int64_t kGroup = 32;
  parallel_for((args.rows + kGroup - 1) / kGroup, args.rows * args.depth, [&](int64_t group) {
    for (int64_t row = group * kGroup; row < std::min(args.rows, (group + 1) * kGroup); ++row) {
      int8_t* out = integers + row * stride;
      quantization::quantize_row(args.x + row * args.x_stride, args.depth, out, scales + row);
      std::fill(out + args.depth, out + stride, int8_t{0});
      sums[row] = std::accumulate(out, out + stride, int32_t{0});
    }
  });
  return {integers, stride, scales, sums};
}

template <typename T>
Narrow narrow_of(const LinearArguments<T>& args) {
  Narrow narrow;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  static_assert(kPanel == 32);
  if (args.int8_x && args.weight.type == ElementType::Int8 && args.depth <= kMostInt8Depth)
    narrow.bytes = int8_panels();
  if (narrow.bytes)
    narrow.rows = quantized(args);
  else if constexpr (Task<T>::kBf16)
    narrow.pairs = bf16_panels();
#endif
  return narrow;
}

template <typename T>
void run_linear(const LinearArguments<T>& args) {
  const Narrow narrow = narrow_of(args);
  const int64_t columns = args.geglu ? args.columns / 2 : args.columns;
  const int64_t panels = (columns + kPanel - 1) / kPanel, threads = num_threads();
  const int64_t panel_bytes =
      std::max<int64_t>(Task<T>::panel_size(narrow, Task<T>::pass_depth(args, narrow)), 1) *
      static_cast<int64_t>(sizeof(float)) * (args.geglu ? 2 : 1);
  // As many panels as stay in the cache, but enough tasks for all threads.
  const int64_t fit = std::max<int64_t>(kPackedBytes / panel_bytes, 1);
  const int64_t task_panels = std::clamp<int64_t>(panels / (2 * threads), 1, fit);
  const int64_t column_tasks = (panels + task_panels - 1) / task_panels;
  const int64_t wanted = threads == 1 ? 1 : (8 * threads + column_tasks - 1) / column_tasks;
  const int64_t row_tasks = std::clamp<int64_t>(args.rows / kLeastRows, 1, wanted);
  const int64_t task_rows = ((args.rows + row_tasks - 1) / row_tasks + kTileRows - 1) / kTileRows * kTileRows;
  parallel_for(row_tasks * column_tasks, args.rows * args.depth * args.columns, [&](int64_t i) {
    const int64_t row = i / column_tasks * task_rows, column = i % column_tasks * task_panels * kPanel;
    const Task<T> task{args,   narrow,
                       row,    std::min(row + task_rows, args.rows),
                       column, std::min(column + task_panels * kPanel, columns)};
    if (task.first_row >= task.last_row) return;
    if (args.geglu)
      task.run_geglu();
    else
      task.run();
  });
}

void run_f32(const LinearArgs& args) { run_linear(args); }
void run_bf16(const LinearBf16Args& args) { run_linear(args); }

bool vectors() { return kLanes >= 4; }
bool integers() { return kPanel == 32 && int8_panels(); }
bool pairs() { return kPanel == 32 && bf16_panels(); }

}  // namespace
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace limn::kernels {

HWY_EXPORT(run_f32);
HWY_EXPORT(run_bf16);
HWY_EXPORT(vectors);
HWY_EXPORT(integers);
HWY_EXPORT(pairs);

void linear(const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(run_f32)(args); }
void linear(const LinearBf16Args& args) { HWY_DYNAMIC_DISPATCH(run_bf16)(args); }

bool multiplies_int8() { return HWY_DYNAMIC_DISPATCH(integers)(); }

bool multiplies_bfloat16() { return HWY_DYNAMIC_DISPATCH(pairs)(); }

bool has_vectors() { return HWY_DYNAMIC_DISPATCH(vectors)(); }

}  // namespace limn::kernels
#endif
