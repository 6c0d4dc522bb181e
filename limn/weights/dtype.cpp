// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/dtype.h"

#include <string>

#include "limn/base/error.h"

namespace limn::weights {
namespace {

constexpr DTypeInfo kDTypes[] = {
    {DType::F64, "F64", "float64", 8, true},
    {DType::F32, "F32", "float32", 4, true},
    {DType::F16, "F16", "float16", 2, true},
    {DType::BF16, "BF16", "bfloat16", 2, true},
    {DType::F8_E4M3, "F8_E4M3", "float8_e4m3fn", 1, true},
    {DType::F8_E5M2, "F8_E5M2", "float8_e5m2", 1, true},
    {DType::I64, "I64", "int64", 8, false},
    {DType::I32, "I32", "int32", 4, false},
    {DType::I16, "I16", "int16", 2, false},
    {DType::I8, "I8", "int8", 1, false},
    {DType::U8, "U8", "uint8", 1, false},
    {DType::Bool, "BOOL", "bool", 1, false},
};

}  // namespace

std::span<const DTypeInfo> all_dtypes() { return kDTypes; }

const DTypeInfo& info_of(DType dtype) {
  for (const DTypeInfo& info : kDTypes)
    if (info.dtype == dtype) return info;
  throw Error(ErrorCode::Internal, "dtype",
              "no row for element type " + std::to_string(static_cast<int>(dtype)));
}

}  // namespace limn::weights
