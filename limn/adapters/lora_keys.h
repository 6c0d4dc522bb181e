// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "limn/models/key_map.h"
#include "limn/models/model.h"
#include "limn/nn/module.h"

namespace limn::adapters {

/// What a tensor of a LoRA file is to its layer.
enum class LoraRole { Down, Up, Mid, Alpha };

struct LoraKey {
  std::string part, module;  // of LoraLayer
  LoraRole role;
};

/// Every way to name the layers of one model, built from the model's own modules: names with underscores for dots are
/// looked up, never taken apart.
class LoraNames {
 public:
  explicit LoraNames(const models::Model& model);
  /// Where a tensor belongs, or nothing.
  std::optional<LoraKey> find(const std::string& key) const;
  /// [out, in] or [out, in, kernel, kernel] of a layer's weight.
  const std::vector<int64_t>& shape_of(const std::string& part, const std::string& module) const;

 private:
  void add(const std::string& part, const std::string& module, std::vector<int64_t> shape);
  models::KeyMap unet_names_;
  std::map<std::string, std::pair<std::string, std::string>> layers_;  // prefix of a key → part, module
  std::map<std::pair<std::string, std::string>, std::vector<int64_t>> shapes_;
};

/// The kind of adapter a key belongs to that limn cannot apply ("LoKr"), or empty.
std::string unsupported_kind(const std::string& key);

}  // namespace limn::adapters
