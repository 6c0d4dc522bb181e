// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <span>

#include "limn/base/error.h"
#include "limn/weights/bytes.h"
#include "limn/weights/layout.h"
#include "limn/weights/pickle.h"
#include "limn/weights/pickle_machine.h"

namespace {

using namespace limn::weights;

void read_file(std::span<const std::byte> file) {
  unsigned sum = 0;
  for (const auto& [key, entry] : parse_pickle(file, nullptr, "fuzz").tensors) {
    for (const std::byte byte : entry.bytes) sum += static_cast<unsigned>(byte);
    const auto reach =
        entry.strides.empty() ? entry.elements() : reach_of(entry.shape, entry.strides).value();
    if (reach * info_of(entry.dtype).bytes != entry.bytes.size()) __builtin_trap();
  }
  static volatile unsigned sink;
  sink = sum;
}

void run_machine(std::span<const std::byte> pickle) {
  ByteReader reader(pickle, "fuzz");
  const PickleMachine machine(reader);
}

}  // namespace

/// Every input is a torch.save file, zip or legacy, and a bare pickle as well, which gets deeper into the
/// machine.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const auto read : {read_file, run_machine}) {
    try {
      read(std::as_bytes(std::span(data, size)));
    } catch (const limn::Error& error) {
      if (error.code() == limn::ErrorCode::Internal) __builtin_trap();
    }
  }
  return 0;
}
