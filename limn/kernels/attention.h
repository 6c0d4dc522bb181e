// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace limn::kernels {

/// Arguments of attention(). Arrays are row-major; strides, in elements, lead from one row to the next and from the
/// last row of one batch entry to the first of the next, so q, k and v may be slices of one fused projection.
template <typename T>
struct AttentionArguments {
  const T* q = nullptr;  // [batch, tokens, heads * head_size]
  const T* k = nullptr;  // [batch, context, heads * head_size]
  const T* v = nullptr;  // [batch, context, heads * head_size]
  T* out = nullptr;      // [batch, tokens, heads * head_size]; may be q where the strides agree too
  int64_t q_stride = 0, k_stride = 0, v_stride = 0, out_stride = 0;  // 0 stands for heads * head_size
  int64_t batch = 1, heads = 1, tokens = 0, context = 0, head_size = 0;
  std::optional<float> scale;  // of q·k; 1/√head_size if not set
};
using AttentionArgs = AttentionArguments<float>;
using AttentionBf16Args = AttentionArguments<uint16_t>;  // bits of bfloat16

/// out = softmax(scale · QKᵀ) V per head (Vaswani et al. 2017, eq. 1), without ever holding the scores of more than a
/// block of keys. Scores of NaN or +∞ give NaN, as the definition does; a context of 0 gives 0.
/// A row of the result has the same bits whatever the batch size, the other rows and the number of threads.
/// Needs 2 * context * head_size floats of scratch for some heads at a time, and keeps them for the next call.
/// @throws Error{InvalidArgument} if a size is negative, or heads or head_size is 0
/// Safe to call from several threads.
/// Source: the running maximum and sum are Milakov & Gimelshein 2018, algorithm 3; the blocks Dao et al. 2022.
void attention(const AttentionArgs& args);

/// The same on bfloat16 arrays; sums are float32. With AVX512-BF16 the weights of the values are rounded to bfloat16
/// as well, elsewhere only the result is.
void attention(const AttentionBf16Args& args);

}  // namespace limn::kernels
