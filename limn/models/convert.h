// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "limn/models/checkpoint.h"
#include "limn/weights/dtype.h"

namespace limn::models {

struct ConvertOptions {
  /// Element type of all floating-point tensors: F64, F32, F16 or BF16, rounded to nearest even. Empty: kept,
  /// bit for bit.
  std::optional<weights::DType> dtype;
  /// Replace what is at the output's place.
  bool force = false;
};

/// Writes a model in another layout or element type. The output's name says the layout: `*.safetensors` is a
/// single file, a name without the ending of another model format is a diffusers folder. A single file to a
/// single file keeps all names and takes files of any kind (a LoRA, a VAE). The output is there whole or not
/// at all.
///
/// A folder's settings that tensors' shapes do not tell (attention heads, the scheduler, …) go into the
/// single file's metadata where they differ from what its readers assume, and a warning names them, since
/// other programs do not read them there.
/// @return  warnings: what was left out, changed or assumed
/// @throws  Error{InvalidArgument} when the output exists or cannot be written, and for other dtypes;
///          what open_checkpoint throws
std::vector<std::string> convert(const std::filesystem::path& in, const std::filesystem::path& out,
                                 const ConvertOptions& options = {});

/// Writes a model's parts, as they are, as a diffusers folder, whole or not at all; replaces the one that is there.
void write_model_folder(const Checkpoint& checkpoint, const std::filesystem::path& folder);

}  // namespace limn::models
