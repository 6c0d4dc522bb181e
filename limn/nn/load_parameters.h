// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "limn/nn/module.h"
#include "limn/weights/index.h"

namespace limn::nn {

/// Gives every parameter of `module` its tensor from `index`, converted to `dtype` on `device`. Tensors that
/// are already so share the file's mapped memory. Every tensor is accounted for.
/// @param part  the component's name, for errors: "unet"
/// @throws Error{BadFile} that lists missing, unexpected and mis-shaped tensors; Error{BadFile} for integer
/// weights
void load_parameters(Module& module, const weights::Index& index, at::ScalarType dtype, at::Device device,
                     const std::string& part);

}  // namespace limn::nn
