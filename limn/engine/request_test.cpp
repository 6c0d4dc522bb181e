// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/request.h"

#include <sstream>

#include <gtest/gtest.h>

#include "limn/base/error.h"

namespace limn::engine {
namespace {

std::string refusal(const std::string& text) {
  try {
    request_from_json(parse_json(text, "request").as_object());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    return error.what();
  }
  return "accepted";
}

TEST(GenerateRequest, IsReadFromJsonByTheTable) {
  const auto request =
      request_from_json(parse_json(R"({"prompt": "fog", "seed": 18446744073709551615, "steps": 9,
      "guidance_scale": 3, "eta": 0.5, "model": "a/b", "width": 64})",
                                   "request")
                            .as_object());
  EXPECT_EQ(request.prompt, "fog");
  EXPECT_EQ(request.seed, UINT64_MAX);
  EXPECT_EQ(request.steps, 9);
  EXPECT_EQ(request.guidance_scale, 3.0);
  EXPECT_EQ(request.eta, 0.5);
  EXPECT_EQ(request.model, "a/b");
  EXPECT_FALSE(request.height);
}

TEST(GenerateRequest, RefusesWithFieldExpectedAndFound) {
  EXPECT_EQ(refusal(R"({"steps": 0})"), "steps: expected an integer from 1 to 1000, found 0");
  EXPECT_EQ(refusal(R"({"steps": 2.5})"), "steps: expected an integer from 1 to 1000, found 2.5E0");
  EXPECT_EQ(refusal(R"({"strength": 7})"), "strength: expected a number from 0 to 1, found 7");
  EXPECT_EQ(refusal(R"({"seed": -1})"), "seed: expected an integer from 0 to 18446744073709551615, found -1");
  EXPECT_EQ(refusal(R"({"prompt": 1})"), "prompt: expected text, found 1");
  EXPECT_EQ(refusal(R"({"prompt": "a\u0000b"})"), "prompt: is not valid UTF-8, or holds a NUL");
  EXPECT_EQ(refusal("{\"prompt\": \"" + std::string(10'001, 'x') + "\"}"),
            "prompt: expected at most 10000 bytes, found 10001");
  EXPECT_TRUE(
      refusal(R"({"stepps": 1})").starts_with("request: no 'stepps' (known: prompt, negative_prompt"));
}

TEST(GenerateRequest, ReadsFlagsAsWholeNumbersOnly) {
  GenerateRequest request;
  const auto field = [](std::string_view name) -> const RequestField& {
    for (const RequestField& row : request_fields())
      if (row.name == name) return row;
    throw std::out_of_range("no such field");
  };
  set_field_from_text(request, field("seed"), "18446744073709551615");
  EXPECT_EQ(request.seed, UINT64_MAX);
  for (const char* text : {"18446744073709551616", "-1", "1.5", "", " 1", "1 ", "0x10", "nan"})
    EXPECT_THROW(set_field_from_text(request, field("seed"), text), Error) << text;
  for (const char* text : {"nan", "inf", "-inf", "1e999", "1,5", ""})
    EXPECT_THROW(set_field_from_text(request, field("guidance_scale"), text), Error) << text;
}

TEST(GenerateRequest, ReadsListsOfNumbers) {
  const auto request = request_from_json(parse_json(R"({"sigmas": [14.6, 3, 0]})", "request").as_object());
  EXPECT_EQ(request.sigmas, (std::vector<double>{14.6, 3, 0}));
  const std::string expected = "sigmas: expected numbers from 0 to 5000, 1 to 1001 of them, found ";
  EXPECT_EQ(refusal(R"({"sigmas": []})"), expected + "[]");
  EXPECT_EQ(refusal(R"({"sigmas": [1, "2"]})"), expected + R"([1,"2"])");
  EXPECT_EQ(refusal(R"({"sigmas": [1, -2]})"), expected + "[1,-2]");
  EXPECT_EQ(refusal(R"({"sigmas": 3})"), expected + "3");
  GenerateRequest typed;
  for (const RequestField& field : request_fields()) {
    if (field.name != "sigmas") continue;
    set_field_from_text(typed, field, "14.6,3,0.5");
    EXPECT_THROW(set_field_from_text(typed, field, "14.6,,1"), Error);
  }
  EXPECT_EQ(typed.sigmas, (std::vector<double>{14.6, 3, 0.5}));
}

TEST(RequestFields, HaveTheDefaultsThatTheirHelpTells) {
  const std::string_view start = "default: ";
  for (const RequestField& field : request_fields()) {
    const json::value value = default_of(field);
    std::ostringstream text;
    if (value.is_string())
      text << value.as_string().c_str();
    else if (value.is_number())
      text << value.to_number<double>();
    const size_t at = field.help.find(start);
    if (at == std::string_view::npos) {
      EXPECT_TRUE(text.str().empty() || text.str() == "none") << field.name;
      continue;
    }
    const std::string_view told = field.help.substr(at + start.size());
    if (!value.is_null()) EXPECT_EQ(told.substr(0, told.find_first_of(",;)")), text.str()) << field.name;
    const bool is_number = told.find_first_not_of("0123456789.") == told.find(')');
    EXPECT_FALSE(value.is_null() && is_number) << field.name;
  }
}

TEST(RequestFields, EachHaveHelpAndASetter) {
  for (const RequestField& field : request_fields()) {
    EXPECT_FALSE(field.help.empty()) << field.name;
    EXPECT_NE(field.set, nullptr) << field.name;
    if (field.kind == FieldKind::Integer || field.kind == FieldKind::Number)
      EXPECT_LT(field.least, field.most) << field.name;
  }
}

}  // namespace
}  // namespace limn::engine
