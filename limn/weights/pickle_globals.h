// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace limn::weights {

/// What limn makes of a Python name in a pickle: data, by limn's own code. Nothing is imported.
enum class GlobalKind : uint8_t {
  RebuildTensor,     // (storage, offset, size, stride, …)
  RebuildTyped,      // (storage, offset, size, stride, requires_grad, hooks, dtype, …)
  RebuildParameter,  // (tensor, …)
  RebuildFromType,   // (function, type, arguments, state)
  Storage,           // of one element type
  UntypedStorage,    // of bytes
  DType,
  UnsupportedType,  // an element type, or a storage of one, that limn does not have
  Dict,             // (), or (pairs)
  Sequence,         // (items): a list, tuple or set of them
  Scalar,           // (value)
  NumpyScalar,      // (dtype, bytes)
  NumpyDType,       // (code, align, copy)
  Encode,           // (text, encoding)
  Parameters,       // an object whose state has "_parameters"
  Opaque,           // kept as an empty object
};

struct PickleGlobal {
  std::string_view module, name;
  GlobalKind kind;
  std::string_view dtype = {};  // safetensors name, for Storage and DType
};

/// The row of the allow-list, or null for what is refused.
const PickleGlobal* find_global(std::string_view module, std::string_view name);

}  // namespace limn::weights
