// SPDX-License-Identifier: Apache-2.0
#include "limn/training/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"

namespace limn::training {
namespace {

using testing::HasSubstr;

constexpr char kLora[] = R"(
[run]
task = "lora"
samples = 1000
[model]
base = "model"
[data]
path = "pictures"
[optimizer]
learning_rate = 1e-4
[lora]
rank = 8
targets = ["to_q"]
)";

std::string problem_of(const std::string& toml) {
  try {
    parse_config(toml, "run.toml");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    return error.what();
  }
  return "";
}

TEST(TrainConfig, ReadsWhatTheTableLists) {
  const TrainConfig config = parse_config(kLora, "folder/run.toml");
  EXPECT_EQ(config.task, "lora");
  EXPECT_EQ(config.rank, 8);
  EXPECT_EQ(config.lora_targets, std::vector<std::string>{"to_q"});
  EXPECT_DOUBLE_EQ(config.learning_rate, 1e-4);
  EXPECT_EQ(config.resolve(config.data), "folder/pictures");
  EXPECT_EQ(config.resolve("/elsewhere"), "/elsewhere");
}

TEST(TrainConfig, NamesTheNearestSetting) {
  EXPECT_THAT(problem_of("[optimizer]\nlearning_rat = 1\n"),
              testing::AllOf(HasSubstr("run.toml:2: optimizer.learning_rat"),
                             HasSubstr("did you mean optimizer.learning_rate?")));
  EXPECT_THAT(problem_of("[optimiser]\nname = \"adamw\"\n"), HasSubstr("did you mean optimizer.name?"));
  EXPECT_THAT(problem_of("[run]\nquux = 1\n"), HasSubstr("no such setting"));
}

TEST(TrainConfig, RefusesWrongTypesRangesAndNames) {
  EXPECT_THAT(problem_of("[data]\nbatch_size = \"8\"\n"),
              HasSubstr("run.toml:2: data.batch_size: expected an integer"));
  EXPECT_THAT(problem_of("[data]\nbatch_size = 8.5\n"), HasSubstr("expected an integer"));
  EXPECT_THAT(problem_of("[data]\ncaption_dropout = 1.5\n"), HasSubstr("from 0 to 1"));
  EXPECT_THAT(problem_of("[data]\ncaption_dropout = nan\n"), HasSubstr("from 0 to 1"));
  EXPECT_THAT(problem_of("[run]\ntask = \"loar\"\n"), HasSubstr("known: autoencoder"));
  EXPECT_THAT(problem_of("[preview]\nprompts = [1]\n"), HasSubstr("a list of texts"));
  EXPECT_THAT(problem_of("[run\n"), HasSubstr("is not valid TOML"));
}

TEST(TrainConfig, RefusesContradictionsAndGaps) {
  EXPECT_THAT(problem_of(""), HasSubstr("run.task: is missing"));
  EXPECT_THAT(problem_of("[run]\ntask = \"lora\"\nsamples = 9\n[data]\npath = \"d\"\n"),
              HasSubstr("model.base: is missing"));
  EXPECT_THAT(problem_of(std::string(kLora) + "[autoencoder]\ncrop = 64\n"),
              HasSubstr("task 'lora' does not use it"));
  EXPECT_THAT(problem_of("[run]\ntask = \"lora\"\nsamples = 9\n[model]\nbase = \"m\"\n[data]\npath = \"d\"\n"
                         "cache_latents = true\nhorizontal_flip = 0.5\n"),
              HasSubstr("cannot flip cached latents"));
}

TEST(TrainConfig, EveryFieldRoundTripsThroughItsTable) {
  const json::object defaults = to_json(TrainConfig{});
  for (const TrainField& field : train_fields()) {
    TrainConfig config;
    field.set(config, field.get(config));
    EXPECT_EQ(to_text(json::value(to_json(config))), to_text(json::value(defaults))) << field.name;
    EXPECT_FALSE(field.help.empty()) << field.name;
  }
}

TEST(TrainConfig, ResumesOnlyWithTheSameSettings) {
  TrainConfig config = parse_config(kLora, "run.toml");
  const json::object then = to_json(config);
  config.samples = 2000;  // may grow
  EXPECT_NO_THROW(check_resumable(config, then));
  config.learning_rate = 1e-3;
  EXPECT_THROW(check_resumable(config, then), Error);
}

}  // namespace
}  // namespace limn::training
