// SPDX-License-Identifier: Apache-2.0
// The parts of a run: order of the data, random numbers, checkpoints, logs.
#include <filesystem>
#include <fstream>
#include <set>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/training/batches.h"
#include "limn/training/checkpoint.h"
#include "limn/training/event_file.h"
#include "limn/training/objective.h"
#include "limn/training/random.h"
#include "limn/training/run_log.h"
#include "limn/training/sheet.h"

namespace limn::training {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

struct Scratch {
  fs::path folder = fs::temp_directory_path() / ("limn_run_" + std::to_string(::getpid()));
  Scratch() {
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  ~Scratch() { fs::remove_all(folder); }
};

TEST(BatchOrder, ShowsEveryExampleOnceAnEpochInBatchesOfOneBucket) {
  const std::vector<datasets::Bucket> buckets{{32, 32, 0, 12}, {64, 32, 12, 8}, {16, 16, 20, 0}};
  BatchOrder order(buckets, 5, 4);
  ASSERT_EQ(order.batches_per_epoch(), 5);
  std::vector<std::vector<int64_t>> epochs;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::multiset<int64_t> seen;
    std::vector<int64_t>& flat = epochs.emplace_back();
    for (int64_t b = 0; b < 5; ++b) {
      const auto batch = order.at(epoch * 5 + b);
      ASSERT_EQ(batch.size(), 4u);
      for (const int64_t example : batch) EXPECT_EQ(example < 12, batch[0] < 12);
      seen.insert(batch.begin(), batch.end());
      flat.insert(flat.end(), batch.begin(), batch.end());
    }
    EXPECT_EQ(seen.size(), 20u);
    EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 20u);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  BatchOrder again(buckets, 5, 4), other(buckets, 6, 4);
  EXPECT_EQ(again.at(7), BatchOrder(buckets, 5, 4).at(7)) << "the place alone decides, not the way there";
  EXPECT_NE(other.at(0), again.at(0));
  EXPECT_THROW(BatchOrder({}, 0, 4), Error);
}

TEST(BatchOrder, FillsABucketsLastBatchFromItsStart) {
  BatchOrder order({{8, 8, 0, 3}}, 1, 8);
  const auto batch = order.at(0);
  EXPECT_EQ(std::set<int64_t>(batch.begin(), batch.end()), (std::set<int64_t>{0, 1, 2}));
}

TEST(Random, RowsDependOnTheirNumberAlone) {
  const at::Tensor whole = normal_rows(3, Stream::Noise, 10, 6, {2, 5});
  const at::Tensor parts =
      at::cat({normal_rows(3, Stream::Noise, 10, 2, {2, 5}), normal_rows(3, Stream::Noise, 12, 4, {2, 5})});
  EXPECT_TRUE(whole.equal(parts));
  EXPECT_FALSE(whole.equal(normal_rows(4, Stream::Noise, 10, 6, {2, 5})));
  EXPECT_FALSE(whole.equal(normal_rows(3, Stream::Posterior, 10, 6, {2, 5})));
  const at::Tensor many = normal_rows(1, Stream::Noise, 0, 2000, {8});
  EXPECT_NEAR(many.mean().item<double>(), 0, 0.03);
  EXPECT_NEAR(many.std().item<double>(), 1, 0.03);
}

TEST(Objective, DrawsLevelsAsItsTableSays) {
  const json::object scheduler{{"num_train_timesteps", 1000}, {"beta_schedule", "scaled_linear"}};
  const auto drawn = [&](const char* sampler, const char* prediction) {
    const Objective objective({.prediction = prediction, .timesteps = sampler}, scheduler, "test");
    const at::Tensor whole = objective.draw_levels(1, 0, 4096, 64);
    EXPECT_TRUE(whole.slice(0, 100, 200).equal(objective.draw_levels(1, 100, 100, 64)));
    return whole;
  };
  for (const Choice& sampler : timestep_samplers()) {
    const at::Tensor levels = drawn(std::string(sampler.name).c_str(), "epsilon");
    EXPECT_GE(levels.min().item<double>(), 0) << sampler.name;
    EXPECT_LE(levels.max().item<double>(), 999) << sampler.name;
    EXPECT_NEAR(levels.mean().item<double>(), 499.5, 20) << sampler.name;
    EXPECT_TRUE(levels.equal(levels.floor())) << sampler.name;
  }
  const at::Tensor even = drawn("low_discrepancy", "v_prediction").slice(0, 0, 64);
  const auto bands = (even / (1000.0 / 64)).floor().to(at::kLong).contiguous();
  EXPECT_EQ(std::set<int64_t>(bands.const_data_ptr<int64_t>(), bands.const_data_ptr<int64_t>() + 64).size(),
            64u);
  const at::Tensor flow = drawn("logit_normal", "flow");
  EXPECT_GT(flow.min().item<double>(), 0);
  EXPECT_LE(flow.max().item<double>(), 1);
  EXPECT_NEAR(((flow / (1 - flow)).log()).std().item<double>(), 1, 0.05);
}

TEST(Objective, RefusesWhatCannotBeLearnt) {
  const json::object zero{{"beta_schedule", "scaled_linear"}, {"rescale_betas_zero_snr", true}};
  EXPECT_THROW(Objective({.prediction = "epsilon", .weighting = "min_snr"}, zero, "test"), Error);
  EXPECT_THROW(Objective({.prediction = "flow", .weighting = "p2"}, {}, "test"), Error);
  EXPECT_THROW(Objective({.prediction = "velocity"}, {}, "test"), Error);
}

TrainState state_at(int64_t samples) {
  return {.samples = samples,
          .step = samples / 4,
          .seconds = 1.5,
          .config = {{"run.task", "lora"}},
          .tensors = {
              {"parameters.a", at::arange(6).to(at::kFloat).view({2, 3}) + static_cast<double>(samples)}}};
}

TEST(Checkpoint, KeepsTheLastAndPassesOverDamage) {
  const Scratch scratch;
  for (const int64_t samples : {8, 16, 24}) write_checkpoint(scratch.folder, state_at(samples), 2);
  EXPECT_FALSE(fs::exists(scratch.folder / "000000000008"));
  std::vector<std::string> damaged;
  auto found = newest_checkpoint(scratch.folder, damaged);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->samples, 24);
  EXPECT_EQ(found->step, 6);
  EXPECT_EQ(found->config.at("run.task").as_string(), "lora");
  EXPECT_TRUE(found->tensors.at("parameters.a").equal(state_at(24).tensors.at("parameters.a")));

