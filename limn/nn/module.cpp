// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/module.h"

#include <ATen/ops/empty.h>

namespace limn::nn {

std::vector<NamedParameter> Module::parameters(const std::string& prefix) {
  std::vector<NamedParameter> out;
  for_each_parameter(prefix, [&](const std::string& name, at::Tensor& tensor) {
    out.push_back({name, &tensor});
  });
  return out;
}

void Module::for_each_parameter(const std::string& prefix,
                                const std::function<void(const std::string&, at::Tensor&)>& visit) {
  const std::string dotted = prefix.empty() ? "" : prefix + ".";
  for (auto& [name, tensor] : parameters_) visit(dotted + name, *tensor);
  for (auto& [name, child] : children_) child->for_each_parameter(dotted + name, visit);
}

void Module::for_each_module(const std::string& prefix,
                             const std::function<void(const std::string&, Module&)>& visit) {
  visit(prefix, *this);
  for (auto& [name, child] : children_)
    child->for_each_module(prefix.empty() ? name : prefix + "." + name, visit);
}

void Module::register_parameter(std::string name, at::Tensor& tensor, std::initializer_list<int64_t> shape) {
  tensor = at::empty(at::IntArrayRef(shape), at::TensorOptions().device(at::kMeta).dtype(at::kFloat));
  parameters_.emplace_back(std::move(name), &tensor);
}

void Module::register_module(std::string name, Module& child) {
  children_.emplace_back(std::move(name), &child);
}

}  // namespace limn::nn
