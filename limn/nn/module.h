// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace limn::nn {

/// A parameter as its module sees it. Until it is loaded or initialised it is a meta tensor: shape without
/// memory.
struct NamedParameter {
  std::string name;    // dotted, as in diffusers' state dict
  at::Tensor* tensor;  // owned by the module
};

/// Base of everything with parameters. Modules register their parameters and children by the names diffusers'
/// state dict uses, so that layout loads without a key table. Children are members, so a module neither moves
/// nor copies. forward() of every module is const: a loaded module may be shared between threads.
/// (torch::nn::Module is not used: its header costs 18 s a file and its layers' forward is not const.)
class Module {
 public:
  virtual ~Module() = default;
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// All parameters below this module, in order of registration.
  std::vector<NamedParameter> parameters(const std::string& prefix = "");

  void for_each_parameter(const std::string& prefix,
                          const std::function<void(const std::string& name, at::Tensor& tensor)>& visit);

  /// This module and all below it, by their dotted names ("" is this one).
  void for_each_module(const std::string& prefix,
                       const std::function<void(const std::string& name, Module& module)>& visit);

  /// Makes a member module a child of this one, called `name`.
  void register_module(std::string name, Module& child);

 protected:
  /// Declares a parameter of this shape; float32 on the meta device until loaded.
  void register_parameter(std::string name, at::Tensor& tensor, std::initializer_list<int64_t> shape);

 private:
  std::vector<std::pair<std::string, at::Tensor*>> parameters_;
  std::vector<std::pair<std::string, Module*>> children_;
};

/// Children in a row, named "0", "1", … as torch's ModuleList names them.
template <typename M>
class ModuleList : public Module {
 public:
  template <typename... Args>
  M& emplace(Args&&... args) {
    items_.push_back(std::make_unique<M>(std::forward<Args>(args)...));
    register_module(std::to_string(items_.size() - 1), *items_.back());
    return *items_.back();
  }
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  const M& operator[](size_t i) const { return *items_[i]; }
  auto begin() const { return items_.begin(); }  // of std::unique_ptr<M>
  auto end() const { return items_.end(); }

 private:
  std::vector<std::unique_ptr<M>> items_;
};

}  // namespace limn::nn
