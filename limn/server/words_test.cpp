// SPDX-License-Identifier: Apache-2.0
#include "limn/server/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace limn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(WordsOf, AreLowerCaseAndOnce) {
  EXPECT_THAT(words_of("A red Fox, (red:1.2) sd_xl-base v1.5"),
              ElementsAre("1", "2", "5", "a", "base", "fox", "red", "sd", "v1", "xl"));
}

TEST(WordsOf, HaveNoAccents) {
  EXPECT_THAT(words_of("Café ÅNGSTRÖM Straße ﬁn ΆΛΦΑ Ёлка"),
              ElementsAre("angstrom", "cafe", "fin", "strasse", "αλφα", "елка"));
  EXPECT_EQ(words_of("cafe\xcc\x81"), words_of("café"));
}

TEST(WordsOf, SplitScriptsWithoutSpaces) {
  EXPECT_THAT(words_of("黒い猫cat"), ElementsAre("cat", "い", "猫", "黒"));
  EXPECT_THAT(words_of("고양이 사진").size(), 2u);
}

TEST(WordsOf, AreNoneInWhatHoldsNone) {
  EXPECT_THAT(words_of(""), IsEmpty());
  EXPECT_THAT(words_of(" ,.!?\"'*()🦊\n\t"), IsEmpty());
}

TEST(WordsOf, SurviveBytesThatAreNoText) {
  EXPECT_THAT(words_of("a\xff\xfe z\x80"), ElementsAre("a", "z"));
  EXPECT_THAT(words_of(std::string("a\0b", 3)), ElementsAre("a", "b"));
}

TEST(WordsOf, AreCutAndCounted) {
  EXPECT_THAT(words_of(std::string(10'000, 'x')), ElementsAre(std::string(64, 'x')));
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += std::to_string(i) + " ";
  EXPECT_EQ(words_of(text).size(), 4000u);
}

}  // namespace
}  // namespace limn::server
