// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "limn/base/error.h"
#include "limn/datasets/sources.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace limn;
  try {
    size_t bytes = 0;
    for (const datasets::TarMember& member :
         datasets::read_tar(std::as_bytes(std::span(data, size)), "fuzz.tar"))
      bytes += member.bytes.size();
    if (bytes > size) std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadFile) std::abort();
  }
  return 0;
}
