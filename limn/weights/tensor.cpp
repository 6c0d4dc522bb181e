// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/tensor.h"

#include <cstring>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "limn/base/error.h"

namespace limn::weights {
namespace {

struct Row {
  DType dtype;
  at::ScalarType type;
};
constexpr Row kTypes[] = {
    {DType::F64, at::kDouble},
    {DType::F32, at::kFloat},
    {DType::F16, at::kHalf},
    {DType::BF16, at::kBFloat16},
    {DType::I64, at::kLong},
    {DType::I32, at::kInt},
    {DType::I16, at::kShort},
    {DType::I8, at::kChar},
    {DType::U8, at::kByte},
    {DType::Bool, at::kBool},
    {DType::F8_E4M3, at::kFloat8_e4m3fn},
    {DType::F8_E5M2, at::kFloat8_e5m2},
};

/// The same entry over memory of its own, which starts at a multiple of 64.
TensorEntry aligned_copy(const TensorEntry& entry) {
  const auto bytes =
      std::make_shared<at::Tensor>(at::empty({static_cast<int64_t>(entry.bytes.size())}, at::kByte));
  auto* data = bytes->mutable_data_ptr<uint8_t>();
  std::memcpy(data, entry.bytes.data(), entry.bytes.size());
  TensorEntry copy = entry;
  copy.bytes = {reinterpret_cast<const std::byte*>(data), entry.bytes.size()};
  copy.keep_alive = bytes;
  return copy;
}

}  // namespace

at::ScalarType scalar_type_of(DType dtype) {
  for (const Row& row : kTypes)
    if (row.dtype == dtype) return row.type;
  throw Error(ErrorCode::Internal, "dtype", "no torch type for " + std::string(info_of(dtype).name));
}

DType dtype_of(at::ScalarType type) {
  for (const Row& row : kTypes)
    if (row.type == type) return row.dtype;
  throw Error(ErrorCode::Unsupported, "dtype",
              std::string("no element type '") + c10::toString(type) + "' in files");
}

at::Tensor to_tensor(const TensorEntry& entry) {
  const at::TensorOptions options = at::TensorOptions().dtype(scalar_type_of(entry.dtype));
  if (entry.elements() == 0) return at::empty(entry.shape, options);
  const size_t unit = info_of(entry.dtype).bytes;
  if (reinterpret_cast<uintptr_t>(entry.bytes.data()) % unit != 0) return to_tensor(aligned_copy(entry));
  void* data = const_cast<std::byte*>(entry.bytes.data());
  const auto release = [kept = entry.keep_alive](void*) mutable { kept.reset(); };
  if (entry.strides.empty()) return at::from_blob(data, entry.shape, release, options);
  return at::from_blob(data, entry.shape, entry.strides, release, options);
}

TensorEntry to_entry(const at::Tensor& tensor) {
  const auto dense = std::make_shared<at::Tensor>(tensor.detach().cpu().contiguous());
  const auto* data = static_cast<const std::byte*>(dense->const_data_ptr());
  return {dtype_of(dense->scalar_type()), dense->sizes().vec(), {}, {data, dense->nbytes()}, dense};
}

std::map<std::string, at::Tensor> load_tensors(const std::filesystem::path& path) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [key, entry] : open_tensor_file(path).tensors) tensors.emplace(key, to_tensor(entry));
  return tensors;
}

}  // namespace limn::weights
