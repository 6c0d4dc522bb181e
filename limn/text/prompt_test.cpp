// SPDX-License-Identifier: Apache-2.0
// The prompt languages: the examples that AUTOMATIC1111's web UI publishes with its parser, and rules from its and
// ComfyUI's behaviour, worked out by hand.
#include "limn/text/prompt.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/stack.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/json.h"

namespace limn::text {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using Parts = std::vector<WeightedText>;
using Schedule = std::vector<ScheduledText>;

void expect_weights(const std::string& text, const Parts& expected) {
  const Parts found = parse_a1111_weights(text);
  ASSERT_EQ(found.size(), expected.size()) << text;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].text, expected[i].text) << text;
    EXPECT_NEAR(found[i].weight, expected[i].weight, 1e-12) << text << ": " << found[i].text;
  }
}

TEST(A1111Weights, AreThePublishedOnes) {
  expect_weights("normal text", {{"normal text", 1.0}});
  expect_weights("an (important) word", {{"an ", 1.0}, {"important", 1.1}, {" word", 1.0}});
  expect_weights("(unbalanced", {{"unbalanced", 1.1}});
  expect_weights("\\(literal\\]", {{"(literal]", 1.0}});
  expect_weights("(unnecessary)(parens)", {{"unnecessaryparens", 1.1}});
  expect_weights("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", {{"a ", 1.0},
                                                                         {"house", 1.5730000000000004},
                                                                         {" ", 1.1},
                                                                         {"on", 1.0},
                                                                         {" a ", 1.1},
                                                                         {"hill", 0.55},
                                                                         {", sun, ", 1.1},
                                                                         {"sky", 1.4641000000000006},
                                                                         {".", 1.1}});
}

TEST(A1111Weights, HandleTheOddCases) {
  expect_weights("", {{"", 1.0}});
  expect_weights("[x]", {{"x", 1 / 1.1}});
  expect_weights("(x : +1.5 )", {{"x ", 1.5}});
  expect_weights("(x:-0.5)", {{"x", -0.5}});
  expect_weights("[x:1.2]", {{"x:1.2", 1 / 1.1}});  // no weight in square brackets
  expect_weights("a: b", {{"a: b", 1.0}});
  expect_weights("x:1.2)", {{"x:1.2)", 1.0}});
  expect_weights("a)b]c", {{"a)b]c", 1.0}});
  expect_weights("\\\\ \\", {{"\\ ", 1.0}});
  expect_weights("a BREAK b", {{"a", 1.0}, {"BREAK", -1}, {"b", 1.0}});
  expect_weights("BREAKS aBREAK", {{"BREAKS aBREAK", 1.0}});
  EXPECT_THROW(parse_a1111_weights("(x:1.2.3)"), Error);
  EXPECT_NEAR(parse_a1111_weights(std::string(5000, '(') + "x")[0].weight, std::pow(1.1, 5000), 1e200);
}

Schedule schedule(const std::string& text, std::optional<int64_t> hires = {}, bool old_rules = false) {
  return parse_a1111_schedule(text, {.steps = 10, .hires_steps = hires, .old_rules = old_rules});
}

