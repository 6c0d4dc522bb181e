// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/torch_errors.h"

#include <new>
#include <string>

#include <c10/util/Exception.h>

#include "limn/base/error.h"

namespace limn::engine {

void rethrow_as_error(const char* where) {
  constexpr const char* kHint = "ask for a smaller picture or fewer of them";
  try {
    throw;
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    if (what.find("allocate memory") != std::string::npos || what.find("out of memory") != std::string::npos)
      throw Error(ErrorCode::OutOfMemory, where, what, kHint);
    throw Error(ErrorCode::Internal, where, what, "please report it");
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::OutOfMemory, where, "not enough memory", kHint);
  }
}

}  // namespace limn::engine
