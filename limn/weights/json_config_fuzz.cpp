// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "limn/base/error.h"
#include "limn/base/json.h"

namespace {

template <typename Action>
void run(Action&& action) {
  try {
    action();
  } catch (const limn::Error& error) {
    if (error.code() == limn::ErrorCode::Internal) __builtin_trap();
  }
}

/// Reads each key as every type that configurations have.
void read_fields(const limn::json::object& object) {
  const limn::Fields fields(object, "fuzz");
  for (const auto& item : object) {
    const std::string_view key(item.key().data(), item.key().size());
    run([&] { fields.boolean(key, true); });
    run([&] { fields.integer(key, 1, -5, 1 << 20); });
    run([&] { fields.number(key, 1); });
    run([&] { fields.string(key, ""); });
    run([&] { fields.integers(key, {}); });
    run([&] { fields.numbers(key, {}); });
    run([&] { fields.strings(key, {}); });
    run([&] { fields.integer_or_list(key, 4, {}); });
    run([&] { fields.boolean_or_list(key, 4, false); });
    run([&] { fields.one_of(key, "a", {"a", "b"}); });
  }
  if (!fields.unread().empty()) __builtin_trap();
}

}  // namespace

/// Every input is a configuration file. What parses must parse again from its own text, to the same value.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  run([&] {
    const auto value = limn::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
    for (const std::string& text : {limn::to_text(value), limn::to_pretty_text(value)})
      if (limn::to_text(limn::parse_json(text, "again")) != limn::to_text(value)) __builtin_trap();
    if (value.is_object()) read_fields(value.as_object());
  });
  return 0;
}
