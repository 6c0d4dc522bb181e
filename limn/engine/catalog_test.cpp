// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/engine/engine.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/testing.h"

namespace limn::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using weights::testing::error_of;
using weights::testing::TemporaryFolder;

fs::path golden(const std::string& name) { return fs::path(LIMN_SOURCE_DIR) / "tests" / "goldens" / name; }

Catalog catalog_of_one(const fs::path& folder) { return catalog_of(std::array{folder}); }

std::vector<std::string> names_in(const Catalog& catalog) {
  std::vector<std::string> out;
  for (const CatalogEntry& entry : catalog.entries) out.push_back(entry.name);
  return out;
}

const CatalogEntry& find(const Catalog& catalog, const std::string& name) {
  for (const CatalogEntry& entry : catalog.entries)
    if (entry.name == name) return entry;
  throw std::out_of_range(name);
}

/// A folder's files themselves, where the goldens hold links.
void copy_model(const std::string& name, const fs::path& to) {
  fs::create_directories(to.parent_path());
  fs::copy(golden(name), to, fs::copy_options::recursive);
}

TEST(Catalog, BeginsWithTheEmbeddedModel) {
  const Catalog catalog = catalog_of({});
  ASSERT_EQ(catalog.entries.size(), 1u);
  const CatalogEntry& embedded = catalog.entries.front();
  EXPECT_EQ(embedded.name, "embedded");
  EXPECT_TRUE(embedded.path.empty());
  EXPECT_EQ(embedded.kind, "checkpoint");
  EXPECT_EQ(embedded.licence, "Apache-2.0");
  EXPECT_EQ(embedded.default_size, 128);
  EXPECT_GT(embedded.bytes, 10'000'000);
  EXPECT_EQ(embedded.why_not, "");
  EXPECT_EQ(hash_of(embedded).size(), 64u);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(error_of([&] { hash_of(embedded, stop.get_token()); }).code(), ErrorCode::Cancelled);
}

TEST(Catalog, SaysWhatModelsDecideInRequests) {
  const TemporaryFolder folder;
  copy_model("tiny_sd1", folder.path() / "tiny");
  folder.write("tiny/limn.json", R"({"steps": 7, "guidance_scale": 2.5})");
  copy_model("tiny_sd1", folder.path() / "usual");
  const Catalog catalog = catalog_of_one(folder.path());
  EXPECT_EQ(find(catalog, "tiny").default_steps, 7);
  EXPECT_EQ(find(catalog, "tiny").default_guidance_scale, 2.5);
  EXPECT_EQ(find(catalog, "usual").default_steps, 50);
  EXPECT_EQ(find(catalog, "usual").default_guidance_scale, 7.5);
}

TEST(Catalog, NamesWhatItFindsByFolderAndSaysWhatItIs) {
  const TemporaryFolder folder;
  copy_model("tiny_sd1", folder.path() / "checkpoints" / "tiny");
  copy_model("families/sd1", folder.path() / "also" / "small");
  fs::create_directories(folder.path() / "loras");
  fs::copy(golden("lora/a_kohya.safetensors"), folder.path() / "loras" / "a.safetensors");
  copy_model("tiny_sd1/vae", folder.path() / "vae");
  folder.write("notes.txt", "no model");
  folder.write("picture.png", "no model");
  const Catalog catalog = catalog_of_one(folder.path());
  EXPECT_THAT(names_in(catalog),
              ElementsAre("embedded", "also/small", "checkpoints/tiny", "loras/a.safetensors", "vae"));
  EXPECT_THAT(catalog.problems, IsEmpty());
  const CatalogEntry &tiny = find(catalog, "checkpoints/tiny"), &lora = find(catalog, "loras/a.safetensors");
  EXPECT_EQ(tiny.kind, "checkpoint");
  EXPECT_EQ(tiny.family, "sd1");
  EXPECT_EQ(tiny.title, "Stable Diffusion 1.x");
  EXPECT_EQ(tiny.default_size, 64);
  EXPECT_GT(tiny.bytes, 4'000'000);
  EXPECT_EQ(tiny.licence, std::nullopt);
  EXPECT_EQ(lora.kind, "lora");
  EXPECT_EQ(lora.bytes, static_cast<int64_t>(fs::file_size(lora.path)));
  EXPECT_EQ(lora.default_size, 0);
  EXPECT_EQ(lora.why_not, "");
  EXPECT_EQ(find(catalog, "vae").kind, "vae");
}

TEST(Catalog, TellsBrokenFilesAndPassesOverHiddenOnes) {
  const TemporaryFolder folder;
  folder.write("broken.safetensors", "junk");
  folder.write("empty.ckpt", "");
  folder.write(".hidden.safetensors", "junk");
  folder.write(".cache/junk.safetensors", "junk");
  folder.write("half/model_index.json", "{\"unet\": [\"diffusers\", \"UNet2DConditionModel\"]}");
  folder.write("\xff.safetensors", "junk");
  weights::TensorEntry tensor;
  const std::vector<float> values{1, 2};
  tensor.shape = {2};
  tensor.bytes = std::as_bytes(std::span(values));
  weights::write_safetensors(folder.path() / "other.safetensors", {{"nobody.knows.this", tensor}});
  const Catalog catalog = catalog_of_one(folder.path());
  EXPECT_THAT(names_in(catalog), ElementsAre("embedded"));
  std::vector<std::string> problems;
  for (const CatalogProblem& problem : catalog.problems) {
    problems.push_back(problem.name);
    EXPECT_FALSE(problem.problem.empty()) << problem.name;
  }
  EXPECT_THAT(problems, ElementsAre("broken.safetensors", "empty.ckpt", "half", "other.safetensors", "?"));
}

