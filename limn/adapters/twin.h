// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "limn/nn/module.h"

namespace limn::adapters {

/// Another module of the same shape that shares the parameters, to be changed before others see it.
template <typename Module>
std::shared_ptr<Module> twin_of(const Module& base) {
  std::map<std::string, at::Tensor> parameters;
  const_cast<Module&>(base).for_each_parameter(  // they are only read here
      "", [&](const std::string& name, at::Tensor& tensor) { parameters[name] = tensor; });
  auto twin = std::make_shared<Module>(base.config());
  twin->for_each_parameter(
      "", [&](const std::string& name, at::Tensor& tensor) { tensor = parameters.at(name); });
  return twin;
}

}  // namespace limn::adapters
