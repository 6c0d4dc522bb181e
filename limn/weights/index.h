// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "limn/base/file.h"
#include "limn/base/json.h"
#include "limn/weights/dtype.h"

namespace limn::weights {

/// Where one tensor's elements lie. The bytes stay valid as long as `keep_alive` does. Immutable.
struct TensorEntry {
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;      // in elements; empty: row-major and dense
  std::span<const std::byte> bytes;  // all the elements lie inside
  std::shared_ptr<const void> keep_alive;

  int64_t elements() const;
};

/// Named tensors of one file or of one part of a model, nothing loaded yet. A value; cheap to copy.
struct Index {
  std::string origin;  // file or folder, for errors
  std::string format;  // "safetensors", "pickle (zip)", "pickle (legacy)"
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__, or plain scalars of a pickle
  std::vector<std::filesystem::path> files;     // what was mapped

  bool has(const std::string& key) const { return tensors.contains(key); }
  /// Null when absent.
  const TensorEntry* find(const std::string& key) const;
  /// The shape, or empty when there is no such key.
  std::vector<int64_t> shape_of(const std::string& key) const;
  bool has_prefix(const std::string& prefix) const;
};

/// Opens a tensor file by its content: safetensors, a sharded `*.index.json`, or PyTorch's zip and legacy
/// pickles. Only headers are read; the rest is memory-mapped. Nothing in the file is ever executed. Shards
/// must be files of the index's own folder (or links into the Hugging Face cache it lies in).
/// @throws Error{NotFound}; Error{BadFile} with offset or key; Error{Refused} naming a forbidden pickle
/// global or a
///         shard that leads elsewhere;
///         Error{Unsupported} for other formats, by name where it is known (GGUF, ONNX, …)
Index open_tensor_file(const std::filesystem::path& path);

/// Finds and opens one component folder's weights as diffusers names them: `<stem>.safetensors`,
/// `<stem>.safetensors.index.json`, `<stem>.bin`, `<stem>.bin.index.json`, then the same with variants
/// (`<stem>.fp16.safetensors`; fp32 before fp16 before bf16 before others). Stems: "diffusion_pytorch_model",
/// "model", "pytorch_model".
/// @throws Error{NotFound} saying what the folder holds instead; whatever open_tensor_file throws
Index open_component_folder(const std::filesystem::path& folder);

}  // namespace limn::weights
