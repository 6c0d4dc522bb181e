// SPDX-License-Identifier: Apache-2.0
// Runs that were cut off after any model call and go on from a tape, against runs that were not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/engine/engine.h"
#include "limn/schedulers/scheduler.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"
#include "limn/weights/testing.h"
#include "tests/fidelity/goldens.h"
#include "tests/fidelity/variants.h"

namespace limn {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using weights::testing::error_of;

struct MemoryTape : engine::Tape {
  std::vector<std::string> answers;
  int64_t asked = 0, clears = 0;  // of the model
  std::function<void(int64_t call)> on_read;

  std::optional<std::string> read(int64_t call) override {
    if (on_read) on_read(call);
    const auto at = static_cast<size_t>(call);
    return at < answers.size() ? std::optional(answers[at]) : std::nullopt;
  }
  void write(int64_t call, std::string bytes) override {
    EXPECT_EQ(call, static_cast<int64_t>(answers.size())) << "a gap";
    answers.push_back(std::move(bytes));
    ++asked;
  }
  void clear() override {
    answers.clear();
    ++clears;
  }
};

/// A request for small pictures. Files are named as in tests/goldens/families.
engine::GenerateRequest request_of(const json::object& more) {
  json::object fields{{"prompt", "a lighthouse in fog"},
                      {"negative_prompt", "blurry"},
                      {"guidance_scale", 5.0},
                      {"model", "sd1"},
                      {"width", 64},
                      {"height", 64},
                      {"steps", 3},
                      {"seed", 7}};
  for (const auto& [key, value] : more) fields[key] = value;
  for (const char* file : {"model", "refiner", "init_image", "mask"})
    if (json::value* name = fields.if_contains(file))
      *name = model_folder(std::string(name->as_string())).string();
  return engine::request_from_json(fields);
}

engine::Engine& shared_engine() {
  static engine::Engine engine(0, std::make_shared<engine::Models>(int64_t{1} << 30));
  return engine;
}

std::vector<engine::Picture> made(const engine::GenerateRequest& request, engine::Tape* tape = nullptr) {
  return shared_engine().generate(request, {}, {}, tape);
}

void expect_same(const std::vector<engine::Picture>& found, const std::vector<engine::Picture>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].latents.values, expected[i].latents.values);
    EXPECT_EQ(found[i].image.pixels, expected[i].image.pixels);
    EXPECT_EQ(found[i].record.warnings, expected[i].record.warnings);
  }
}

/// Cuts a run off after call 0, 1, 2, … (of long ones, after some of them), and goes on each time.
void expect_resumes(const json::object& more) {
  SCOPED_TRACE(to_text(more));
  constexpr size_t kMostCuts = 4;
  const engine::GenerateRequest request = request_of(more);
  const auto expected = made(request);
  MemoryTape whole;
  expect_same(made(request, &whole), expected);
  const size_t calls = whole.answers.size(), stride = (calls + kMostCuts - 1) / kMostCuts;
  ASSERT_GT(calls, 1u);
  for (size_t cut = calls; cut > 0; cut -= std::min(cut, stride)) {
    SCOPED_TRACE("cut off after " + std::to_string(cut) + " of " + std::to_string(calls) + " calls");
    MemoryTape tape;
    tape.answers.assign(whole.answers.begin(), whole.answers.begin() + static_cast<ptrdiff_t>(cut));
    expect_same(made(request, &tape), expected);
    EXPECT_EQ(tape.asked, static_cast<int64_t>(calls - cut));
    EXPECT_EQ(tape.answers, whole.answers);
  }
}

class EverySampler : public testing::TestWithParam<size_t> {};

TEST_P(EverySampler, GoesOnFromATapeToTheSameBits) {
  const schedulers::SchedulerEntry& entry = schedulers::all()[GetParam()];
  json::object fields{{"scheduler", std::string(entry.name)}, {"steps", 4}, {"count", 2}};
  if (entry.takes_eta) fields["eta"] = 1.0;
  expect_resumes(fields);
}

INSTANTIATE_TEST_SUITE_P(Table, EverySampler, testing::Range(size_t{0}, schedulers::all().size()),
                         [](const auto& info) { return std::string(schedulers::all()[info.param].name); });

