// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/tape.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/weights/testing.h"

namespace limn::engine {
namespace {

using ::testing::HasSubstr;
using weights::testing::error_of;

struct MemoryTape : Tape {
  std::vector<std::string> answers;
  int64_t clears = 0;

  std::optional<std::string> read(int64_t call) override {
    const auto at = static_cast<size_t>(call);
    return at < answers.size() ? std::optional(answers[at]) : std::nullopt;
  }
  void write(int64_t call, std::string bytes) override {
    EXPECT_EQ(call, static_cast<int64_t>(answers.size())) << "a gap";
    answers.push_back(std::move(bytes));
  }
  void clear() override {
    answers.clear();
    ++clears;
  }
};

at::Tensor numbers(int64_t from) { return at::arange(from, from + 48, at::kFloat).view({2, 2, 3, 4}); }

/// Each answer is the question and 100 more.
struct Model {
  int64_t calls = 0;
  at::Tensor ask(TapeHead& head, int64_t question, at::ScalarType dtype = at::kFloat) {
    const at::Tensor asked = numbers(question);
    return head
        .answer(dtype, asked,
                [&] {
                  ++calls;
                  return pipelines::Prediction{asked + 100, {}};
                })
        .guided;
  }
};

bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  return at::equal(a, b) && a.strides() == b.strides();
}

TEST(RecordedAnswer, ComesBackWithItsLayout) {
  const at::Tensor plain = numbers(0), channels_last = numbers(7).contiguous(at::MemoryFormat::ChannelsLast),
                   turned = numbers(9).permute({3, 1, 0, 2});
  const std::string question = digest_of(plain);
  for (const at::Tensor& guided : {plain, channels_last, turned, channels_last.slice(0, 1, 2)})
    for (const at::Tensor& unconditional : {at::Tensor(), channels_last}) {
      const auto back = answer_of_bytes(to_bytes({question, at::kBFloat16, {guided, unconditional}}), "tape");
      EXPECT_TRUE(same_layout(back.prediction.guided, guided));
      EXPECT_EQ(back.prediction.unconditional.defined(), unconditional.defined());
      if (unconditional.defined()) {
        EXPECT_TRUE(same_layout(back.prediction.unconditional, unconditional));
      }
      EXPECT_EQ(back.question, question);
      EXPECT_EQ(back.dtype, at::kBFloat16);
    }
}

TEST(RecordedAnswer, IsRefusedWhereAnyByteIsAnother) {
  const std::string bytes = to_bytes({digest_of(numbers(0)), at::kFloat, {numbers(1), numbers(2)}});
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    ASSERT_EQ(error_of([&] { answer_of_bytes(damaged, "tape"); }).code(), ErrorCode::BadFile) << i;
    ASSERT_EQ(error_of([&] { answer_of_bytes(bytes.substr(0, i), "tape"); }).code(), ErrorCode::BadFile) << i;
  }
  EXPECT_EQ(error_of([&] { answer_of_bytes(bytes + " ", "tape"); }).code(), ErrorCode::BadFile);
}

TEST(TapeHead, PlaysWhatThereIsAndRecordsTheRest) {
  MemoryTape tape;
  Model first, second;
  TapeHead head(&tape);
  EXPECT_FALSE(head.begin_request());
  for (int64_t i = 0; i < 3; ++i) first.ask(head, i);
  EXPECT_EQ(first.calls, 3);
  ASSERT_EQ(tape.answers.size(), 3u);

  TapeHead again(&tape);
  EXPECT_EQ(again.begin_request(), at::kFloat);
  for (int64_t i = 0; i < 5; ++i) EXPECT_TRUE(at::equal(second.ask(again, i), numbers(i) + 100)) << i;
  EXPECT_EQ(second.calls, 2);
  EXPECT_EQ(tape.answers.size(), 5u);
}

TEST(TapeHead, RefusesAnswersToOtherQuestionsAndOfOtherTypes) {
  MemoryTape tape;
  Model model;
  TapeHead head(&tape);
  model.ask(head, 0);
  for (const auto& [question, dtype] : {std::pair(int64_t{1}, at::kFloat), {0, at::kHalf}}) {
    TapeHead other(&tape);
    const Error error = error_of([&] { model.ask(other, question, dtype); });
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    EXPECT_THAT(error.where(), HasSubstr("tape, call 0"));
  }
  EXPECT_EQ(model.calls, 1);
  tape.answers[0].back() ^= 1;
  TapeHead damaged(&tape);
  EXPECT_EQ(error_of([&] { damaged.begin_request(); }).code(), ErrorCode::BadFile);
}

TEST(TapeHead, StartsOverFromAnEmptyTape) {
  MemoryTape tape;
  Model model;
  TapeHead head(&tape);
  head.begin_request();
  for (int64_t i = 0; i < 3; ++i) model.ask(head, i, at::kHalf);
  head.start_over();
  EXPECT_TRUE(tape.answers.empty());
  for (int64_t i = 0; i < 2; ++i) model.ask(head, i, at::kFloat);
  EXPECT_EQ(model.calls, 5);
  EXPECT_EQ(tape.answers.size(), 2u);
  TapeHead again(&tape);
  EXPECT_EQ(again.begin_request(), at::kFloat);
}

TEST(TapeHead, DoesWithoutATapeWhereALaterRequestStartsOver) {
  MemoryTape tape;
  Model model;
  TapeHead head(&tape);
  head.begin_request();
  model.ask(head, 0);
  head.begin_request();
  model.ask(head, 1, at::kHalf);
  head.start_over();
  EXPECT_EQ(tape.clears, 1);
  EXPECT_FALSE(head.has_tape());
  EXPECT_FALSE(head.begin_request());
}

}  // namespace
}  // namespace limn::engine
