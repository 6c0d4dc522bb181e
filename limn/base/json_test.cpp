// SPDX-License-Identifier: Apache-2.0
#include "limn/base/json.h"

#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"

namespace limn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

template <typename Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "expected an error";
  return {ErrorCode::Internal, "", ""};
}

TEST(ParseJson, ReadsEveryKindOfValue) {
  const json::value value = parse_json(R"( {"a": [1, -2, 3.5, true, null, "ε\n"], "b": {}} )", "test");
  EXPECT_EQ(to_text(value), R"({"a":[1,-2,3.5E0,true,null,"ε\n"],"b":{}})");
}

TEST(ParseJson, RoundsNumbersAsTheCompilerDoes) {
  EXPECT_EQ(parse_json("0.00085", "f").as_double(), 0.00085);
  EXPECT_EQ(parse_json("0.93847823411240251", "f").as_double(), 0.93847823411240251);
  EXPECT_EQ(parse_json("184467440735924407928", "f").as_double(), 184467440735924407928.0);
  EXPECT_EQ(parse_json("-2.2250738585072014E-308", "f").as_double(), -2.2250738585072014e-308);
  EXPECT_EQ(parse_json("9223372036854775807", "f").as_int64(), INT64_MAX);
}

TEST(ParseJson, KeepsLongAndEscapedTextWhole) {
  const std::string text(100'000, 'x');
  EXPECT_EQ(parse_json("[\"" + text + "\\n\\u00e9" + text + "\"]", "f").at(0).as_string(),
            text + "\né" + text);
}

TEST(ParseJson, RefusesWhatIsNotJsonWithItsOffset) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":}", "{'a':1}", "nul", "[1] x", "{} {}", "\"\xff\"",
                           "01", "+1", "NaN", "[1 2]", "// x\n1", "\"\t\"", "\"\\ud800\""}) {
    const Error error = error_of([&] { parse_json(text, "config.json"); });
    EXPECT_EQ(error.code(), ErrorCode::BadFile) << text;
    EXPECT_THAT(error.where(), StartsWith("config.json @")) << text;
  }
  EXPECT_STREQ(error_of([] { parse_json("{} {}", "f"); }).what(),
               "f @3: not valid JSON: text after the value");
}

TEST(ParseJson, RefusesDuplicateKeysAtAnyLevelButNotInDifferentObjects) {
  EXPECT_THAT(error_of([] { parse_json(R"({"key":1,"key":2})", "f"); }).what(),
              HasSubstr("key 'key' stands twice"));
  EXPECT_THAT(error_of([] { parse_json(R"([{"x":{"k":1,"j":2,"k":3}}])", "f"); }).what(),
              HasSubstr("'k' stands twice"));
  EXPECT_THAT(error_of([] { parse_json(R"({"a":1,"\u0061":2})", "f"); }).what(),
              HasSubstr("'a' stands twice"));
  EXPECT_NO_THROW(parse_json(R"({"k":{"k":1},"j":[{"k":1},{"k":2}]})", "f"));
}

TEST(ParseJson, AllowsSixtyFourLevelsAndNoMore) {
  const auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_NO_THROW(parse_json(nested(64), "f"));
  EXPECT_EQ(error_of([&] { parse_json(nested(65), "f"); }).code(), ErrorCode::BadFile);
  EXPECT_EQ(error_of([] { parse_json(std::string(10'000'000, '['), "f"); }).code(), ErrorCode::BadFile);
}

TEST(ParseJson, RefusesMoreValuesThanAnyFileNeeds) {
  std::string text = "[0";
  for (int i = 0; i < 2'000'001; ++i) text += ",0";
  EXPECT_THAT(error_of([&] { parse_json(text + "]", "f"); }).what(), HasSubstr("more than 2000000 values"));
}

TEST(PrettyText, BreaksObjectsIntoLinesAndParsesBack) {
  const json::value value = parse_json(R"({"a":[1,2],"b":{"c":[{"d":1},{}],"e":{}},"f\"":"g"})", "f");
  const std::string text = to_pretty_text(value);
  EXPECT_EQ(text, R"({
  "a": [1,2],
  "b": {
    "c": [
      {
        "d": 1
      },
      {}
    ],
    "e": {}
  },
  "f\"": "g"
}
)");
  EXPECT_EQ(parse_json(text, "f"), value);
}

TEST(ReadJsonObject, WantsAnObject) {
  std::string name = "/tmp/limn_json_XXXXXX";
  ASSERT_NE(::mkstemp(name.data()), -1);
  std::ofstream(name) << "[1]";
  EXPECT_THAT(error_of([&] { read_json_object(name); }).what(),
              HasSubstr("expected a JSON object at the top"));
  std::ofstream(name) << "{\"a\": 1}";
  EXPECT_EQ(read_json_object(name).at("a"), 1);
  std::filesystem::remove(name);
  EXPECT_EQ(error_of([&] { read_json_object(name); }).code(), ErrorCode::NotFound);
}

class FieldsTest : public ::testing::Test {
 protected:
  json::object object_ =
      parse_json(R"({"yes":true,"null":null,"int":7,"whole":7.0,"half":0.5,"huge":1e300,"text":"hi",
    "big":18446744073709551615,"ints":[1,2],"mixed":[1,"x"],"numbers":[1,0.5],"texts":["a","b"],"flags":[true,false],
    "empty":[],"_class_name":"X","later":1})",
                 "f")
          .as_object();
  Fields fields_{object_, "config.json"};

  void expect_bad(const std::function<void()>& read, const std::string& message) {
    const Error error = error_of(read);
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    EXPECT_STREQ(error.what(), message.c_str());
  }
};

