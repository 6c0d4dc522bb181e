// SPDX-License-Identifier: Apache-2.0
#include "limn/provenance/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/provenance/record_testing.h"

namespace limn::provenance {
namespace {

using testing::full_record;

TEST(Record, ComesBackFromJsonWhole) {
  const json::object object = to_json(full_record());
  EXPECT_EQ(record_from_json(object), full_record());
  EXPECT_EQ(record_from_json(parse_json(to_text(object), "test").as_object()), full_record());
}

TEST(Record, ComesBackFromJsonWhenItIsEmpty) {
  EXPECT_EQ(record_from_json(to_json(GenerationRecord{})), GenerationRecord{});
  EXPECT_EQ(record_from_json({}), GenerationRecord{});
}

TEST(Record, EveryFieldOfTheJsonCounts) {
  const json::object whole = to_json(full_record());
  for (const auto& [key, value] : whole) {
    if (key == "format") continue;
    json::object without = whole;
    without.erase(key);
    EXPECT_NE(record_from_json(without), full_record()) << key;
  }
}

TEST(Record, KeepsSeedsAndNumbersExactly) {
  GenerationRecord record;
  for (const uint64_t seed :
       {uint64_t{0}, uint64_t{1} << 53 | 1, uint64_t{INT64_MAX}, uint64_t{1} << 63, UINT64_MAX}) {
    record.seed = seed;
    record.guidance_scale = 0.1 + 0.2;
    EXPECT_EQ(record_from_json(parse_json(to_text(to_json(record)), "test").as_object()), record);
  }
}

TEST(Record, IgnoresFieldsOfLaterMinorVersions) {
  json::object object = to_json(full_record());
  object["something_new"] = json::array{1, 2};
  EXPECT_EQ(record_from_json(object), full_record());
}

TEST(Record, RefusesALaterFormat) {
  json::object object = to_json(full_record());
  object["format"] = 2;
  try {
    record_from_json(object);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::Unsupported);
  }
}

class WrongField : public ::testing::TestWithParam<const char*> {};
TEST_P(WrongField, IsBadFileThatNamesIt) {
  const json::object wrong = parse_json(GetParam(), "test").as_object();
  try {
    record_from_json(wrong);
    FAIL() << GetParam();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    EXPECT_THAT(error.where(), ::testing::HasSubstr(std::string(wrong.begin()->key())));
  }
}
INSTANTIATE_TEST_SUITE_P(All, WrongField,
                         ::testing::Values(R"({"seed": -1})", R"({"seed": 1.5})", R"({"seed": "7"})",
                                           R"({"prompt": 7})", R"({"steps": -1})", R"({"width": 65536})",
                                           R"({"weights": {}})", R"({"weights": [1]})",
                                           R"({"weights": [{"file": 1}]})", R"({"warnings": [1]})",
                                           R"({"scheduler_config": []})", R"({"created": 1})",
                                           R"({"format": 0})"));

TEST(Stamp, CanBeReadBackFromEveryPictureFormat) {
  const Image image{4, 4, 3, std::vector<uint8_t>(48, 128)};
  for (const ImageFormat& format : image_formats()) {
    const std::string file = encode_image(image, format.name, stamp(full_record()));
    const auto texts = image_texts(std::as_bytes(std::span(file.data(), file.size())), "test");
    const Provenance provenance = read_provenance(texts);
    ASSERT_TRUE(provenance.record) << format.name;
    EXPECT_EQ(*provenance.record, full_record());
    ASSERT_TRUE(provenance.infotext);
    EXPECT_EQ(provenance.infotext->prompt, full_record().prompt);
    EXPECT_EQ(provenance.infotext->find("Clip skip"), "2");
  }
}

TEST(ReadProvenance, FindsNothingInOtherTexts) {
  const std::vector<TextEntry> texts = {{"prompt", "{}"}, {"Comment", "parameters"}};
  const Provenance provenance = read_provenance(texts);
  EXPECT_FALSE(provenance.infotext);
  EXPECT_FALSE(provenance.record);
}

TEST(ReadProvenance, RefusesADamagedRecord) {
  for (const char* text : {"", "{", "[]", "7", R"({"seed": {}})"}) {
    const std::vector<TextEntry> texts = {{"limn", text}};
    try {
      read_provenance(texts);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
    }
  }
}

}  // namespace
}  // namespace limn::provenance