TEST(Resume, GivesTheSameBitsFromPicturesAndMasks) {
  for (const json::object& more : {
           json::object{{"init_image", "init.png"}, {"strength", 0.7}, {"scheduler", "euler_ancestral"}},
           json::object{{"init_image", "init.png"}, {"mask", "mask.png"}, {"scheduler", "ddim"}},
           json::object{{"init_image", "init.png"},
                        {"mask", "mask.png"},
                        {"mask_mode", "differential"},
                        {"scheduler", "dpmpp_sde"}},
           json::object{{"init_image", "init.png"},
                        {"mask", "mask.png"},
                        {"masked_content", "noise"},
                        {"compat", "a1111"},
                        {"scheduler", "euler_ancestral_cfg_pp"}},
           json::object{{"init_image", "init.png"},
                        {"mask", "mask.png"},
                        {"compat", "comfy"},
                        {"scheduler", "dpmpp_2s_ancestral"}},
           json::object{{"model", "inpaint"}, {"init_image", "init.png"}, {"mask", "mask.png"}},
           json::object{{"model", "instruct_pix2pix"}, {"init_image", "init.png"}},
       })
    expect_resumes(more);
}

TEST(Resume, CountsCallsThroughAllPassesAndBatches) {
  const weights::testing::TemporaryFolder wildcards;
  for (const json::object& more : {
           json::object{{"hires_scale", 1.5}, {"scheduler", "dpmpp_2m_sde"}, {"count", 2}},
           json::object{{"hires_scale", 1.5}, {"hires_upscaler", "lanczos"}, {"steps", 2}},
           json::object{{"model", "sdxl"}, {"refiner", "sdxl_refiner"}, {"refiner_start", 0.5}, {"steps", 4}},
           json::object{{"count", 10}, {"steps", 2}, {"scheduler", "euler_ancestral"}},
           json::object{{"count", 3},
                        {"steps", 2},
                        {"prompt", "a {red|green|blue} {tower|ship}"},
                        {"wildcards", wildcards.path().string()}},
       })
    expect_resumes(more);
}

TEST(Resume, GivesTheSameBitsWithWhatGuidesTheModel) {
  for (const json::object& more : {
           json::object{{"pag_scale", 2.0}, {"pag_adaptive_scale", 0.003}},
           json::object{{"sag_scale", 0.75}, {"steps", 4}},
           json::object{{"guidance_start", 0.3}, {"guidance_end", 0.7}, {"steps", 5}},
           json::object{{"skip_unconditional", 10.0}, {"steps", 5}, {"scheduler", "euler"}},
           json::object{{"guidance_rescale", 0.7}, {"freeu", "0.9,0.2,1.5,1.6"}},
           json::object{{"tile", 48}, {"tile_overlap", 16}, {"token_merging", 0.5}},
           json::object{{"prompt", "[fog:sun:0.5] AND (tower:1.2)"}, {"compat", "a1111"}, {"steps", 4}},
           json::object{{"model", "lcm"}, {"scheduler", "lcm"}, {"steps", 4}},
           json::object{{"noise", "shared"}, {"count", 3}, {"scheduler", "dpmpp_3m_sde"}, {"steps", 4}},
           json::object{{"variation_strength", 0.4}, {"eta_noise_seed_delta", 31337}, {"scheduler", "ddpm"}},
           json::object{{"dtype", "bfloat16"}, {"scheduler", "euler_ancestral"}},
           json::object{{"quantize", "int8"}},
       })
    expect_resumes(more);
}

/// A tape of a run whose first model call was all, and its request.
std::pair<MemoryTape, engine::GenerateRequest> begun() {
  std::pair<MemoryTape, engine::GenerateRequest> out{{}, request_of({{"steps", 4}})};
  made(out.second, &out.first);
  out.first.answers.resize(1);
  out.first.asked = 0;
  return out;
}

TEST(Resume, LeavesTheTapeAloneWhereAnswersHangOnThoseBefore) {
  for (const json::object& more :
       {json::object{{"step_cache", 2}}, {{"step_cache", 3}, {"scheduler", "heun"}}}) {
    auto [tape, ignored] = begun();
    const auto request = request_of(more);
    expect_same(made(request, &tape), made(request));
    EXPECT_EQ(tape.answers.size(), 1u);
    EXPECT_EQ(tape.asked, 0);
  }
}

