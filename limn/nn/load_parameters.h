// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "limn/nn/module.h"
#include "limn/weights/index.h"

namespace limn::nn {

/// When weights get the type that is computed in.
enum class Widening {
  AtLoad,
  /// Weights of Linear and Conv2d that are 16 bits wide in the file stay so: the same numbers, half of the memory.
  AtUse
};

/// Gives every parameter of `module` its tensor from `index`, converted to `dtype` on `device`. Tensors that
/// are already so share the file's mapped memory. Every tensor is accounted for.
/// @param part  the component's name, for errors: "unet"
/// @throws Error{BadFile} that lists missing, unexpected and mis-shaped tensors; Error{BadFile} for integer
/// weights
void load_parameters(Module& module, const weights::Index& index, at::ScalarType dtype, at::Device device,
                     const std::string& part, Widening widening = Widening::AtLoad);

}  // namespace limn::nn
