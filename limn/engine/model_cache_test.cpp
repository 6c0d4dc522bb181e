// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/model_cache.h"

#include <atomic>
#include <latch>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/adapters/twin.h"
#include "limn/base/error.h"
#include "limn/weights/testing.h"

namespace limn::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using weights::testing::error_of;

constexpr int64_t kMuch = int64_t{1} << 40;

fs::path golden(const std::string& name) { return fs::path(LIMN_SOURCE_DIR) / "tests" / "goldens" / name; }
fs::path sd1() { return golden("families/sd1"); }
fs::path sd2() { return golden("families/sd2"); }
fs::path lcm() { return golden("families/lcm"); }

LoadedModel get(ModelCache& cache, const fs::path& model, std::vector<LoraChoice> loras = {}) {
  return cache.get({.model = model, .loras = std::move(loras)}, {});
}

template <typename Cache>
std::vector<fs::path> paths_in(const Cache& cache) {
  std::vector<fs::path> out;
  for (const ResidentModel& model : cache.resident()) out.push_back(model.path);
  return out;
}

template <typename Cache>
int64_t bytes_in(const Cache& cache) {
  int64_t bytes = 0;
  for (const ResidentModel& model : cache.resident()) bytes += model.bytes;
  return bytes;
}

int64_t bytes_of(const std::vector<fs::path>& paths) {
  Models models(kMuch);
  for (const fs::path& path : paths) models.load(path);
  return bytes_in(models);
}

TEST(Models, KeepsAsManyAsFitAndDropsTheOneUsedLongestAgo) {
  const int64_t all = bytes_of({sd1(), sd2(), lcm()});
  Models models(all - 1);
  models.load(sd1());
  models.load(sd2());
  models.load(sd1());
  EXPECT_THAT(paths_in(models), UnorderedElementsAre(sd1(), sd2()));
  models.load(lcm());
  EXPECT_THAT(paths_in(models), UnorderedElementsAre(sd1(), lcm()));

  Models roomy(all);
  for (const fs::path& path : {sd1(), sd2(), lcm()}) roomy.load(path);
  EXPECT_EQ(bytes_in(roomy), all);
  EXPECT_EQ(roomy.resident().size(), 3u);
}

TEST(Models, KeepsTheLastOneWhateverItTakes) {
  for (const int64_t most : {int64_t{0}, int64_t{1}}) {
    Models models(most);
    for (const fs::path& path : {sd1(), sd2(), fs::path()}) {
      models.load(path);
      EXPECT_THAT(paths_in(models), ElementsAre(path)) << most;
    }
  }
}

TEST(Models, CountsTheBytesOfParameters) {
  ModelCache cache(kMuch);
  const LoadedModel loaded = get(cache, golden("tiny_sd1"));
  int64_t bytes = 0;
  const auto add = [&](const auto& module) {
    const auto twin = adapters::twin_of(module);
    for (const auto& [name, tensor] : twin->parameters()) bytes += static_cast<int64_t>(tensor->nbytes());
  };
  add(*loaded.model->unet);
  add(*loaded.model->text_encoder);
  ASSERT_GT(bytes, 0);
  const int64_t counted = bytes_in(cache);
  EXPECT_GT(counted, bytes);  // and the autoencoder's
  EXPECT_LT(counted, 2 * bytes);
}

TEST(Models, UnloadsFiftyTimesWithoutATrace) {
  ModelCache cache(kMuch);
  const fs::path model = golden("families/sdxl");
  const LoraChoice lora{golden("lora/xl_kohya.safetensors")};
  for (int i = 0; i < 50; ++i) {
    const std::weak_ptr<const models::Model> plain = get(cache, model).model,
                                             changed = get(cache, model, {lora}).model;
    ASSERT_FALSE(plain.expired() || changed.expired());
    EXPECT_TRUE(cache.forget(model));
    ASSERT_TRUE(plain.expired() && changed.expired()) << i;
    ASSERT_THAT(cache.resident(), IsEmpty()) << i;
  }
  EXPECT_FALSE(cache.forget(model));
  EXPECT_FALSE(cache.forget("/no/such/model"));
}

