// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "limn/base/error.h"
#include "limn/server/router.h"

namespace limn::server {
namespace {

using ::testing::HasSubstr;

json::object parsed(std::string_view text) { return parse_json(text, "schema").as_object(); }

const NamedSchema kSchemas[] = {{"Tree", [] {
                                   return parsed(R"({"type":"object","properties":{"name":{"type":"string"},
         "leaves":{"type":"array","items":{"$ref":"#/components/schemas/Tree"},"maxItems":2}},
         "required":["name"],"additionalProperties":false})");
                                 }}};

/// "where: problem (hint)", or nothing.
std::string problem(std::string_view schema, std::string_view value) {
  try {
    check_schema(parsed(schema), parse_json(value, "value"), kSchemas);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    return error.what();
  }
  return "";
}

TEST(Schema, ChecksTypes) {
  struct Row {
    const char *type, *good, *bad;
  };
  for (const Row& row : {Row{"object", "{}", "[]"},
                         {"array", "[]", "{}"},
                         {"string", "\"a\"", "1"},
                         {"integer", "-3", "1.5"},
                         {"integer", "2.0", "\"2\""},
                         {"integer", "18446744073709551615", "1e300"},
                         {"number", "1.5", "\"1\""},
                         {"number", "3", "true"},
                         {"number", "1", "Infinity"},
                         {"boolean", "true", "0"},
                         {"null", "null", "0"}}) {
    const std::string schema = R"({"type":")" + std::string(row.type) + "\"}";
    EXPECT_EQ(problem(schema, row.good), "") << row.type;
    EXPECT_THAT(problem(schema, row.bad), HasSubstr("body: expected ")) << row.type << " " << row.bad;
  }
  EXPECT_EQ(problem(R"({"type":["string","null"]})", "null"), "");
  EXPECT_EQ(problem(R"({"type":["string","null"]})", "1"), "body: expected a text or null, found 1");
  EXPECT_EQ(problem("{}", "[1]"), "");
}

TEST(Schema, ChecksNumbers) {
  EXPECT_EQ(problem(R"({"minimum":1,"maximum":3})", "1"), "");
  EXPECT_EQ(problem(R"({"minimum":1,"maximum":3})", "0"), "body: must be at least 1, is 0");
  EXPECT_EQ(problem(R"({"minimum":1,"maximum":3})", "3.5"), "body: must be at most 3, is 3.5");
  EXPECT_THAT(problem(R"({"exclusiveMinimum":0})", "0"), HasSubstr("over 0"));
  EXPECT_THAT(problem(R"({"exclusiveMaximum":1})", "1"), HasSubstr("under 1"));
  EXPECT_EQ(problem(R"({"minimum":1})", "\"text\""), "");
}

TEST(Schema, ChecksTexts) {
  EXPECT_EQ(problem(R"({"minLength":1,"maxLength":2})", "\"éé\""), "");  // characters, not bytes
  EXPECT_EQ(problem(R"({"minLength":1})", "\"\""), "body: must have at least 1 characters, has 0");
  EXPECT_THAT(problem(R"({"maxLength":2})", "\"abc\""), HasSubstr("at most 2 characters, has 3"));
  EXPECT_EQ(problem(R"({"pattern":"^input:[0-9a-f]{4}$"})", "\"input:09af\""), "");
  EXPECT_THAT(problem(R"({"pattern":"^input:[0-9a-f]{4}$"})", "\"input:xyz\""),
              HasSubstr("is not of the form ^input:"));
  EXPECT_THAT(problem(R"({"pattern":"^(a|b)*$"})", '"' + std::string(1'000'000, 'a') + '"'),
              HasSubstr("is not of the form"));
}

TEST(Schema, ChecksConstants) {
  EXPECT_EQ(problem(R"({"enum":["a",1,null]})", "null"), "");
  EXPECT_EQ(problem(R"({"enum":["a",1,null]})", "\"b\""), "body: no \"b\" (known: \"a\", 1, null)");
  EXPECT_EQ(problem(R"({"const":true})", "true"), "");
  EXPECT_EQ(problem(R"({"const":true})", "false"), "body: expected true, found false");
}

