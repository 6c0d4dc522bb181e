// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_map>

#include <ATen/core/Tensor.h>

namespace limn::models {

/// Keys and values that attentions made of a context, kept from one call of a model to the next. Owned by whoever calls the
/// model, which stays immutable, and for no longer than its weights stay as they are. One thread at a time.
class KeyValueCache {
 public:
  struct KeyValue {
    at::Tensor key, value;  // [contexts, tokens, inner_dim]
  };

  /// What `make` returned for this attention and this context before; made now if there is none.
  /// @param attention  told apart by its address
  /// @param context    told apart by identity, not by its numbers; must not change in place
  template <typename Make>
  const KeyValue& get(const void* attention, const at::Tensor& context, const Make& make) {
    Entry& entry = entries_[attention];
    if (!entry.context.is_same(context)) entry = {context, make()};
    return entry.made;
  }

 private:
  struct Entry {
    at::Tensor context;
    KeyValue made;
  };
  std::unordered_map<const void*, Entry> entries_;  // one an attention: the last context's
};

}  // namespace limn::models
