// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/index.h"

#include "limn/base/error.h"
#include "limn/weights/layout.h"

namespace limn::weights {

int64_t TensorEntry::elements() const {
  const std::optional<int64_t> count = count_elements(shape);
  LIMN_CHECK(count, "impossible shape " + shape_text(shape));
  return *count;
}

const TensorEntry* Index::find(const std::string& key) const {
  const auto found = tensors.find(key);
  return found == tensors.end() ? nullptr : &found->second;
}

std::vector<int64_t> Index::shape_of(const std::string& key) const {
  const TensorEntry* entry = find(key);
  return entry ? entry->shape : std::vector<int64_t>{};
}

bool Index::has_prefix(const std::string& prefix) const {
  const auto next = tensors.lower_bound(prefix);
  return next != tensors.end() && next->first.starts_with(prefix);
}

}  // namespace limn::weights