TEST(A1111Schedule, IsThePublishedOne) {
  EXPECT_THAT(schedule("test"), ElementsAre(ScheduledText{10, "test"}));
  EXPECT_EQ(schedule("a [b:3]"), (Schedule{{3, "a "}, {10, "a b"}}));
  EXPECT_EQ(schedule("a [b: 3]"), (Schedule{{3, "a "}, {10, "a b"}}));
  EXPECT_EQ(schedule("a [[[b]]:2]"), (Schedule{{2, "a "}, {10, "a [[b]]"}}));
  EXPECT_EQ(schedule("[(a:2):3]"), (Schedule{{3, ""}, {10, "(a:2)"}}));
  EXPECT_EQ(schedule("a [b : c : 1] d"), (Schedule{{1, "a b  d"}, {10, "a  c  d"}}));
  EXPECT_EQ(schedule("a[b:[c:d:2]:1]e"), (Schedule{{1, "abe"}, {2, "ace"}, {10, "ade"}}));
  EXPECT_EQ(schedule("a [unbalanced"), (Schedule{{10, "a [unbalanced"}}));
  EXPECT_EQ(schedule("a [b:.5] c"), (Schedule{{5, "a  c"}, {10, "a b c"}}));
  EXPECT_EQ(schedule("((a][:b:c [d:3]"), (Schedule{{3, "((a][:b:c "}, {10, "((a][:b:c d"}}));
  const Schedule alternating = schedule("[a|(b:1.1)]");
  ASSERT_EQ(alternating.size(), 10u);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(alternating[i].text, i % 2 == 0 ? "a" : "(b:1.1)");
  EXPECT_EQ(schedule("[fe|]male")[1].text, "male");
  const Schedule four = schedule("[fe|||]male");
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(four[i].text, i % 4 == 0 ? "female" : "male");
  EXPECT_EQ(schedule("a [b:.5] c", 10), (Schedule{{10, "a b c"}}));
  EXPECT_EQ(schedule("a [b:1.5] c", 10), (Schedule{{5, "a  c"}, {10, "a b c"}}));
}

