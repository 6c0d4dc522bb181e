// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "limn/engine/request.h"

namespace limn::engine {

/// Pictures of a request that are denoised at once; more are done batch after batch.
inline constexpr int64_t kMostPictures = 8;

/// Memory of the process while a part of a request runs, in bytes of the resident set.
struct MemoryStage {
  std::string_view name;    // "load", "encode", "denoise", "decode"
  int64_t program = 0;      // limn and LibTorch, tokenizers, what the allocator keeps of earlier stages
  int64_t weights = 0;      // that were touched so far: mapped from the file, and converted copies
  int64_t activations = 0;  // at their worst moment, with the kernels' scratch
  int64_t total() const { return program + weights + activations; }
};

/// How a request is carried out, and what memory that takes. A plain value.
struct MemoryPlan {
  std::string model, dtype;
  int64_t width = 0, height = 0;  // pixels
  int threads = 0;
  int64_t branches = 0;  // of guidance
  int64_t pictures_at_once = 0;
  bool in_turn = false;  // the U-Net is called for one branch after the other
  int64_t vae_tile = 0;  // pixels; 0: as without a limit
  std::vector<MemoryStage> stages;
  std::vector<std::string> warnings;  // what was chosen to fit, "memory_limit: …"

  const MemoryStage& peak() const;
};

/// Predicts the peak of a new process's resident set for a request, from configurations and file headers; with a
/// memory_limit, of the least change of the request that fits: as asked, decoded in tiles, guidance's branches in turn,
/// fewer pictures at once. For the CPU. Not counted: prompts over 77 tokens, previews while drawing.
/// @param threads  for arithmetic; 0: as many as are set
/// @throws Error as Engine::generate; Error{OutOfMemory} with the least limit that would do;
///         Error{Unsupported} for another device
MemoryPlan plan_memory(const GenerateRequest& request, int threads = 0);

}  // namespace limn::engine