  const fs::path file = scratch.folder / "000000000024" / "state.safetensors";
  std::string bytes = read_file(file, 1 << 20);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
  fs::create_directories(scratch.folder / "000000000032.partial");
  fs::create_directories(scratch.folder / "000000000099");
  found = newest_checkpoint(scratch.folder, damaged);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->samples, 16);
  EXPECT_EQ(damaged.size(), 2u);
  write_checkpoint(scratch.folder, state_at(40), 2);
  EXPECT_FALSE(fs::exists(scratch.folder / "000000000032.partial")) << "what a kill left is cleared away";
}

TEST(Checkpoint, RestoresAllOrSaysWhatIsMissing) {
  const auto tensors = state_at(8).tensors;
  const at::Tensor a = at::zeros({2, 3});
  restore(tensors, "parameters.", {{"a", a}});
  EXPECT_TRUE(a.equal(tensors.at("parameters.a")));
  EXPECT_THROW(restore(tensors, "parameters.", {{"b", a}}), Error);
  EXPECT_THROW(restore(tensors, "parameters.", {{"a", at::zeros({3, 2})}}), Error);
  EXPECT_THROW(restore(tensors, "parameters.", {}), Error);
}

TEST(Crc32c, OfKnownBytes) {  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
}

TEST(RunLog, DropsWhatAResumedRunSaysAgain) {
  const Scratch scratch;
  const std::vector<Scalar> loss{{"loss", 0.5}};
  {
    RunLog log(scratch.folder, 0, {});
    for (const int64_t samples : {10, 20, 30}) log.add(samples, samples / 10, loss);
    const std::vector<SamplePicture> pictures{
        {"<script>alert(1)</script>", Image{8, 8, 3, std::vector<uint8_t>(192, 9)}}};
    log.add_pictures(10, 1, pictures);
    log.add_pictures(30, 3, pictures);
    log.write_report();
  }
  std::ofstream(scratch.folder / "log.jsonl", std::ios::app) << "{\"samples\": 15, \"lo";  // torn by a kill
  RunLog log(scratch.folder, 20, {{"run.task", "<b>"}});
  log.add(40, 4, loss);
  log.write_report();
  const std::string text = read_file(scratch.folder / "log.jsonl", 1 << 20);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_THAT(text, testing::Not(HasSubstr("\"samples\":30")));
  EXPECT_TRUE(fs::exists(scratch.folder / "samples" / "000000000010.png"));
  EXPECT_FALSE(fs::exists(scratch.folder / "samples" / "000000000030.png"));
  const std::string report = read_file(scratch.folder / "report.html", 1 << 20);
  EXPECT_THAT(report, testing::AllOf(HasSubstr("&lt;b&gt;"), HasSubstr("data:image/png;base64,"),
                                     HasSubstr("<polyline"), testing::Not(HasSubstr("<script")),
                                     testing::Not(HasSubstr("http"))));
}

TEST(Sheet, HasRoomForEveryPictureAndItsPrompt) {
  const std::vector<SamplePicture> pictures(7,
                                            {"über", Image{32, 16, 3, std::vector<uint8_t>(32 * 16 * 3, 7)}});
  const Image sheet = make_sheet(pictures);
  EXPECT_EQ(sheet.width, 6 * 36 + 4);
  EXPECT_EQ(sheet.height, 2 * (16 + 12 + 4) + 4);
  EXPECT_EQ(sheet.pixels[static_cast<size_t>((4 * sheet.width + 4) * 3)], 7);
  EXPECT_NE(std::count(sheet.pixels.begin(), sheet.pixels.end(), 0), 0) << "letters are drawn";
}

}  // namespace
}  // namespace limn::training
