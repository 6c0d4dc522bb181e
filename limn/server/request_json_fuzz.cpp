// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "limn/base/error.h"
#include "limn/server/router.h"

namespace {

using limn::json::object;
using limn::server::NamedSchema;

object parsed(const char* text) { return limn::parse_json(text, "schema").as_object(); }

// Every word of a schema that check_schema knows, and one that refers to itself.
const NamedSchema kSchemas[] = {
    {"Tree",
     [] {
       return parsed(
           R"({"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":9,"pattern":"^[a-z]+$"},
         "leaves":{"type":"array","items":{"$ref":"#/components/schemas/Tree"},"minItems":1,"maxItems":3}},
         "required":["name"],"additionalProperties":false})");
     }},
    {"All",
     [] {
       return parsed(R"({"type":["object","null"],"properties":{
         "a":{"type":"integer","minimum":-5,"maximum":5},"b":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1},
         "c":{"enum":["x",1,null]},"d":{"const":true},"e":{"anyOf":[{"type":"boolean"},{"$ref":"Tree"}]},
         "f":{"oneOf":[{"type":"integer"},{"type":"number"}]},"g":{"allOf":[{"$ref":"Tree"}]}},
         "additionalProperties":{"type":"string"}})");
     }},
};

}  // namespace

/// Every input is a request's body. What is refused is the client's mistake, and said of a field.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto value = limn::server::read_json({reinterpret_cast<const char*>(data), size});
    for (const NamedSchema& schema : kSchemas) {
      try {
        limn::server::check_schema(schema.make(), value, kSchemas);
      } catch (const limn::Error& error) {
        if (error.code() != limn::ErrorCode::InvalidArgument || error.where().empty()) __builtin_trap();
      }
    }
  } catch (const limn::Error& error) {
    if (error.code() != limn::ErrorCode::InvalidArgument) __builtin_trap();
  }
  return 0;
}