TEST(Schema, ChecksListsAndObjectsDeepDown) {
  const char* tree = R"({"$ref":"#/components/schemas/Tree"})";
  EXPECT_EQ(problem(tree, R"({"name":"a","leaves":[{"name":"b"},{"name":"c","leaves":[]}]})"), "");
  EXPECT_EQ(problem(tree, R"({"leaves":[]})"), "name: is missing");
  EXPECT_EQ(problem(tree, R"({"name":"a","leaves":[{"name":"b"},{"name":7}]})"),
            "leaves[1].name: expected a text, found 7");
  EXPECT_THAT(problem(tree, R"({"name":"a","leaves":[{"name":"b","x":1}]})"),
              HasSubstr("leaves[0].x: there is no such field (known: name, leaves)"));
  EXPECT_EQ(problem(tree, R"({"name":"a","leaves":[{},{},{}]})"), "leaves: must have at most 2 items, has 3");
  EXPECT_EQ(problem(R"({"additionalProperties":{"type":"integer"}})", R"({"a":1,"b":"c"})"),
            "b: expected an integer, found \"c\"");
  EXPECT_EQ(problem(R"({"properties":{"a":{}}})", R"({"a":1,"b":"c"})"), "");
}

TEST(Schema, ChecksAlternatives) {
  const char* either = R"({"anyOf":[{"type":"string"},{"$ref":"Tree"}]})";
  EXPECT_EQ(problem(either, "\"a\""), "");
  EXPECT_EQ(problem(either, R"({"name":"a"})"), "");
  EXPECT_EQ(problem(either, R"({"name":1})"), "name: expected a text, found 1");  // as far as it goes
  const char* one = R"({"oneOf":[{"type":"integer"},{"type":"number","minimum":5}]})";
  EXPECT_EQ(problem(one, "1"), "");
  EXPECT_EQ(problem(one, "5.5"), "");
  EXPECT_EQ(problem(one, "6"), "body: fits more than one of its forms");
  EXPECT_EQ(problem(R"({"allOf":[{"minimum":1},{"maximum":2}]})", "3"), "body: must be at most 2, is 3");
}

TEST(Schema, ShortensWhatItShows) {
  const std::string shown = problem(R"({"type":"integer"})", "\"" + std::string(55, 'x') + "ééééé\"");
  EXPECT_LT(shown.size(), 120u);
  EXPECT_THAT(shown, HasSubstr("..."));
}

TEST(Schema, SaysWhenASchemaIsWrong) {
  const auto code = [](std::string_view schema) {
    try {
      check_schema(parsed(schema), json::value(1), kSchemas);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::Cancelled;
  };
  EXPECT_EQ(code(R"({"$ref":"#/components/schemas/None"})"), ErrorCode::Internal);
  EXPECT_EQ(code(R"({"type":"float"})"), ErrorCode::Internal);
}

TEST(ReadJson, RefusesWhatNoRequestNeeds) {
  const auto refused = [](const std::string& text) -> std::string {
    try {
      read_json(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refused(R"({"a":[1,2,{"b":null}]})"), "");
  EXPECT_EQ(refused(""), "body: is missing (send JSON)");
  EXPECT_THAT(refused("{"), HasSubstr("body @1: not valid JSON"));
  EXPECT_THAT(refused("{} {}"), HasSubstr("text after the value"));
  EXPECT_THAT(refused(R"({"a":1,"a":2})"), HasSubstr("stands twice"));
  EXPECT_THAT(refused("\"\xff\""), HasSubstr("not valid JSON"));
  EXPECT_EQ(refused(std::string(32, '[') + std::string(32, ']')), "");
  EXPECT_EQ(refused(std::string(33, '[') + std::string(33, ']')), "body: is nested more than 32 deep");
  EXPECT_THAT(refused(std::string(100'000, '[')), HasSubstr("body"));
  EXPECT_EQ(refused(R"({"a":"b\u0000c"})"), "body: has a text with a zero character");
  EXPECT_EQ(refused(R"({"a\u0000":1})"), "body: has a text with a zero character");
}

}  // namespace
}  // namespace limn::server
