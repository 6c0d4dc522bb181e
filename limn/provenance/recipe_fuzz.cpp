// SPDX-License-Identifier: Apache-2.0
// Metadata of other programs: the first byte chooses the keyword, the rest is its text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "limn/base/error.h"
#include "limn/provenance/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const char* const kKeywords[] = {"parameters", "prompt", "invokeai_metadata", "limn"};
  if (size == 0) return 0;
  const std::vector<limn::TextEntry> texts{
      {kKeywords[data[0] % 4], std::string(reinterpret_cast<const char*>(data) + 1, size - 1)}};
  try {
    if (const auto recipe = limn::provenance::read_recipe(texts)) limn::provenance::to_json(*recipe);
  } catch (const limn::Error& error) {  // what bad metadata gets
    if (error.code() != limn::ErrorCode::BadFile && error.code() != limn::ErrorCode::Unsupported)
      std::abort();
  }
  return 0;
}
