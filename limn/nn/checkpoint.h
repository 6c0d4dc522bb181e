// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace limn::nn {

/// run(inputs), without keeping what is between: the backward pass runs it again (Chen et al. 2016). Gradients reach the
/// inputs and the parameters that `run` uses. With gradients off it is run(inputs).
/// @param run  must depend on its arguments and on parameters alone
at::Tensor checkpointed(std::function<at::Tensor(const std::vector<at::Tensor>& inputs)> run,
                        const std::vector<at::Tensor>& inputs);

}  // namespace limn::nn
