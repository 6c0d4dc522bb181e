// SPDX-License-Identifier: Apache-2.0
// Prompts: the first byte chooses the language, the rest is the text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "limn/base/error.h"
#include "limn/text/prompt.h"
#include "limn/text/wildcards.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace limn::text;
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 5) {
      case 0:
        parse_a1111_weights(text);
        break;
      case 1:
        for (const WeightedText& part : split_a1111_and(text)) parse_a1111_schedule(part.text, {.steps = 9});
        break;
      case 2:
        parse_comfy_weights(text);
        break;
      case 3:
        parse_compel(text);
        break;
      default:
        expand_choices(text, {}, 7);
    }
  } catch (const limn::Error& error) {  // what bad prompts get
    if (error.code() != limn::ErrorCode::InvalidArgument && error.code() != limn::ErrorCode::Unsupported &&
        error.code() != limn::ErrorCode::NotFound)
      std::abort();
  }
  return 0;
}
