// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "limn/base/error.h"
#include "limn/server/base64.h"

/// Every input is bytes to encode and text to decode. Each text stands for its bytes alone, and they for it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (limn::server::decode_base64(limn::server::encode_base64(input), "fuzz") != input) __builtin_trap();
  try {
    const std::string again = limn::server::encode_base64(limn::server::decode_base64(input, "fuzz"));
    if (again.substr(0, again.find('=')) != input.substr(0, input.find('='))) __builtin_trap();
  } catch (const limn::Error& error) {
    if (error.code() != limn::ErrorCode::InvalidArgument) __builtin_trap();
  }
  return 0;
}
