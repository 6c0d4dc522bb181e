// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace limn::engine {

/// In a catch block: throws what is in flight again, LibTorch's and the allocator's errors as limn's.
/// @param where  the Error's `where`
[[noreturn]] void rethrow_as_error(const char* where);

}  // namespace limn::engine