TEST(A1111Schedule, HandlesTheOddCases) {
  EXPECT_EQ(schedule("[a::4]"), (Schedule{{4, "a"}, {10, ""}}));
  EXPECT_EQ(schedule("[a:b:99]"), (Schedule{{10, "a"}}));  // after the end
  EXPECT_EQ(schedule("[a:b:-1]"), (Schedule{{10, "b"}}));  // before the start
  EXPECT_EQ(schedule("[a:b:c]"), (Schedule{{10, "[a:b:c]"}}));
  EXPECT_EQ(schedule("a | b [c:3]"), (Schedule{{10, "a | b [c:3]"}}));  // no grammar: as it stands
  EXPECT_EQ(schedule("\\[a:3]"), (Schedule{{10, "\\[a:3]"}}));          // escaped
  EXPECT_EQ(schedule("[a:b:0.2]", {}, true), (Schedule{{2, "a"}, {10, "b"}}));
  EXPECT_EQ(schedule("[a:b:1.0]", {}, true), (Schedule{{1, "a"}, {10, "b"}}));  // before 1.6.0: 1.0 is a step
  EXPECT_EQ(schedule(std::string(100'000, '[') + "x").size(), 1u);
}

TEST(A1111And, SplitsComposedPromptsWithTheirWeights) {
  EXPECT_EQ(split_a1111_and("a AND b"), (Parts{{"a", 1}, {" b", 1}}));
  EXPECT_EQ(split_a1111_and("a :1.2 AND b : 0.5"), (Parts{{"a", 1.2}, {" b", 0.5}}));
  EXPECT_EQ(split_a1111_and("LAND ANDES and"), (Parts{{"LAND ANDES and", 1}}));
  EXPECT_EQ(split_a1111_and("(a:1.3)"), (Parts{{"(a:1.3)", 1}}));
}

TEST(ComfyWeights, ReplaceThoseAroundThem) {
  EXPECT_EQ(parse_comfy_weights("a (b:1.5) c"), (Parts{{"a ", 1}, {"b", 1.5}, {" c", 1}}));
  EXPECT_EQ(parse_comfy_weights("(a (b:2))"), (Parts{{"a ", 1.1}, {"b", 2}}));
  EXPECT_EQ(parse_comfy_weights("((a))").front().weight, 1.1 * 1.1);
  EXPECT_EQ(parse_comfy_weights("\\(a\\) [b]"), (Parts{{"(a) [b]", 1}}));
  EXPECT_EQ(parse_comfy_weights("(a:b)"), (Parts{{"a:b", 1.1}}));
  EXPECT_EQ(parse_comfy_weights("(a: +1.5 )"), (Parts{{"a", 1.5}}));
  EXPECT_EQ(parse_comfy_weights("(a:1e-1)"), (Parts{{"a", 0.1}}));
  EXPECT_EQ(parse_comfy_weights("(a:0x10)"), (Parts{{"a:0x10", 1.1}}));
  EXPECT_THROW(parse_comfy_weights(std::string(1000, '(') + "a" + std::string(1000, ')')), Error);
}

const CLIPTokenizer& tokenizer() {
  static const CLIPTokenizer built_in = CLIPTokenizer::built_in();
  return built_in;
}
/// n times a word of one token.
std::string words(size_t n, const std::string& word = "cat") {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += (i ? " " : "") + word;
  return out;
}
size_t text_tokens(const TokenChunk& chunk) {
  return static_cast<size_t>(std::ranges::find(chunk.ids, tokenizer().eos()) - chunk.ids.begin()) - 1;
}
std::vector<TokenChunk> a1111(const std::string& text, int64_t backtrack = 20) {
  return a1111_chunks(tokenizer(), parse_a1111_weights(text), backtrack);
}

TEST(A1111Chunks, HoldSeventyFiveTokensAndFillUp) {
  EXPECT_EQ(a1111("").size(), 1u);
  const auto one = a1111(words(75)), two = a1111(words(76));
  ASSERT_EQ(one.size(), 1u);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].ids.size(), 77u);
  EXPECT_EQ(text_tokens(two[0]), 75u);
  EXPECT_EQ(text_tokens(two[1]), 1u);
  EXPECT_EQ(two[1].ids[0], tokenizer().bos());
  EXPECT_EQ(two[1].ids[2], tokenizer().eos());
  EXPECT_EQ(two[1].ids[76], tokenizer().eos());
  const auto zero = CLIPTokenizer::built_in(Padding::Zero);
  const TokenChunk padded = a1111_chunks(zero, parse_a1111_weights("cat"))[0];
  EXPECT_EQ(padded.ids[2], zero.eos());
  EXPECT_EQ(padded.ids[3], 0);  // OpenCLIP: zeros after the first end token
}

TEST(A1111Chunks, MoveWhatFollowsACommaToTheNextChunk) {
  const std::string text = words(70) + ", " + words(10, "dog");  // 70 cats, a comma, 10 dogs
  const auto moved = a1111(text);
  ASSERT_EQ(moved.size(), 2u);
  EXPECT_EQ(text_tokens(moved[0]), 71u);
  EXPECT_EQ(text_tokens(moved[1]), 10u);
  EXPECT_EQ(text_tokens(a1111(text, 0)[0]), 75u);  // switched off
  const std::string far = words(50) + ", " + words(30, "dog");
  EXPECT_EQ(text_tokens(a1111(far)[0]), 75u);  // the comma is more than 20 tokens back
}

TEST(A1111Chunks, EndAtBreakAndCarryWeights) {
  const auto chunks = a1111("a (red:1.5) cat BREAK dog");
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(text_tokens(chunks[0]), 3u);
  EXPECT_FLOAT_EQ(chunks[0].weights[2], 1.5f);
  EXPECT_FLOAT_EQ(chunks[0].weights[0], 1);
  EXPECT_EQ(a1111("BREAK").size(), 1u);
}

TEST(ComfyChunks, NeverTearAShortWordApart) {
  const std::string word = "photosynthesizer";  // of several tokens
  const size_t tokens = tokenizer().encode(word).size();
  ASSERT_GT(tokens, 1u);
  ASSERT_LT(tokens, 8u);
  const auto chunks = comfy_chunks(tokenizer(), parse_comfy_weights(words(74) + " " + word));
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(text_tokens(chunks[0]), 74u);
  EXPECT_EQ(text_tokens(chunks[1]), tokens);
  const std::string longest = "qzxwvkjqzxwvkjqzxwvkjqzxwvkj";
  ASSERT_GE(tokenizer().encode(longest).size(), 8u);
  const auto torn = comfy_chunks(tokenizer(), parse_comfy_weights(words(74) + " " + longest));
  EXPECT_EQ(text_tokens(torn[0]), 75u);
}

/// A model whose state of token i is (id, i, 1) and whose vector is the sum of ids.
TextEncoding fake(const at::Tensor& ids, const at::Tensor&) {
  const at::Tensor places = at::linspace(1, 77, 77).expand(ids.sizes());
  const at::Tensor values = ids.to(at::kFloat) / 1000;
  return {at::stack({values, places, places * 0 + 1}, -1), values.sum(1, true)};
}

TextEncoding encoded(const std::string& text, PromptSyntax syntax, Emphasis emphasis) {
  return encode_weighted({&text, 1}, syntax, emphasis, tokenizer(), fake).front();
}

TEST(EncodeWeighted, KeepsTheMeanOfAChunkAsA1111Does) {
  const auto plain = encoded("a cat", PromptSyntax::A1111, Emphasis::Original);
  const auto strong = encoded("a (cat:1.5)", PromptSyntax::A1111, Emphasis::Original);
  const auto raw = encoded("a (cat:1.5)", PromptSyntax::A1111, Emphasis::NoNorm);
  EXPECT_NEAR(strong.hidden_states.mean().item<double>(), plain.hidden_states.mean().item<double>(), 1e-5);
  EXPECT_TRUE(at::allclose(raw.hidden_states[0][2], plain.hidden_states[0][2] * 1.5));
  EXPECT_TRUE(at::equal(raw.hidden_states[0][1], plain.hidden_states[0][1]));
  const auto ignored = encoded("a (cat:1.5)", PromptSyntax::A1111, Emphasis::Ignore);
  EXPECT_TRUE(at::equal(ignored.hidden_states, plain.hidden_states));
  const auto letters = encoded("(cat:1.5)", PromptSyntax::A1111, Emphasis::None);
  EXPECT_FALSE(at::equal(letters.hidden_states, plain.hidden_states));
}

TEST(EncodeWeighted, DrawsAwayFromTheEmptyPromptAsComfyUiDoes) {
  const auto plain = encoded("a cat", PromptSyntax::Comfy, Emphasis::Original);
  const auto strong = encoded("a (cat:1.5)", PromptSyntax::Comfy, Emphasis::Original);
  const auto empty = encoded("", PromptSyntax::Comfy, Emphasis::Original);
  const at::Tensor wanted = empty.hidden_states + (plain.hidden_states - empty.hidden_states) * 1.5;
  EXPECT_TRUE(at::allclose(strong.hidden_states[0][2], wanted[0][2]));
  EXPECT_TRUE(at::equal(strong.hidden_states[0][1], plain.hidden_states[0][1]));
}

TEST(EncodeWeighted, JoinsChunksAndKeepsTheFirstVector) {
  const auto made = encoded(words(100), PromptSyntax::A1111, Emphasis::Original);
  EXPECT_EQ(made.hidden_states.sizes(), (std::vector<int64_t>{1, 154, 3}));
  const auto first = encoded(words(75), PromptSyntax::A1111, Emphasis::Original);
  EXPECT_TRUE(at::equal(made.text_embeds, first.text_embeds));
}

TEST(EncodeWeighted, KeepsTheMeanOfAllTextsOfASchedule) {
  const std::vector<std::string> texts{"a (cat:2)", "a dog", "a dog", words(100)};
  const auto made = encode_weighted(texts, PromptSyntax::A1111, Emphasis::Original, tokenizer(), fake);
  ASSERT_EQ(made.size(), texts.size());
  // As many chunks as the longest has; each counts as often as it is there.
  double before = 0, after = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(made[i].hidden_states.size(1), 154) << i;
    const auto plain = encoded(texts[i], PromptSyntax::A1111, Emphasis::Ignore).hidden_states;
    before += plain.slice(1, 0, 77).mean().item<double>();
    after += made[i].hidden_states.slice(1, 0, 77).mean().item<double>();
  }
  EXPECT_NEAR(after, before, 1e-5);
  EXPECT_TRUE(at::equal(made[1].hidden_states, made[2].hidden_states));
  const auto alone = encoded(texts[1], PromptSyntax::A1111, Emphasis::Original).hidden_states;
  EXPECT_FALSE(at::allclose(made[1].hidden_states.slice(1, 0, 77), alone));  // scaled with the others
}

TEST(PromptTables, HaveUniqueNames) {
  EXPECT_EQ(prompt_syntaxes().size(), 4u);
  EXPECT_EQ(emphases().size(), 4u);
}

// What Compel's own parser makes of them: tools/goldens/compel_prompts.py.
TEST(CompelPrompts, AreReadAsCompelReadsThem) {
  const fs::path path = fs::path(LIMN_SOURCE_DIR) / "tests/goldens/families/compel.json";
  const json::value golden = parse_json(read_file(path, 1 << 20), "compel.json");
  EXPECT_GT(golden.at("parsed").as_array().size(), 30u);
  for (const json::value& entry : golden.at("parsed").as_array()) {
    const std::string text(entry.at("text").as_string());
    const auto found = parse_compel(text);
    std::vector<CompelText> expected;
    for (const json::value& part : entry.at("parts").as_array()) {
      CompelText& one = expected.emplace_back();
      for (const json::value& prompt : part.at("prompts").as_array()) {
        Parts& parts = one.prompts.emplace_back();
        for (const json::value& piece : prompt.as_array())
          parts.push_back({std::string(piece.at(0).as_string()), piece.at(1).to_number<double>()});
      }
      for (const json::value& weight : part.at("blend").as_array())
        one.blend.push_back(weight.to_number<double>());
      one.normalizes = part.at("normalizes").as_bool();
      one.weight = part.at("weight").to_number<double>();
    }
    if (expected.empty()) expected = {{{{{"", 1}}}, {1}}};  // Compel fails at brackets with nothing inside
    ASSERT_EQ(found.size(), expected.size()) << text;
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].blend, expected[i].blend) << text;
      EXPECT_EQ(found[i].normalizes, expected[i].normalizes) << text;
      EXPECT_EQ(found[i].weight, expected[i].weight) << text;
      ASSERT_EQ(found[i].prompts.size(), expected[i].prompts.size()) << text;
      for (size_t k = 0; k < found[i].prompts.size(); ++k) {
        const Parts &own = found[i].prompts[k], &theirs = expected[i].prompts[k];
        ASSERT_EQ(own.size(), theirs.size()) << text;
        for (size_t n = 0; n < own.size(); ++n) {
          EXPECT_EQ(own[n].text, theirs[n].text) << text;
          EXPECT_NEAR(own[n].weight, theirs[n].weight, 1e-12) << text << ": " << own[n].text;
        }
      }
    }
  }
}

