// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/sdapi_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/provenance/record.h"

namespace limn::server {
namespace {

using testing::HasSubstr;

constexpr Time kStart{std::chrono::milliseconds(1'893'553'445'000)};  // 2030-01-02 03:04:05

json::object record(uint64_t seed) {
  provenance::GenerationRecord out;
  out.prompt = "a cat, ";
  out.negative_prompt = "text";
  out.steps = 12;
  out.scheduler = "k_dpmpp_2m";
  out.a1111_sampler = "DPM++ 2M";
  out.a1111_schedule = "Karras";
  out.guidance_scale = 6.5;
  out.seed = seed;
  out.width = 640;
  out.height = 384;
  out.model = "sd15";
  out.model_hash = std::string(64, 'a');
  out.limn_version = "1";
  out.request = {{"clip_skip", 2}, {"vae", "soft.pt"}};
  return provenance::to_json(out);
}

SdapiRequest request() {
  SdapiRequest out;
  out.fields = {{"prompt", "a cat, "}};
  out.prompt = "a cat, <lora:ink:0.8>";
  out.batch_size = 2;
  return out;
}

Job job(JobState state, const std::string& stage = "", int64_t done = 0, int64_t total = 0) {
  Job out;
  out.id = "job";
  out.state = state;
  out.progress = {};
  out.progress.stage = stage;
  out.progress.done = done;
  out.progress.total = total;
  out.started = kStart;
  return out;
}

TEST(SdapiInfo, TellsOfEachPicture) {
  Job done = job(JobState::Done);
  done.warnings = {"s_churn: limn has no such setting; left out"};
  const std::vector<json::object> records{record(7), record(UINT64_MAX)};
  const json::object info = sdapi_info(request(), done, records);
  EXPECT_EQ(info.at("seed"), 7);
  EXPECT_EQ(info.at("all_seeds"), (json::array{7, UINT64_MAX}));
  EXPECT_EQ(info.at("prompt"), "a cat, <lora:ink:0.8>");  // as it was sent
  EXPECT_EQ(info.at("all_prompts").as_array().size(), 2u);
  EXPECT_EQ(info.at("all_negative_prompts"), (json::array{"text", "text"}));
  EXPECT_EQ(info.at("subseed"), -1);
  EXPECT_EQ(info.at("sampler_name"), "DPM++ 2M");
  EXPECT_EQ(
      info.at("extra_generation_params"),
      parse_json(R"({"Schedule type":"Karras","warnings":["s_churn: limn has no such setting; left out"]})",
                 "expected"));
  EXPECT_EQ(info.at("sd_model_hash"), "aaaaaaaaaa");
  EXPECT_EQ(info.at("sd_vae_name"), "soft.pt");
  EXPECT_EQ(info.at("clip_skip"), 2);
  EXPECT_EQ(info.at("batch_size"), 2);
  EXPECT_EQ(info.at("job_timestamp"), "20300102030405");
  EXPECT_TRUE(info.at("denoising_strength").is_null());
  const std::string infotext(info.at("infotexts").as_array()[1].as_string());
  EXPECT_THAT(infotext, HasSubstr("Steps: 12, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5"));
  EXPECT_THAT(infotext, HasSubstr("Seed: 18446744073709551615"));
}

TEST(SdapiInfo, SaysThePromptThatStylesMade) {
  provenance::GenerationRecord styled = provenance::record_from_json(record(7));
  styled.prompt = "painted a cat";
  const std::vector<json::object> records{provenance::to_json(styled)};
  EXPECT_EQ(sdapi_info(request(), job(JobState::Done), records).at("prompt"), "painted a cat");
}

TEST(SdapiInfo, OfAnInterruptedJobHasNoPictures) {
  const json::object info = sdapi_info(request(), job(JobState::Cancelled), {});
  EXPECT_EQ(info.at("all_seeds"), json::array());
  EXPECT_EQ(info.at("seed"), -1);
}

TEST(SdapiProgress, IsZeroWhereNothingIsToBeDone) {
  const json::object idle = sdapi_progress({}, {}, kStart);
  EXPECT_EQ(idle.at("progress"), 0.0);
  EXPECT_EQ(idle.at("state").as_object().at("job_count"), 0);
  EXPECT_EQ(idle.at("state").as_object().at("job"), "");
  EXPECT_TRUE(idle.at("current_image").is_null());
}

TEST(SdapiProgress, IsBusyWhileAJobWaits) {
  const std::vector<Job> jobs{job(JobState::Queued)};
  const json::object waiting = sdapi_progress(jobs, {}, kStart);
  EXPECT_EQ(waiting.at("progress"), 0.01);
  EXPECT_EQ(waiting.at("state").as_object().at("job_count"), 1);
  EXPECT_EQ(waiting.at("textinfo"), "waiting in the queue");
}

TEST(SdapiProgress, CountsStepsAndBatches) {
  std::vector<Job> jobs{job(JobState::Queued), job(JobState::Running, "denoise", 15, 40)};
  jobs[1].origin = {{"batches", 4}};
  const json::object told = sdapi_progress(jobs, "preview", kStart + std::chrono::seconds(30));
  EXPECT_NEAR(told.at("progress").as_double(), 0.01 + 15.0 / 40, 1e-9);
  EXPECT_NEAR(told.at("eta_relative").as_double(), 50, 1e-6);
  const json::object& state = told.at("state").as_object();
  EXPECT_EQ(state.at("job_count"), 4);
  EXPECT_EQ(state.at("job_no"), 1);
  EXPECT_EQ(state.at("sampling_step"), 5);
  EXPECT_EQ(state.at("sampling_steps"), 10);
  EXPECT_EQ(told.at("current_image"), "preview");
}

TEST(SdapiProgress, NeverPassesOne) {
  const std::vector<Job> last{job(JobState::Running, "decode", 0, 4)};
  EXPECT_EQ(sdapi_progress(last, {}, kStart).at("progress"), 1.0);
  EXPECT_EQ(done_share(job(JobState::Running, "load", 0, 0)), 0);
  EXPECT_EQ(done_share(job(JobState::Running, "denoise", 9, 4)), 1);
}

}  // namespace
}  // namespace limn::server
