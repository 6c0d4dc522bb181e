// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "limn/weights/index.h"

namespace limn::weights {

/// The entry as a tensor. Shares the mapped bytes, which nobody must write to; they live as long as the
/// tensor. (Unaligned data is copied.)
at::Tensor to_tensor(const TensorEntry& entry);

at::ScalarType scalar_type_of(DType dtype);
DType dtype_of(at::ScalarType type);

/// An index entry over a tensor's own memory (made dense, on the CPU).
TensorEntry to_entry(const at::Tensor& tensor);

/// All tensors of a file, by name.
std::map<std::string, at::Tensor> load_tensors(const std::filesystem::path& path);

}  // namespace limn::weights
