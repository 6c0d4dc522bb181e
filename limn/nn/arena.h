// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace limn::nn {

/// How much the arena holds, in bytes.
struct ArenaUse {
  size_t in_use = 0;   // of tensors that are alive
  size_t reached = 0;  // from its beginning to its highest block: what is touched, at most
  size_t most = 0;     // the most that was reached
};

/// From here on LibTorch's CPU tensors of a megabyte and more lie in one range of addresses, in huge pages where the system
/// has them. What a tensor leaves is taken by the next one without asking the system, which would clear every page anew: in a
/// denoising loop that is a twentieth of the time, in the decoder more. Does nothing when it was done before, or when the
/// system gives no such range. Safe to call from several threads.
void use_arena();

/// Gives the pages that no tensor uses back to the system.
void trim_arena();

ArenaUse arena_use();

}  // namespace limn::nn
