// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/quantize.h"

#include "limn/base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "limn/kernels/quantize.cpp"
#include "limn/kernels/targets.h"
// The order matters: what follows is compiled once a target.
#include "hwy/foreach_target.h"
#include "limn/kernels/parallel.h"
#include "limn/kernels/quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace {

template <typename T>
void quantize(const T* weights, int64_t rows, int64_t row_size, int8_t* out, float* scales) {
  parallel_for(rows, rows * row_size, [&](int64_t row) {
    quantization::quantize_row(weights + row * row_size, row_size, out + row * row_size, scales + row);
  });
}

void run(const Weights& weights, int64_t rows, int64_t row_size, int8_t* out, float* scales) {
  switch (weights.type) {
    case ElementType::Float32:
      return quantize(static_cast<const float*>(weights.data), rows, row_size, out, scales);
    case ElementType::Float16:
      return quantize(static_cast<const hwy::float16_t*>(weights.data), rows, row_size, out, scales);
    case ElementType::BFloat16:
      return quantize(static_cast<const uint16_t*>(weights.data), rows, row_size, out, scales);
    case ElementType::Int8:
      return;
  }
}

}  // namespace
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace limn::kernels {

HWY_EXPORT(run);

void quantize_rows(const Weights& weights, int64_t rows, int64_t row_size, int8_t* out, float* scales) {
  LIMN_CHECK(weights.type != ElementType::Int8, "weights are integers already");
  HWY_DYNAMIC_DISPATCH(run)(weights, rows, row_size, out, scales);
}

}  // namespace limn::kernels
#endif
