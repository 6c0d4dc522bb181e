// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/pickle_globals.h"

namespace limn::weights {
namespace {

using enum GlobalKind;

constexpr PickleGlobal kAllowed[] = {
    {"torch._utils", "_rebuild_tensor", RebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", RebuildTensor},
    {"torch._utils", "_rebuild_tensor_v3", RebuildTyped},
    {"torch._utils", "_rebuild_parameter", RebuildParameter},
    {"torch._utils", "_rebuild_parameter_with_state", RebuildParameter},
    {"torch._tensor", "_rebuild_from_type_v2", RebuildFromType},
    {"torch.nn.parameter", "Parameter", RebuildParameter},
    {"torch.nn.modules.container", "ParameterDict", Parameters},
    {"torch", "Tensor", Opaque},
    {"torch", "device", Opaque},
    {"torch", "Size", Sequence},

    {"torch", "DoubleStorage", Storage, "F64"},
    {"torch", "FloatStorage", Storage, "F32"},
    {"torch", "HalfStorage", Storage, "F16"},
    {"torch", "BFloat16Storage", Storage, "BF16"},
    {"torch", "LongStorage", Storage, "I64"},
    {"torch", "IntStorage", Storage, "I32"},
    {"torch", "ShortStorage", Storage, "I16"},
    {"torch", "CharStorage", Storage, "I8"},
    {"torch", "ByteStorage", Storage, "U8"},
    {"torch", "BoolStorage", Storage, "BOOL"},
    {"torch", "UntypedStorage", UntypedStorage},
    {"torch.storage", "UntypedStorage", UntypedStorage},
    {"torch", "ComplexFloatStorage", UnsupportedType},
    {"torch", "ComplexDoubleStorage", UnsupportedType},
    {"torch", "QInt8Storage", UnsupportedType},
    {"torch", "QUInt8Storage", UnsupportedType},
    {"torch", "QInt32Storage", UnsupportedType},

    {"torch", "float64", DType, "F64"},
    {"torch", "float32", DType, "F32"},
    {"torch", "float16", DType, "F16"},
    {"torch", "bfloat16", DType, "BF16"},
    {"torch", "float8_e4m3fn", DType, "F8_E4M3"},
    {"torch", "float8_e5m2", DType, "F8_E5M2"},
    {"torch", "int64", DType, "I64"},
    {"torch", "int32", DType, "I32"},
    {"torch", "int16", DType, "I16"},
    {"torch", "int8", DType, "I8"},
    {"torch", "uint8", DType, "U8"},
    {"torch", "bool", DType, "BOOL"},
    {"torch", "uint16", UnsupportedType},
    {"torch", "uint32", UnsupportedType},
    {"torch", "uint64", UnsupportedType},
    {"torch", "complex32", UnsupportedType},
    {"torch", "complex64", UnsupportedType},
    {"torch", "complex128", UnsupportedType},
    {"torch", "float8_e4m3fnuz", UnsupportedType},
    {"torch", "float8_e5m2fnuz", UnsupportedType},
    {"torch", "float8_e8m0fnu", UnsupportedType},
    {"torch", "float4_e2m1fn_x2", UnsupportedType},

    {"collections", "OrderedDict", Dict},
    {"collections", "defaultdict", Dict},
    {"numpy", "dtype", NumpyDType},
    {"numpy.core.multiarray", "scalar", NumpyScalar},
    {"numpy._core.multiarray", "scalar", NumpyScalar},
    {"_codecs", "encode", Encode},

    {"builtins", "dict", Dict},
    {"builtins", "list", Sequence},
    {"builtins", "tuple", Sequence},
    {"builtins", "set", Sequence},
    {"builtins", "frozenset", Sequence},
    {"builtins", "int", Scalar},
    {"builtins", "long", Scalar},  // protocol 2's name of int
    {"builtins", "float", Scalar},
    {"builtins", "bool", Scalar},
    {"builtins", "str", Scalar},
    {"builtins", "unicode", Scalar},  // protocol 2's name of str
    {"builtins", "bytes", Scalar},
    {"builtins", "bytearray", Scalar},
    {"builtins", "complex", Opaque},
};

constexpr PickleGlobal kTrainer{"pytorch_lightning", "", Opaque};

}  // namespace

const PickleGlobal* find_global(std::string_view module, std::string_view name) {
  if (module == "__builtin__") module = "builtins";  // Python 2's name, which protocols up to 2 write
  if (module == "torch.cuda" && name.ends_with("Storage")) module = "torch";
  if (module.starts_with("pytorch_lightning.") || module.starts_with("lightning_fabric.")) return &kTrainer;
  for (const PickleGlobal& row : kAllowed)
    if (row.module == module && row.name == name) return &row;
  return nullptr;
}

}  // namespace limn::weights
