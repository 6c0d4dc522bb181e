// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace limn::kernels {

/// A callable by reference, without allocation. Must not outlive what it was made from.
template <typename Signature>
class FunctionRef;

template <typename Result, typename... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // implicit, as std::function's
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  Result operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

/// Calls body(i) for each i in [0, count), on the threads LibTorch uses too (OpenMP's); each i goes to the next
/// free thread. Inside a parallel region, or where `work`, the operations of all calls together, is worth less than
/// waking threads, it runs on the caller's thread. body must not throw.
void parallel_for(int64_t count, int64_t work, FunctionRef<void(int64_t)> body);

/// How many threads parallel_for uses.
int num_threads();

/// Scratch memory of the calling thread, at least `floats` long, 64-byte aligned; kept for the next call and valid
/// until it. `slot` tells buffers apart that are in use together.
float* scratch(int slot, int64_t floats);

}  // namespace limn::kernels