TEST(CompelPrompts, SayWhatIsWrong) {
  const auto problem = [](const std::string& text) -> std::string {
    try {
      parse_compel(text);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_THAT(problem(R"(("a", "b").blend(1))"), HasSubstr("1 weights for 2 texts"));
  EXPECT_THAT(problem(R"(("a", "b").blend(1, x))"), HasSubstr("'x' is no weight"));
  EXPECT_THAT(problem(R"(("a", "b").and() c)"), HasSubstr("must be the whole prompt"));
  EXPECT_THAT(problem("a cat.swap(dog)"), HasSubstr("cross-attention control"));
  EXPECT_THAT(problem("a cat withLora(x, 0.5)"), HasSubstr("--lora"));
  EXPECT_THAT(problem(std::string(5000, '(')), HasSubstr("200 brackets"));
  EXPECT_EQ(problem("a (cat)" + std::string(400, '+')), "none");
}

TEST(CompelChunks, EndAtSentencesThenPhrasesThenWords) {
  const auto tokens = [](const std::string& text) {
    std::vector<size_t> out;
    const auto ids = tokenizer().encode(text);
    for (const TokenChunk& chunk : compel_chunks(tokenizer(), {ids, std::vector<float>(ids.size(), 1)}))
      out.push_back(chunk.tokens);
    return out;
  };
  EXPECT_THAT(tokens(words(75)), ElementsAre(75));
  EXPECT_THAT(tokens(words(10) + ". " + words(10) + ", " + words(70)), ElementsAre(11, 11, 70));
  EXPECT_THAT(tokens(words(10) + ", " + words(70)), ElementsAre(11, 70));
  EXPECT_THAT(tokens(words(100)), ElementsAre(75, 25));
  EXPECT_THAT(tokens(""), ElementsAre(0));
}

}  // namespace
}  // namespace limn::text