TEST(Resume, RefusesADamagedTapeAndThatOfAnotherRun) {
  {
    auto [tape, request] = begun();
    tape.answers[0][100] ^= 1;
    const Error error = error_of([&] { made(request, &tape); });
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    EXPECT_THAT(error.where(), HasSubstr("tape"));
  }
  for (const json::object& more :
       {json::object{{"seed", 8}}, {{"width", 72}}, {{"count", 2}}, {{"scheduler", "euler"}}}) {
    auto [tape, ignored] = begun();
    EXPECT_EQ(error_of([&] { made(request_of(more), &tape); }).code(), ErrorCode::BadFile) << to_text(more);
    EXPECT_EQ(tape.asked, 0);
  }
}

TEST(Resume, NeedsASeed) {
  auto [tape, request] = begun();
  request.seed.reset();
  EXPECT_EQ(error_of([&] { made(request, &tape); }).where(), "seed");
}

TEST(Resume, StopsAmongAnswersOfTheTape) {
  MemoryTape tape;
  const auto request = request_of({{"steps", 4}});
  made(request, &tape);
  std::stop_source stop;
  int64_t last = 0;
  tape.on_read = [&](int64_t call) {
    last = call;
    if (call == 1) stop.request_stop();
  };
  EXPECT_EQ(error_of([&] { shared_engine().generate(request, stop.get_token(), {}, &tape); }).code(),
            ErrorCode::Cancelled);
  EXPECT_EQ(last, 1);
}

TEST(Resume, GoesOnWhereAStoppedRunWas) {
  const auto request = request_of({{"steps", 5}, {"scheduler", "dpmpp_2m_sde"}, {"count", 2}});
  MemoryTape tape;
  std::stop_source stop;
  const auto stop_after_two = [&](const engine::Progress& progress) {
    if (progress.stage == engine::Progress::Stage::Denoise && progress.done == 2) stop.request_stop();
  };
  EXPECT_EQ(
      error_of([&] { shared_engine().generate(request, stop.get_token(), stop_after_two, &tape); }).code(),
      ErrorCode::Cancelled);
  ASSERT_EQ(tape.answers.size(), 2u);
  expect_same(made(request, &tape), made(request));
  EXPECT_EQ(tape.asked, 5);
}

/// The tiny model, whose numbers pass float16's in its first layer.
fs::path loud_model(const fs::path& folder) {
  fs::copy(goldens() / "families" / "sd1", folder, fs::copy_options::recursive);
  const fs::path file = folder / "unet" / "diffusion_pytorch_model.safetensors";
  weights::Index index = weights::open_tensor_file(file);
  weights::TensorEntry& entry = index.tensors.at("conv_in.weight");
  const at::Tensor louder = weights::to_tensor(entry).to(at::kFloat) * 1e5;
  entry = weights::to_entry(louder);
  const fs::path changed = folder / "changed.safetensors";
  weights::write_safetensors(changed, index.tensors, {});
  fs::rename(changed, file);
  return folder;
}

TEST(Resume, GoesOnInFloat32WhereTheFirstTryCameToNothing) {
  const weights::testing::TemporaryFolder folder;
  auto request = request_of({{"dtype", "float16"}, {"steps", 3}});
  request.model = loud_model(folder.path() / "loud");
  const auto expected = made(request);
  ASSERT_THAT(expected[0].record.warnings, ::testing::Contains(HasSubstr("done again in float32")));
  MemoryTape whole;
  expect_same(made(request, &whole), expected);
  EXPECT_EQ(whole.clears, 1);
  ASSERT_EQ(whole.answers.size(), 3u);
  for (const size_t cut : {1, 2, 3}) {
    MemoryTape tape;
    tape.answers.assign(whole.answers.begin(), whole.answers.begin() + static_cast<ptrdiff_t>(cut));
    expect_same(made(request, &tape), expected);
    EXPECT_EQ(tape.clears, 0);
    EXPECT_EQ(tape.asked, static_cast<int64_t>(3 - cut));
  }
}

}  // namespace
}  // namespace limn