TEST(Models, KeepsWhatIsInUse) {
  ModelCache cache(1);
  std::optional<LoadedModel> held = get(cache, sd1());
  const std::weak_ptr<const models::Model> model = held->model;
  get(cache, sd2());
  get(cache, lcm());
  cache.trim();
  EXPECT_THAT(paths_in(cache), UnorderedElementsAre(sd1(), lcm()));
  for (const ResidentModel& resident : cache.resident()) EXPECT_EQ(resident.in_use, resident.path == sd1());
  held.reset();
  EXPECT_FALSE(model.expired());
  cache.trim();
  EXPECT_TRUE(model.expired());
  EXPECT_THAT(paths_in(cache), ElementsAre(lcm()));
}

TEST(Models, LeavesAnUnloadedModelToWhoUsesIt) {
  ModelCache cache(kMuch);
  std::optional<LoadedModel> held = get(cache, sd1());
  const std::weak_ptr<const models::Model> model = held->model;
  EXPECT_TRUE(cache.forget(sd1()));
  EXPECT_THAT(cache.resident(), IsEmpty());
  EXPECT_FALSE(model.expired());
  EXPECT_NE(get(cache, sd1()).model, held->model);
  held.reset();
  EXPECT_TRUE(model.expired());
}

std::set<const void*> parameters_of(const LoadedModel& loaded) {
  std::set<const void*> out;
  const auto twin = adapters::twin_of(*loaded.model->unet);
  for (const auto& [name, tensor] : twin->parameters()) out.insert(tensor->const_data_ptr());
  return out;
}

TEST(Models, SharesWeightsThatALoraLeavesAsTheyAre) {
  ModelCache cache(kMuch);
  const LoadedModel plain = get(cache, golden("tiny_sd1"));
  const int64_t alone = bytes_in(cache);
  const auto own = parameters_of(plain);
  for (const char* file : {"lora/a.safetensors", "lora/b.safetensors"}) {
    const int64_t before = bytes_in(cache);
    size_t shared = 0;
    for (const void* parameter : parameters_of(get(cache, golden("tiny_sd1"), {{golden(file)}})))
      shared += own.count(parameter);
    EXPECT_GT(shared, own.size() / 2);
    EXPECT_LT(shared, own.size());
    EXPECT_GT(bytes_in(cache), before);
    EXPECT_LT(bytes_in(cache) - before, alone);
  }
  EXPECT_THAT(paths_in(cache), ElementsAre(golden("tiny_sd1")));
}

TEST(Models, DropsChangedModelsBeforeWhatTheyAreMadeOf) {
  ModelCache cache(1);
  const LoraChoice lora{golden("lora/a.safetensors")};
  std::optional<LoadedModel> changed = get(cache, golden("tiny_sd1"), {lora});
  const std::weak_ptr<const models::Model> model = changed->model;
  get(cache, sd2());
  EXPECT_THAT(paths_in(cache), UnorderedElementsAre(golden("tiny_sd1"), sd2()));
  changed.reset();
  get(cache, lcm());
  EXPECT_TRUE(model.expired());
  EXPECT_THAT(paths_in(cache), ElementsAre(lcm()));
}

TEST(Models, LoadsOnceHoweverManyAsk) {
  std::atomic<int> loads = 0;
  ModelCache cache(kMuch, [&](models::Checkpoint checkpoint, const models::LoadOptions& options) {
    ++loads;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return models::load_model(std::move(checkpoint), options);
  });
  constexpr size_t kThreads = 8;
  std::vector<std::shared_ptr<const models::Model>> got(kThreads);
  std::latch start(kThreads);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kThreads; ++i)
      threads.emplace_back([&, i] {
        start.arrive_and_wait();
        got[i] = get(cache, i % 2 ? sd1() : golden("families/../families/sd1")).model;
      });
  }
  EXPECT_EQ(loads, 1);
  for (const auto& model : got) EXPECT_EQ(model, got.front());
}

