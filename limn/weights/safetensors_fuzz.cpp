// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <span>

#include "limn/base/error.h"
#include "limn/weights/safetensors.h"

/// Every input is a safetensors file; each byte of each tensor of a good one is read.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto index =
        limn::weights::parse_safetensors(std::as_bytes(std::span(data, size)), nullptr, "fuzz");
    unsigned sum = 0;
    for (const auto& [key, entry] : index.tensors) {
      for (const std::byte byte : entry.bytes) sum += static_cast<unsigned>(byte);
      if (entry.elements() * limn::weights::info_of(entry.dtype).bytes != entry.bytes.size())
        __builtin_trap();
    }
    return sum == 0x7fffffff;
  } catch (const limn::Error& error) {
    if (error.code() == limn::ErrorCode::Internal) __builtin_trap();
  }
  return 0;
}
