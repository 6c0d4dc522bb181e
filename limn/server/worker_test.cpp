// SPDX-License-Identifier: Apache-2.0
#include "limn/server/worker.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>

#include "limn/server/job_tape.h"
#include "limn/server/routes/routes_testing.h"
#include "limn/server/watch.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;

/// One worker at a server, in a thread.
class Workers : public testing::Test {
 protected:
  std::jthread work() {
    return std::jthread([this](const std::stop_token& stop) {
      Worker(server_.services(), server_.models(), "worker").run_one(stop);
    });
  }

  template <typename Condition>
  bool wait_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (std::chrono::steady_clock::now() < end) {
      if (condition()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return false;
  }
  bool wait_for_step(const std::string& id, int64_t step) {
    return wait_until([&] {
      const Job job = server_.job(id);
      return has_ended(job.state) || (job.progress.stage == "denoise" && job.progress.done >= step);
    });
  }

  std::vector<uint8_t> pixels_of(const std::string& id, size_t i = 0) {
    const Job job = server_.job(id);
    EXPECT_EQ(job.state, JobState::Done) << job.error.where << ": " << job.error.message;
    return decoded(server_.services().blobs.get(job.pictures.at(i))).pixels;
  }
  /// What a run without any disturbance makes of these fields.
  std::vector<uint8_t> undisturbed(const std::string& fields) {
    const std::string id = server_.submit(fields);
    server_.work();
    EXPECT_EQ(server_.job(id).attempt, 1);
    return pixels_of(id);
  }

  TestServer server_;
  JobStore& jobs_ = server_.services().jobs;
};

constexpr const char* kLong = R"("steps": 1000, "seed": 1)";
constexpr const char* kUsual = R"("steps": 24, "seed": 11, "scheduler": "euler_ancestral")";

TEST_F(Workers, StopAtTheNextStepWhenAJobIsCancelled) {
  const std::string id = server_.submit(kLong);
  std::jthread worker = work();
  ASSERT_TRUE(wait_for_step(id, 2));
  const auto asked = std::chrono::steady_clock::now();
  jobs_.cancel(id);
  worker.join();
  EXPECT_LT(std::chrono::steady_clock::now() - asked, 5s);
  const Job job = server_.job(id);
  EXPECT_EQ(job.state, JobState::Cancelled);
  EXPECT_TRUE(job.pictures.empty());
  EXPECT_TRUE(job.checkpoint.empty());
  EXPECT_FALSE(jobs_.preview(id));
}

TEST_F(Workers, GoOnAfterAPauseToTheSameBits) {
  for (const char* scheduler : {"euler_ancestral", "dpmpp_2m_sde", "heun", "euler_cfg_pp"}) {
    const std::string fields = R"("steps": 24, "seed": 11, "scheduler": ")" + std::string(scheduler) + R"(")";
    const std::string id = server_.submit(fields);
    std::jthread worker = work();
    ASSERT_TRUE(wait_for_step(id, 5));
    jobs_.set_paused(id, true);
    worker.join();
    Job job = server_.job(id);
    ASSERT_EQ(job.state, JobState::Queued) << scheduler;
    EXPECT_FALSE(job.checkpoint.empty());
    server_.work();
    EXPECT_EQ(server_.job(id).state, JobState::Queued) << "it is paused";
    jobs_.set_paused(id, false);
    server_.work();
    job = server_.job(id);
    EXPECT_EQ(job.attempt, 2);
    EXPECT_TRUE(job.checkpoint.empty());
    EXPECT_EQ(pixels_of(id), undisturbed(fields)) << scheduler;
  }
}

TEST_F(Workers, AskTheModelNothingTwice) {
  const std::string id = server_.submit(kLong);
  std::vector<std::string> blobs;
  for (int attempt = 1; attempt <= 2; ++attempt) {
    std::jthread worker = work();
    ASSERT_TRUE(wait_for_step(id, 10 * attempt));
    worker.request_stop();
    worker.join();
    ASSERT_GT(server_.job(id).checkpoint.size(), blobs.size());
    blobs = server_.job(id).checkpoint;
  }
  int64_t next = 0;
  for (const std::string& blob : blobs) {
    const std::string bytes = server_.services().blobs.get(blob);
    const json::object head = parse_json(bytes.substr(0, bytes.find('\n')), "checkpoint").as_object();
    EXPECT_EQ(head.at("first"), next);
    next += static_cast<int64_t>(head.at("sizes").as_array().size());
  }
  EXPECT_GE(next, 20);
  jobs_.cancel(id);
}

TEST_F(Workers, PutTheirJobBackWhenTheyAreToStop) {
  const std::string id = server_.submit(kUsual);
  std::jthread worker = work();
  ASSERT_TRUE(wait_for_step(id, 5));
  worker.request_stop();
  worker.join();
  const Job job = server_.job(id);
  EXPECT_EQ(job.state, JobState::Queued);
  EXPECT_FALSE(job.paused);
  EXPECT_FALSE(job.checkpoint.empty());
  server_.work();
  EXPECT_EQ(pixels_of(id), undisturbed(kUsual));
}

TEST_F(Workers, WriteNothingOnceAnotherHasTheirJob) {
  const std::string id = server_.submit(kLong);
  std::jthread worker = work();
  ASSERT_TRUE(wait_for_step(id, 2));
  EXPECT_EQ(jobs_.recover(true), 1);
  const Job other = jobs_.claim("another", 30s).value();
  worker.join();
  const Job job = server_.job(id);
  EXPECT_EQ(job.state, JobState::Running);
  EXPECT_EQ(job.worker, "another");
  EXPECT_EQ(job.attempt, 2);
  EXPECT_TRUE(jobs_.end_cancelled(other));
}

TEST_F(Workers, DoWithoutACheckpointThatIsDamaged) {
  const std::string id = server_.submit(kUsual);
  std::jthread worker = work();
  ASSERT_TRUE(wait_for_step(id, 5));
  worker.request_stop();
  worker.join();
  for (const std::string& blob : server_.job(id).checkpoint)
    std::ofstream(server_.services().blobs.file(blob), std::ios::app) << "x";
  server_.work();
  EXPECT_EQ(pixels_of(id), undisturbed(kUsual));
}

TEST_F(Workers, BeginAnewWhereTheCheckpointIsOfAnotherRun) {
  const std::string id = server_.submit(kUsual);
  const Job job = jobs_.claim("worker", 30s).value();
  JobTape tape(server_.services().blobs, job);
  tape.write(0, "no answer of a model");
  const std::vector<std::string> blobs{server_.services().blobs.put(tape.unsaved().bytes)};
  jobs_.save(job, blobs);
  jobs_.put_back(job);
  server_.work();
  EXPECT_EQ(pixels_of(id), undisturbed(kUsual));
}

TEST_F(Workers, DropACheckpointThatWasRefused) {
  const std::string id = server_.submit(kUsual);
  for (const bool lost : {false, true}) {
    const Job first = jobs_.claim("worker", 30s).value();
    jobs_.save(first, std::vector{server_.services().blobs.put("of another run")});
    jobs_.put_back(first);
    const Job job = jobs_.claim("worker", 30s).value();
    JobTape tape(server_.services().blobs, job);
    Watch watch(server_.services(), job, tape);
    tape.clear();
    int64_t step = 0;
    const auto is_dropped = [&] {
      watch.show(JobProgress{.stage = "load", .done = ++step});
      return server_.job(id).checkpoint.empty();
    };
    if (lost) EXPECT_TRUE(wait_until(is_dropped)) << "before the model has answered anything";
    watch.end(true);
    EXPECT_TRUE(is_dropped());
    jobs_.put_back(job);
  }
}

TEST_F(Workers, ShowHowFarTheyAre) {
  const std::string id = server_.submit(R"("steps": 80, "seed": 1)");
  std::jthread worker = work();
  ASSERT_TRUE(wait_until([&] { return jobs_.preview(id).has_value(); }));
  const std::string preview = *jobs_.preview(id);
  EXPECT_LE(preview.size(), 32'000u);
  EXPECT_GT(decoded(preview).width, 0);
  ASSERT_TRUE(wait_for_step(id, 20));
  const JobProgress progress = server_.job(id).progress;
  EXPECT_EQ(progress.total, 80);
  ASSERT_TRUE(progress.seconds_left);
  EXPECT_GT(*progress.seconds_left, 0);
  EXPECT_LT(*progress.seconds_left, 200);
  worker.join();
  EXPECT_FALSE(jobs_.preview(id)) << "gone with the run";
}

TEST_F(Workers, MakeAllPicturesOfAJobOrNone) {
  const std::string id = server_.submit(R"("count": 10, "seed": 3)");
  server_.work();
  const Job job = server_.job(id);
  ASSERT_EQ(job.pictures.size(), 10u);
  const std::string alone = server_.submit(R"("seed": 12)");
  server_.work();
  EXPECT_EQ(pixels_of(id, 9), pixels_of(alone)) << "the tenth has the seed after nine others";
}

TEST_F(Workers, SaveWhileTheyWork) {
  const std::string id = server_.submit(R"("steps": 1000, "seed": 1, "width": 128, "height": 128)");
  std::jthread worker = work();
  ASSERT_TRUE(wait_until([&] { return !server_.job(id).checkpoint.empty(); }));
  jobs_.cancel(id);
}

}  // namespace
}  // namespace limn::server
