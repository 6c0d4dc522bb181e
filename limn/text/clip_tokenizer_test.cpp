// SPDX-License-Identifier: Apache-2.0
#include "limn/text/clip_tokenizer.h"

#include <fstream>

#include <boost/json/value_to.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/json.h"

namespace limn::text {
namespace {

namespace fs = std::filesystem;
const fs::path kTestdata = fs::path(LIMN_SOURCE_DIR) / "limn/text/testdata";

std::vector<int64_t> ids_of(const json::value& row) {
  return json::value_to<std::vector<int64_t>>(row.at("ids"));
}
std::string text_of(const json::value& row) { return std::string(row.at("text").as_string()); }

json::value read(const char* name) {
  std::ifstream in(kTestdata / name);
  return parse_json(std::string(std::istreambuf_iterator<char>(in), {}), name);
}

// Made by tools/goldens/tokens.py with transformers' CLIPTokenizer.
TEST(CLIPTokenizer, GivesTheIdsOfTransformers) {
  const auto tokenizer = CLIPTokenizer::built_in();
  const json::value golden = read("tokens.json");
  EXPECT_GT(golden.at("rows").as_array().size(), 150u);
  for (const json::value& row : golden.at("rows").as_array())
    EXPECT_EQ(tokenizer.encode(text_of(row)), ids_of(row)) << row;
  for (const json::value& row : golden.at("padded").as_array())
    EXPECT_EQ(tokenizer.encode_padded(text_of(row)).ids, ids_of(row)) << row;
}

TEST(CLIPTokenizer, ReadsAFolderWithItsOwnPaddingAndLength) {
  const auto tokenizer = CLIPTokenizer::from_folder(kTestdata / "small_tokenizer");
  EXPECT_EQ(tokenizer.max_length(), 20);
  EXPECT_EQ(tokenizer.pad(), 0);  // "!"
  const json::value golden = read("small_tokens.json");
  for (const json::value& row : golden.as_array())
    EXPECT_EQ(tokenizer.encode_padded(text_of(row)).ids, ids_of(row)) << row;
}

// transformers 5.23: special_tokens_map.json counts, unless the configuration is of the kind with added_tokens_decoder.
TEST(CLIPTokenizer, TakesSpecialTokensWhereTransformersTakesThem) {
  const fs::path folder = fs::path(testing::TempDir()) / "limn_special_tokens";
  fs::create_directories(folder);
  write_built_in_tokenizer(folder);
  std::ofstream(folder / "special_tokens_map.json") << R"({"pad_token": "<|endoftext|>"})";
  std::ofstream(folder / "tokenizer_config.json") << R"({"pad_token": "!"})";
  EXPECT_EQ(CLIPTokenizer::from_folder(folder).pad(), 49407);
  std::ofstream(folder / "tokenizer_config.json") << R"({"pad_token": "!", "added_tokens_decoder": {}})";
  EXPECT_EQ(CLIPTokenizer::from_folder(folder).pad(), 0);
  fs::remove_all(folder);
}

TEST(CLIPTokenizer, ReadsTokenizerJson) {
  const fs::path folder = fs::path(testing::TempDir()) / "limn_tokenizer_json";
  fs::create_directories(folder);
  const json::value small = read("small_tokenizer/vocab.json");
  std::ifstream in(kTestdata / "small_tokenizer" / "merges.txt");
  json::array merges;
  for (std::string a; std::getline(in, a);)  // once as text, once as a pair: both are in use
    if (const size_t space = a.find(' '); space != std::string::npos && !a.starts_with("#"))
      merges.size() % 2 ? merges.emplace_back(a)
                        : merges.emplace_back(json::array{a.substr(0, space), a.substr(space + 1)});
  std::ofstream(folder / "tokenizer.json")
      << json::object{{"model", {{"type", "BPE"}, {"vocab", small}, {"merges", merges}}}};
  EXPECT_EQ(CLIPTokenizer::from_folder(folder).encode("a very long lighthouse"),
            CLIPTokenizer::from_folder(kTestdata / "small_tokenizer").encode("a very long lighthouse"));
  fs::remove_all(folder);
}

TEST(CLIPTokenizer, ReadsTheFolderItWrites) {
  const fs::path folder = fs::path(testing::TempDir()) / "limn_tokenizer";
  write_built_in_tokenizer(folder);
  const auto read_back = CLIPTokenizer::from_folder(folder), built_in = CLIPTokenizer::built_in();
  EXPECT_EQ(read_back.size(), 49408);
  EXPECT_EQ(read_back.encode("a lighthouse in fog, 3d style"),
            built_in.encode("a lighthouse in fog, 3d style"));
  fs::remove_all(folder);
}

TEST(CLIPTokenizer, SaysWhatDidNotFit) {
  const auto tokenizer = CLIPTokenizer::built_in();
  std::string text;
  for (int i = 0; i < 75; ++i) text += "cat ";
  EXPECT_EQ(tokenizer.encode_padded(text).dropped, "");
  const auto padded = tokenizer.encode_padded(text + "Red dogs");
  EXPECT_EQ(padded.dropped, "red dogs");
  EXPECT_EQ(padded.ids.size(), 77u);
  EXPECT_EQ(padded.ids.back(), tokenizer.eos());
}

TEST(CLIPTokenizer, TakesAnyBytesInReasonableTime) {
  const auto tokenizer = CLIPTokenizer::built_in();
  std::string bytes;
  for (int i = 0; i < 200000; ++i) bytes += static_cast<char>(i * 131 % 256);
  EXPECT_FALSE(tokenizer.encode(bytes).empty());
  EXPECT_FALSE(tokenizer.encode(std::string(200000, 'a')).empty());  // one word
}

TEST(CLIPTokenizer, NamesWhatIsWrongWithAFolder) {
  const fs::path folder = fs::path(testing::TempDir()) / "limn_bad_tokenizer";
  fs::create_directories(folder);
  const auto error_with = [&](const std::string& vocabulary, const std::string& merges) -> std::string {
    std::ofstream(folder / "vocab.json") << vocabulary;
    std::ofstream(folder / "merges.txt") << merges;
    try {
      CLIPTokenizer::from_folder(folder);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
      return error.what();
    }
    return "no error";
  };
  using testing::HasSubstr;
  EXPECT_THAT(error_with("[]", ""), HasSubstr("expected a JSON object"));
  EXPECT_THAT(error_with(R"({"a": "b"})", ""), HasSubstr("expected an integer id for 'a'"));
  EXPECT_THAT(error_with(R"({"a": 1, "b": 1})", ""), HasSubstr("two tokens have id 1"));
  EXPECT_THAT(error_with(R"({"a": -1})", ""), HasSubstr("id out of range"));
  EXPECT_THAT(error_with(R"({"a": 1, "b": 2})", "#version\na\n"),
              HasSubstr("merges.txt line 2: expected two tokens"));
  EXPECT_THAT(error_with(R"({"a": 1, "b": 2})", "a b\n"), HasSubstr("'ab' is not in the vocabulary"));
  EXPECT_THAT(error_with(R"({"a": 1})", ""), HasSubstr("'<|startoftext|>' is not in the vocabulary"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace limn::text
