// SPDX-License-Identifier: Apache-2.0
#include "limn/text/styles.h"

#include <fstream>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/text/wildcards.h"

namespace limn::text {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  template <typename Action>
  static std::string problem_of(Action action) {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
  const fs::path folder_ =
      fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

using Styles = Files;
TEST_F(Styles, AreReadAsA1111WritesThem) {
  const auto styles = read_styles(write("styles.csv",
                                        "\xef\xbb\xbfname,prompt,negative_prompt\r\nink,\"ink, {prompt}, "
                                        "\"\"fine\"\"\",blur\r\n\r\nline,\"two\nlines\",\r\n"));
  ASSERT_EQ(styles.size(), 2u);
  EXPECT_EQ(styles[0].prompt, "ink, {prompt}, \"fine\"");
  EXPECT_EQ(styles[0].negative_prompt, "blur");
  EXPECT_EQ(styles[1].prompt, "two\nlines");
}
TEST_F(Styles, SayTheLineOfWhatIsWrong) {
  EXPECT_THAT(problem_of([&] { read_styles(write("a.csv", "name,prompt\nx,\"open\n")); }),
              HasSubstr("line 2"));
  EXPECT_THAT(problem_of([&] { read_styles(write("b.csv", "name,prompt\nx,y,z\n")); }),
              HasSubstr("has 3 fields"));
  EXPECT_THAT(problem_of([&] { read_styles(write("c.csv", "name,prompt\n,y\n")); }), HasSubstr("no name"));
  EXPECT_THAT(problem_of([&] { read_styles(write("d.csv", "")); }), HasSubstr("expected a header"));
  EXPECT_THAT(problem_of([&] { read_styles(folder_ / "none.csv"); }), HasSubstr("no such file"));
}
TEST(WithStyle, PutsThePromptIntoItsPlaceOrBeforeIt) {
  EXPECT_EQ(with_style("ink, {prompt}, fine", "a cat"), "ink, a cat, fine");
  EXPECT_EQ(with_style("ink", " a cat "), "a cat, ink");
  EXPECT_EQ(with_style("", "a cat"), "a cat");
  EXPECT_EQ(with_style("ink", ""), "ink");
}

using Wildcards = Files;
TEST_F(Wildcards, ChooseByTheSeedAlone) {
  write("animal.txt", "# animals\ncat\r\n\ndog\n{red|blue} bird\n");
  write("place/sea.txt", "a beach\n");
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const std::string text = expand_choices("__animal__ at __place/sea__", folder_, seed);
    EXPECT_EQ(text, expand_choices("__animal__ at __place/sea__", folder_, seed));
    seen.insert(text);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"cat at a beach", "dog at a beach", "red bird at a beach",
                                         "blue bird at a beach"}));
}
TEST_F(Wildcards, CountWeighAndJoin) {
  std::map<std::string, int> counts;
  for (uint64_t seed = 0; seed < 4000; ++seed) ++counts[expand_choices("{3::a|1::b}", {}, seed)];
  EXPECT_NEAR(counts["a"], 3000, 120);  // four standard deviations
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::string two = expand_choices("{2$$ and $$a|b|c}", {}, seed);
    EXPECT_EQ(two.size(), 7u);
    EXPECT_NE(two.front(), two.back());
  }
  EXPECT_EQ(expand_choices("{9$$a}", {}, 1), "a");
  EXPECT_EQ(expand_choices("{{a|a}|a} __x__", {}, 1), "a __x__");
}
TEST_F(Wildcards, RefuseWhatLeadsNowhere) {
  write("self.txt", "__self__\n");
  write("empty.txt", "# nothing\n");
  EXPECT_THAT(problem_of([&] { expand_choices("__self__", folder_, 1); }), HasSubstr("20 deep"));
  EXPECT_THAT(problem_of([&] { expand_choices("__empty__", folder_, 1); }), HasSubstr("no lines"));
  EXPECT_THAT(problem_of([&] { expand_choices("__missing__", folder_, 1); }), HasSubstr("missing.txt"));
  EXPECT_THAT(problem_of([&] { expand_choices("{a|b", folder_, 1); }), HasSubstr("not closed"));
  EXPECT_THAT(problem_of([&] { expand_choices("{0::a}", folder_, 1); }), HasSubstr("add up to 0"));
  EXPECT_EQ(expand_choices("__../secret__", folder_, 1), "__../secret__");  // never out of the folder
}

}  // namespace
}  // namespace limn::text
