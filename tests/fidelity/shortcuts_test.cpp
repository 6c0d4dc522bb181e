// SPDX-License-Identifier: Apache-2.0
// Whole runs with the options that change the picture.
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/engine/engine.h"
#include "tests/fidelity/goldens.h"

namespace limn {
namespace {

std::vector<engine::Picture> made(const std::string& model, json::object more) {
  json::object fields{{"prompt", "a red disc"},
                      {"guidance_scale", 3.0},
                      {"width", 64},
                      {"height", 64},
                      {"steps", 4},
                      {"seed", 5},
                      {"count", 2}};
  for (const auto& [key, value] : more) fields[key] = value;
  auto request = engine::request_from_json(fields);
  request.model = goldens() / model;
  static engine::Engine engine;
  return engine.generate(request);
}

const std::vector<float>& latents_of(const engine::Picture& picture) { return picture.latents.values; }

const char* const kModels[] = {"tiny_sd1", "families/sd2", "families/sdxl"};

TEST(Shortcuts, GiveTheBitsOfAnExactRunWhereTheyAreOff) {
  for (const char* model : kModels) {
    const auto exact = made(model, {}), off = made(model, {{"step_cache", 1}, {"token_merging", 0.0}});
    EXPECT_EQ(latents_of(exact[1]), latents_of(off[1])) << model;
  }
}

TEST(Shortcuts, ChangeThePictureAndGiveEachOfABatchItsOwn) {
  for (const char* model : kModels)
    for (const json::object& more :
         {json::object{{"step_cache", 2}}, json::object{{"token_merging", 0.5}},
          json::object{{"step_cache", 3}, {"scheduler", "heun"}},
          json::object{{"step_cache", 2}, {"tile", 48}, {"tile_overlap", 16}},
          json::object{{"step_cache", 2}, {"token_merging", 0.5}, {"pag_scale", 2.0}}}) {
      const std::string what = model + (" " + to_text(more));
      const auto batch = made(model, more);
      json::object exact = more, single = more;
      exact["step_cache"] = 1;
      exact["token_merging"] = 0.0;
      single["count"] = 1;
      single["seed"] = 6;
      EXPECT_NE(latents_of(batch[1]), latents_of(made(model, exact)[1])) << what;
      EXPECT_EQ(latents_of(batch[1]), latents_of(made(model, single)[0])) << what;
    }
}

TEST(Shortcuts, RefuseSelfAttentionGuidanceBesideAStepCache) {
  try {
    made("tiny_sd1", {{"step_cache", 2}, {"sag_scale", 0.75}});
    FAIL() << "was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(error.where(), "step_cache");
  }
}

TEST(Shortcuts, SayThatABranchAloneDoesNothing) {
  const auto pictures = made("tiny_sd1", {{"step_cache_branch", 1}});
  ASSERT_EQ(pictures.front().record.warnings.size(), 1u);
  EXPECT_NE(pictures.front().record.warnings[0].find("step_cache_branch"), std::string::npos);
}

}  // namespace
}  // namespace limn