TEST_F(FieldsTest, GivesValues) {
  EXPECT_TRUE(fields_.boolean("yes", false));
  EXPECT_EQ(fields_.integer("int", 1), 7);
  EXPECT_EQ(fields_.integer("whole", 1), 7);
  EXPECT_EQ(fields_.number("int", 1), 7.0);
  EXPECT_EQ(fields_.number("half", 1), 0.5);
  EXPECT_EQ(fields_.number("big", 1), 18446744073709551615.0);
  EXPECT_EQ(fields_.string("text", ""), "hi");
  EXPECT_EQ(fields_.optional_number("half"), 0.5);
  EXPECT_EQ(fields_.optional_integer("int"), 7);
  EXPECT_THAT(fields_.integers("ints", {}), ElementsAre(1, 2));
  EXPECT_THAT(fields_.numbers("numbers", {}), ElementsAre(1.0, 0.5));
  EXPECT_THAT(fields_.strings("texts", {}), ElementsAre("a", "b"));
  EXPECT_THAT(fields_.integer_or_list("int", 3, {}), ElementsAre(7, 7, 7));
  EXPECT_THAT(fields_.integer_or_list("ints", 2, {}), ElementsAre(1, 2));
  EXPECT_THAT(fields_.boolean_or_list("yes", 2, false), ElementsAre(true, true));
  EXPECT_THAT(fields_.boolean_or_list("flags", 2, false), ElementsAre(true, false));
  EXPECT_EQ(fields_.one_of("text", "x", {"hi", "ho"}), "hi");
}

TEST_F(FieldsTest, GivesFallbacksForAbsentAndNull) {
  for (const char* key : {"absent", "null"}) {
    EXPECT_FALSE(fields_.has(key));
    EXPECT_TRUE(fields_.boolean(key, true));
    EXPECT_EQ(fields_.integer(key, 3), 3);
    EXPECT_EQ(fields_.number(key, 0.25), 0.25);
    EXPECT_EQ(fields_.string(key, "d"), "d");
    EXPECT_EQ(fields_.optional_number(key), std::nullopt);
    EXPECT_EQ(fields_.optional_integer(key), std::nullopt);
    EXPECT_THAT(fields_.integers(key, {5}), ElementsAre(5));
    EXPECT_THAT(fields_.integer_or_list(key, 2, {5, 6}), ElementsAre(5, 6));
    EXPECT_THAT(fields_.boolean_or_list(key, 2, true), ElementsAre(true, true));
    EXPECT_EQ(fields_.one_of(key, "a", {"a"}), "a");
  }
  EXPECT_THAT(fields_.integers("empty", {5}), ElementsAre());
}

TEST_F(FieldsTest, RefusesWrongTypesByFieldWithWhatItFound) {
  expect_bad([&] { fields_.boolean("int", true); }, "config.json: int: expected true or false, found 7");
  expect_bad([&] { fields_.integer("half", 1); }, "config.json: half: expected an integer, found 5E-1");
  expect_bad([&] { fields_.integer("huge", 1); }, "config.json: huge: expected an integer, found 1E300");
  expect_bad([&] { fields_.integer("big", 1); },
             "config.json: big: expected an integer, found 18446744073709551615");
  expect_bad([&] { fields_.integer("int", 1, 8, 9); },
             "config.json: int: expected an integer from 8 to 9, found 7");
  expect_bad([&] { fields_.number("text", 1); }, "config.json: text: expected a number, found \"hi\"");
  expect_bad([&] { fields_.string("int", ""); }, "config.json: int: expected a string, found 7");
  expect_bad([&] { fields_.integers("int", {}); }, "config.json: int: expected a list of integers, found 7");
  expect_bad([&] { fields_.integers("mixed", {}); }, "config.json: mixed: expected an integer, found \"x\"");
  expect_bad([&] { fields_.numbers("text", {}); },
             "config.json: text: expected a list of numbers, found \"hi\"");
  expect_bad([&] { fields_.strings("mixed", {}); },
             "config.json: mixed: expected a list of strings, found [1,\"x\"]");
  expect_bad([&] { fields_.integer_or_list("ints", 3, {}); },
             "config.json: ints: expected one integer or 3, found [1,2]");
  expect_bad([&] { fields_.boolean_or_list("flags", 3, true); },
             "config.json: flags: expected true, false or a list of 3, found [true,false]");
  expect_bad([&] { fields_.boolean_or_list("ints", 2, true); },
             "config.json: ints: expected a list of true and false, found [1,2]");
}

TEST_F(FieldsTest, ListsTheChoicesOfAnUnknownName) {
  const Error error = error_of([&] { fields_.one_of("text", "a", {"a", "b"}); });
  EXPECT_EQ(error.code(), ErrorCode::Unsupported);
  EXPECT_STREQ(error.what(), "config.json: text: no 'hi' (known: a, b)");
}

TEST(Fields, TellsWhatNobodyAskedFor) {
  const json::object object = parse_json(R"({"read":1,"has":2,"missed":3,"_private":4})", "f").as_object();
  const Fields fields(object, "f");
  fields.integer("read", 0);
  fields.has("has");
  EXPECT_THAT(fields.unread(), ElementsAre("missed"));
}

}  // namespace
}  // namespace limn
