// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "limn/base/error.h"
#include "limn/weights/index.h"

namespace limn::models {

/// Sizes of the tensors that must be there. The index must outlive it.
class Shapes {
 public:
  explicit Shapes(const weights::Index& index) : index_(index) {}

  /// @throws Error{BadFile} naming the tensor when it is missing or has no such dimension
  int64_t size(const std::string& key, size_t dimension) const {
    const weights::TensorEntry* entry = index_.find(key);
    if (!entry)
      throw Error(ErrorCode::BadFile, index_.origin + ": " + key, "is missing", "the file is not complete");
    if (entry->shape.size() <= dimension || entry->shape[dimension] < 1)
      throw Error(ErrorCode::BadFile, index_.origin + ": " + key,
                  "expected at least " + std::to_string(dimension + 1) + " dimensions, none of them 0");
    return entry->shape[dimension];
  }
  bool has(const std::string& key) const { return index_.has(key); }
  bool is_matrix(const std::string& key) const { return index_.shape_of(key).size() == 2; }
  const std::string& origin() const { return index_.origin; }

  /// How many n there are, from 0 up, for which `before` n `after` is a tensor.
  int64_t count(const std::string& before, const std::string& after) const {
    int64_t n = 0;
    while (has(before + std::to_string(n) + after)) ++n;
    return n;
  }

 private:
  const weights::Index& index_;
};

}  // namespace limn::models
