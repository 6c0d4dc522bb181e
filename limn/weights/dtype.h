// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace limn::weights {

/// Element types that files hold, named as safetensors names them.
enum class DType { F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32, I16, I8, U8, Bool };

struct DTypeInfo {
  DType dtype;
  std::string_view name;       // safetensors: "F32"
  std::string_view long_name;  // torch: "float32"
  size_t bytes;                // per element
  bool floating;
};

std::span<const DTypeInfo> all_dtypes();
const DTypeInfo& info_of(DType dtype);

}  // namespace limn::weights
