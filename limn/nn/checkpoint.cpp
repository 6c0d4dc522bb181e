// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/checkpoint.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace limn::nn {
namespace {

using Run = std::function<at::Tensor(const std::vector<at::Tensor>&)>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Autocast as it was in the forward pass.
class AutocastAs {
 public:
  AutocastAs(c10::DeviceType device, bool on)
      : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device, on);
    at::autocast::increment_nesting();
  }
  ~AutocastAs() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, before_);
  }
  AutocastAs(const AutocastAs&) = delete;
  AutocastAs& operator=(const AutocastAs&) = delete;

 private:
  c10::DeviceType device_;
  bool before_;
};

struct Recompute : torch::autograd::Function<Recompute> {
  /// @param gate  requires gradients, so that backward runs even when no input does
  static at::Tensor forward(AutogradContext* context, const Run& run, const at::Tensor& gate,
                            at::TensorList list) {
    const variable_list inputs = list.vec();
    const auto device = inputs.front().device().type();
    context->saved_data["autocast"] = at::autocast::is_autocast_enabled(device);
    context->save_for_backward(inputs);
    context->saved_data["run"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(run));
    const at::NoGradGuard no_grad;
    return run(inputs);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto holder = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["run"].toCapsule());
    variable_list inputs;
    for (const at::Tensor& input : context->get_saved_variables())
      inputs.push_back(input.defined() ? input.detach().requires_grad_(input.requires_grad()) : input);
    {
      const at::AutoGradMode gradients_on(true);
      const AutocastAs autocast(inputs.front().device().type(), context->saved_data["autocast"].toBool());
      const at::Tensor output = holder->run(inputs);
      if (output.requires_grad()) torch::autograd::backward({output}, {gradients[0]});
    }
    variable_list out{at::Tensor(), at::Tensor()};  // of run and gate
    for (const at::Tensor& input : inputs) out.push_back(input.defined() ? input.grad() : at::Tensor());
    return out;
  }

  struct Holder : torch::CustomClassHolder {
    explicit Holder(Run r) : run(std::move(r)) {}
    Run run;
  };
};

}  // namespace

at::Tensor checkpointed(Run run, const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return run(inputs);
  const at::Tensor gate = at::empty({0}).requires_grad_(true);
  return Recompute::apply(run, gate, at::TensorList(inputs));
}

}  // namespace limn::nn