TEST(Models, LoadsOthersWhileOneIsLoaded) {
  std::latch begun(1), go_on(1);
  ModelCache cache(kMuch, [&](models::Checkpoint checkpoint, const models::LoadOptions& options) {
    if (checkpoint.path == fs::canonical(sd1())) {
      begun.count_down();
      go_on.wait();
    }
    return models::load_model(std::move(checkpoint), options);
  });
  std::jthread slow([&] { get(cache, sd1()); });
  begun.wait();
  EXPECT_NE(get(cache, sd2()).model, nullptr);
  for (const ResidentModel& resident : cache.resident()) EXPECT_EQ(resident.in_use, resident.path == sd1());
  EXPECT_TRUE(cache.forget(sd2()));
  go_on.count_down();
  slow.join();
  EXPECT_THAT(paths_in(cache), ElementsAre(sd1()));
}

TEST(Models, ForgetsAFailedLoadAndTriesAgain) {
  bool fails = true;
  ModelCache cache(kMuch, [&](models::Checkpoint checkpoint, const models::LoadOptions& options) {
    if (fails) throw Error(ErrorCode::BadFile, "unet", "is no good");
    return models::load_model(std::move(checkpoint), options);
  });
  EXPECT_EQ(error_of([&] { get(cache, sd1()); }).where(), "unet");
  EXPECT_THAT(cache.resident(), IsEmpty());
  fails = false;
  EXPECT_NE(get(cache, sd1()).model, nullptr);
  EXPECT_EQ(error_of([&] { get(cache, "/no/such/model"); }).code(), ErrorCode::NotFound);
}

GenerateRequest small_request(const fs::path& model) {
  GenerateRequest request;
  request.model = model;
  request.prompt = "fog";
  request.seed = 1;
  request.steps = 2;
  request.width = request.height = 64;
  return request;
}

TEST(Models, AreSharedByEnginesSideBySide) {
  const auto models = std::make_shared<Models>(kMuch);
  const auto expected = Engine().generate(small_request(golden("tiny_sd1")));
  std::vector<std::vector<float>> latents(3);
  {
    std::vector<std::jthread> threads;
    for (auto& place : latents)
      threads.emplace_back([&] {
        Engine engine(1, models);
        for (int i = 0; i < 2; ++i)
          place = engine.generate(small_request(golden("tiny_sd1"))).front().latents.values;
      });
  }
  for (const auto& values : latents) EXPECT_EQ(values, expected.front().latents.values);
  ASSERT_EQ(models->resident().size(), 1u);
  EXPECT_FALSE(models->resident().front().in_use);
  EXPECT_TRUE(models->unload(golden("tiny_sd1")));
  EXPECT_THAT(models->resident(), IsEmpty());
}

TEST(Models, KeepsARefinerBesideItsModel) {
  const auto models = std::make_shared<Models>();
  Engine engine(1, models);
  GenerateRequest request = small_request(golden("families/sdxl"));
  request.refiner = golden("families/sdxl_refiner");
  request.steps = 4;
  for (int i = 0; i < 2; ++i) {
    engine.generate(request);
    EXPECT_THAT(paths_in(*models), UnorderedElementsAre(request.model, request.refiner));
  }
  engine.generate(small_request(sd1()));
  EXPECT_THAT(paths_in(*models), ElementsAre(sd1()));
}

TEST(Models, RefuseWhatIsNoModel) {
  Models models;
  EXPECT_EQ(error_of([&] { models.load("/no/such/model"); }).code(), ErrorCode::NotFound);
  EXPECT_EQ(error_of([&] { models.load(golden("lora/a.safetensors")); }).code(), ErrorCode::Unsupported);
  EXPECT_THAT(models.resident(), IsEmpty());
}

}  // namespace
}  // namespace limn::engine
