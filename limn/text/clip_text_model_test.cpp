// SPDX-License-Identifier: Apache-2.0
#include "limn/text/clip_text_model.h"

#include <gtest/gtest.h>

#include "limn/base/error.h"

namespace limn::text {
namespace {

TEST(CLIPTextConfig, ReadsTheFieldsOfTransformers) {
  const auto config = CLIPTextConfig::from_json(
      parse_json(
          R"({"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu"})",
          "c")
          .as_object(),
      "c");
  EXPECT_EQ(config.hidden_size, 768);
  EXPECT_EQ(config.num_hidden_layers, 12);
  EXPECT_EQ(config.hidden_act, "gelu");
}

TEST(CLIPTextConfig, RefusesWhatCannotBe) {
  const auto code_of = [](const char* text) {
    try {
      CLIPTextConfig::from_json(parse_json(text, "c").as_object(), "c");
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::Internal;
  };
  EXPECT_EQ(code_of(R"({"hidden_size": "wide"})"), ErrorCode::BadFile);
  EXPECT_EQ(code_of(R"({"hidden_size": 100, "num_attention_heads": 3})"), ErrorCode::BadFile);
  EXPECT_EQ(code_of(R"({"num_hidden_layers": 1000000000})"), ErrorCode::BadFile);
  EXPECT_EQ(code_of(R"({"hidden_act": "tanhish"})"), ErrorCode::Unsupported);
}

TEST(CLIPTextModel, NamesItsParametersAsTransformersDoes) {
  CLIPTextModel model({.vocab_size = 10, .hidden_size = 8, .intermediate_size = 16, .num_hidden_layers = 1});
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model.parameters()) names.push_back(name);
  EXPECT_EQ(names.front(), "text_model.embeddings.token_embedding.weight");
  EXPECT_EQ(names.size(), 2u + 8 + 4 + 4 + 2);
}

}  // namespace
}  // namespace limn::text