TEST(Catalog, FollowsNoLinksThatLeadOut) {
  const TemporaryFolder folder, outside;
  copy_model("tiny_sd1", outside.path() / "tiny");
  fs::copy(golden("lora/a_kohya.safetensors"), outside.path() / "a.safetensors");
  fs::copy(golden("lora/a_kohya.safetensors"), folder.path() / "blob");
  fs::create_symlink(outside.path() / "a.safetensors", folder.path() / "a.safetensors");
  fs::create_symlink(outside.path() / "tiny", folder.path() / "tiny");
  fs::create_symlink(folder.path(), folder.path() / "itself");
  fs::create_symlink("blob", folder.path() / "inside.safetensors");
  fs::create_symlink("nowhere", folder.path() / "nowhere.safetensors");
  copy_model("tiny_sd1", folder.path() / "patched");
  fs::remove(folder.path() / "patched" / "vae" / "config.json");
  fs::create_symlink(outside.path() / "tiny" / "vae" / "config.json",
                     folder.path() / "patched" / "vae" / "config.json");
  const Catalog catalog = catalog_of_one(folder.path());
  EXPECT_THAT(names_in(catalog), ElementsAre("embedded", "inside.safetensors"));
  std::vector<std::string> problems;
  for (const CatalogProblem& problem : catalog.problems) {
    problems.push_back(problem.name);
    EXPECT_THAT(problem.problem, HasSubstr("leads out"));
  }
  EXPECT_THAT(problems, ElementsAre("a.safetensors", "nowhere.safetensors", "patched", "tiny"));
}

TEST(Catalog, LooksFourFoldersDeep) {
  const TemporaryFolder folder;
  for (const char* place : {"1/2/3/4", "1/2/3/4/5"}) {
    fs::create_directories(folder.path() / place);
    fs::copy(golden("lora/a_kohya.safetensors"), folder.path() / place / "a.safetensors");
  }
  EXPECT_THAT(names_in(catalog_of_one(folder.path())), ElementsAre("embedded", "1/2/3/4/a.safetensors"));
}

TEST(Catalog, GivesEachItsOwnName) {
  const TemporaryFolder first, second;
  for (const TemporaryFolder* folder : {&first, &second})
    fs::copy(golden("lora/a_kohya.safetensors"), folder->path() / "a.safetensors");
  copy_model("families/sd1", second.path() / "embedded");
  const Catalog catalog = catalog_of(std::array{first.path(), second.path(), golden("tiny_sd1")});
  EXPECT_THAT(names_in(catalog),
              ElementsAre("embedded", "a.safetensors", "a.safetensors (2)", "embedded (2)", "tiny_sd1"));
  EXPECT_EQ(find(catalog, "a.safetensors (2)").path, fs::canonical(second.path()) / "a.safetensors");
  EXPECT_EQ(error_of([&] { catalog_of_one(first.path() / "none"); }).code(), ErrorCode::NotFound);
}

TEST(Catalog, KnowsLicencesFromMetadataAndCards) {
  const TemporaryFolder folder;
  weights::Index index = weights::open_tensor_file(golden("lora/a_kohya.safetensors"));
  const auto write = [&](const std::string& name, const std::map<std::string, std::string>& metadata) {
    weights::write_safetensors(folder.path() / name, index.tensors, metadata);
  };
  write("a.safetensors", {{"modelspec.license", "CC-BY-4.0"}});
  write("b.safetensors", {});
  folder.write("b.md", "---\nlibrary_name: limn\nlicense: \"mit\"\r\n---\nlicense: apache-2.0\n");
  write("c.safetensors", {});
  folder.write("c.md", "license: mit\n---\n");
  copy_model("families/sd1", folder.path() / "d");
  folder.write("d/README.md", "---\nlicense: other\nlicense_name: somebodys-own\n---\n");
  const Catalog catalog = catalog_of_one(folder.path());
  EXPECT_EQ(find(catalog, "a.safetensors").licence, "CC-BY-4.0");
  EXPECT_EQ(find(catalog, "b.safetensors").licence, "mit");
  EXPECT_EQ(find(catalog, "c.safetensors").licence, std::nullopt);
  EXPECT_EQ(find(catalog, "d").licence, "somebodys-own");
}

TEST(Catalog, HashesAsRecordsDo) {
  GenerateRequest request;
  request.prompt = "fog";
  request.model = golden("tiny_sd1");
  request.steps = 1;
  request.width = request.height = 64;
  const auto picture = Engine().generate(request).front();
  const Catalog catalog = catalog_of_one(golden("tiny_sd1"));
  EXPECT_EQ(hash_of(catalog.entries.back()), picture.record.model_hash);
  const fs::path lora = golden("lora/a.safetensors");
  EXPECT_EQ(hash_of({.path = lora}), sha256_of_file(lora));
}

TEST(PromptLength, CountsAsTheTokenizerDoes) {
  for (const fs::path& model : {fs::path(), golden("tiny_sd1"), golden("families/sdxl_refiner")}) {
    EXPECT_EQ(prompt_length("", model).tokens, 0);
    EXPECT_EQ(prompt_length("", model).chunks, 1);
    EXPECT_EQ(prompt_length("", model).limit, 75);
  }
  EXPECT_EQ(prompt_length("a lighthouse in fog", {}).tokens, 4);
  std::string words;
  for (int i = 0; i < 75; ++i) words += "fog ";
  EXPECT_EQ(prompt_length(words, {}).chunks, 1);
  EXPECT_EQ(prompt_length(words + "fog", {}).tokens, 76);
  EXPECT_EQ(prompt_length(words + "fog", {}).chunks, 2);
  EXPECT_EQ(error_of([] { prompt_length("fog", "/no/such/model"); }).code(), ErrorCode::NotFound);
}

}  // namespace
}  // namespace limn::engine
