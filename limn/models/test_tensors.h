// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "limn/base/json.h"
#include "limn/weights/index.h"

/// Helpers of this folder's tests: tensors made by hand and the goldens of tools/goldens/keys.py.
namespace limn::models::testing {

/// A dense tensor of reproducible bits; any float32 bits that are finite.
inline weights::TensorEntry make_tensor(const std::vector<int64_t>& shape, uint32_t seed = 1,
                                        weights::DType dtype = weights::DType::F32) {
  weights::TensorEntry entry;
  entry.dtype = dtype;
  entry.shape = shape;
  const auto count = static_cast<size_t>(entry.elements());
  auto data = std::make_shared<std::vector<float>>(count);
  for (float& value : *data) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(seed)) / 4294967296.0f;
  }
  entry.bytes = std::as_bytes(std::span(*data)).first(count * weights::info_of(dtype).bytes);
  entry.keep_alive = data;
  return entry;
}

/// A tensor of given float32 values.
inline weights::TensorEntry make_values(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  weights::TensorEntry entry = make_tensor(shape);
  auto data = std::make_shared<std::vector<float>>(values);
  entry.bytes = std::as_bytes(std::span(*data));
  entry.keep_alive = data;
  return entry;
}

/// A tensor whose bytes are not there: for what looks at names and shapes only.
inline weights::TensorEntry make_shape(const std::vector<int64_t>& shape) {
  weights::TensorEntry entry;
  entry.shape = shape;
  return entry;
}

inline weights::Index make_index(const std::vector<std::pair<std::string, std::vector<int64_t>>>& shapes) {
  weights::Index index;
  index.origin = "test";
  index.format = "safetensors";
  for (const auto& [key, shape] : shapes) index.tensors[key] = make_shape(shape);
  return index;
}

struct GoldenTensor {
  std::string ldm, diffusers;
  std::vector<int64_t> shape;  // diffusers'
};

inline json::value read_golden(const std::string& name) {
  std::ifstream file(LIMN_SOURCE_DIR "/limn/models/testdata/" + name);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return parse_json(text, name);
}

/// The tensors of one part of a golden architecture.
inline std::vector<GoldenTensor> golden_tensors(const std::string& file, const std::string& part) {
  std::vector<GoldenTensor> tensors;
  const json::value golden = read_golden(file);
  for (const json::value& row : golden.at(part).as_array()) {
    const std::string ldm(row.at(0).as_string()), other(row.at(1).as_string());
    const std::string diffusers = other.empty() ? ldm : other;
    for (const auto& [i, suffix] : {std::pair{2, ".weight"}, std::pair{3, ".bias"}}) {
      if (row.at(i).is_null()) continue;
      GoldenTensor& tensor = tensors.emplace_back(GoldenTensor{ldm + suffix, diffusers + suffix, {}});
      for (const json::value& size : row.at(i).as_array()) tensor.shape.push_back(size.as_int64());
    }
  }
  return tensors;
}

/// A golden architecture as a single file with the prefixes of LDM: filled with bits, or shapes only.
inline weights::Index golden_single_file(const std::string& file, bool filled) {
  constexpr std::pair<const char*, const char*> kParts[] = {
      {"unet", "model.diffusion_model."},
      {"vae", "first_stage_model."},
      {"text_encoder", "cond_stage_model.transformer."}};
  weights::Index index;
  index.origin = file;
  index.format = "safetensors";
  uint32_t seed = 0;
  for (const auto& [part, prefix] : kParts)
    for (GoldenTensor& tensor : golden_tensors(file, part)) {
      const bool convolution = tensor.ldm.find(".attn_1.") != std::string::npos && tensor.shape.size() == 2;
      if (convolution) tensor.shape.insert(tensor.shape.end(), {1, 1});
      index.tensors[prefix + tensor.ldm] =
          filled ? make_tensor(tensor.shape, ++seed) : make_shape(tensor.shape);
    }
  return index;
}

}  // namespace limn::models::testing
