// SPDX-License-Identifier: Apache-2.0
#include "limn/text/vocabulary.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"

namespace limn::text {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Vocabulary read(const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / "vocabulary.json";
  std::ofstream(path) << text;
  return Vocabulary::read(path);
}

Vocabulary small() {
  return read(R"({"words": ["a", "red", "dog", "face", "bicycle", "on", "3d", "style", "cherry", "leaf"],
                  "subjects": ["dog", "dog face", "bicycle", "cherries"], "related": {"labrador": ["dog", "dog face"]}})");
}

TEST(Vocabulary, WordsOfCaptionsAreKnown) {
  EXPECT_THAT(small().unknown("A red Dog on a BICYCLE, 3d style"), IsEmpty());
  EXPECT_THAT(small().unknown("two dogs? cherries; leaves 1234 (red:1.3)")[0].word, "two");
  EXPECT_EQ(small().unknown("two dogs? cherries; leaves 1234 (red:1.3)").size(), 1U);
}

TEST(Vocabulary, UnknownOnesComeWithRelatedSubjects) {
  const auto unknown = small().unknown("labradors and a labradors");
  ASSERT_EQ(unknown.size(), 2U);
  EXPECT_EQ(unknown[0].word, "labradors");
  EXPECT_THAT(unknown[0].nearest, ElementsAre("dog", "dog face"));
  EXPECT_EQ(unknown[1].word, "and");
  EXPECT_THAT(unknown[1].nearest, IsEmpty());
}

TEST(Vocabulary, ASlipOfTheFingersIsNear) {
  EXPECT_THAT(small().unknown("bycicle")[0].nearest, ElementsAre("bicycle"));
  EXPECT_THAT(small().unknown("xylophone")[0].nearest, IsEmpty());
}

TEST(Vocabulary, AFileThatIsNoneSaysSo) {
  EXPECT_THROW(read(R"({"words": "dog"})"), Error);
  EXPECT_THROW(read(R"({"words": [], "related": []})"), Error);
}

}  // namespace
}  // namespace limn::text
