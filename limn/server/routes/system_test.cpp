// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include <gmock/gmock.h>

#include "limn/server/routes/routes_testing.h"

namespace limn::server {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

TEST(System, SaysWhatItCanDo) {
  TestServer server([](Settings& settings) { settings.most_count = 7; });
  const json::object capabilities = server.json(200, "GET", "/api/v1/capabilities");
  EXPECT_EQ(capabilities.at("limits").at("count"), 7);
  std::map<std::string, json::object> fields;
  for (const json::value& field : capabilities.at("fields").as_array())
    fields[std::string(field.at("name").as_string())] = field.as_object();
  EXPECT_EQ(fields.at("steps").at("kind"), "integer");
  EXPECT_EQ(fields.at("steps").at("most"), 1000);
  EXPECT_EQ(fields.at("steps").at("default"), nullptr) << "the model's";
  EXPECT_EQ(fields.at("strength").at("default"), 0.8);
  EXPECT_EQ(fields.at("mask_mode").at("default"), "hard");
  EXPECT_EQ(fields.at("model").at("kind"), "model");
  EXPECT_EQ(fields.at("mask").at("kind"), "picture");
  EXPECT_EQ(fields.at("mask_mode").at("choices").at(0), "hard");
  EXPECT_FALSE(fields.contains("init_latents"));
  const json::object schedulers = server.json(200, "GET", "/api/v1/schedulers");
  EXPECT_THAT(to_text(schedulers), HasSubstr(R"({"name":"dpmpp_2m","label":"DPM++ 2M"})"));
  EXPECT_EQ(schedulers.at("schedulers").as_array().size(),
            fields.at("scheduler").at("choices").as_array().size());
}

TEST(System, DescribesItself) {
  TestServer server;
  const json::object document = server.json(200, "GET", "/api/v1/openapi.json");
  EXPECT_EQ(document.at("openapi"), "3.1.0");
  for (const Route& route : all_routes()) {
    const json::value* path =
        document.at("paths").as_object().if_contains(json::string_view(route.path.data(), route.path.size()));
    ASSERT_TRUE(path) << route.path;
  }
  // Every reference leads to a schema.
  const std::string text = to_text(document);
  const json::object& schemas = document.at("components").at("schemas").as_object();
  const std::string_view start = "#/components/schemas/";
  for (size_t at = 0; (at = text.find(start, at)) != std::string::npos;) {
    at += start.size();
    const std::string name = text.substr(at, text.find('"', at) - at);
    EXPECT_TRUE(schemas.contains(name)) << name;
  }
}

TEST(System, RoutesHaveNamesOfTheirOwnAndKnownSchemas) {
  std::set<std::string_view> names, schemas{"", "Error"};
  for (const NamedSchema& schema : all_schemas())
    EXPECT_TRUE(schemas.insert(schema.name).second) << schema.name;
  for (const Route& route : all_routes()) {
    EXPECT_TRUE(names.insert(route.name).second) << route.name;
    EXPECT_FALSE(route.help.empty()) << route.name;
    EXPECT_FALSE(route.answers.empty()) << route.name;
    EXPECT_TRUE(schemas.contains(route.takes_schema)) << route.name;
    for (const Answer& answer : route.answers) EXPECT_TRUE(schemas.contains(answer.schema)) << route.name;
  }
}

TEST(System, IsAliveReadyAndMeasured) {
  TestServer server;
  EXPECT_EQ(server.get("/healthz").body, "ok\n");
  EXPECT_EQ(server.json(200, "GET", "/readyz").at("ready"), true);
  server.submit();
  server.work();
  const std::string metrics = server.get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("limn_runs_total{end=\"done\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("limn_pictures_total 1"));
  server.closing().request_stop();
  EXPECT_EQ(server.json(503, "GET", "/readyz").at("ready"), false);
  EXPECT_EQ(server.get("/healthz").status, 200);
}

TEST(System, ShowsItsNumbersToAdministratorsAndItsOwnMachine) {
  TestServer server;
  const std::string user = server.key("user", Role::Generate), admin = server.key("admin", Role::Admin);
  EXPECT_EQ(server.get("/metrics", {.peer = "192.0.2.1"}).status, 401);
  EXPECT_EQ(server.get("/metrics", {.key = user, .peer = "192.0.2.1"}).status, 403);
  EXPECT_EQ(server.get("/metrics", {.key = admin, .peer = "192.0.2.1"}).status, 200);
  EXPECT_EQ(server.get("/metrics").status, 200);
  EXPECT_EQ(server.get("/healthz", {.peer = "192.0.2.1"}).status, 200);
  EXPECT_EQ(server.get("/api/v1/capabilities").status, 401);
}

TEST(Models, AreListedLoadedAndUnloaded) {
  TestServer server;
  const auto embedded = [&] {
    return server.json(200, "GET", "/api/v1/models").at("models").at(0).as_object();
  };
  EXPECT_EQ(embedded().at("name"), "embedded");
  EXPECT_EQ(embedded().at("kind"), "checkpoint");
  EXPECT_EQ(embedded().at("licence"), "Apache-2.0");
  EXPECT_EQ(embedded().at("default_width"), 128);
  EXPECT_EQ(embedded().at("defaults"),
            (json::value{{"steps", 25}, {"guidance_scale", 4.0}, {"width", 128}, {"height", 128}}));
  EXPECT_EQ(embedded().at("resident"), false);
  EXPECT_EQ(server.json(200, "POST", "/api/v1/models/embedded/load").at("resident"), true);
  EXPECT_EQ(embedded().at("resident"), true);
  EXPECT_EQ(server.json(200, "POST", "/api/v1/models/embedded/unload").at("resident"), false);
  EXPECT_EQ(server.call("POST", "/api/v1/models/%2Fetc%2Fpasswd/load").status, 404);
  for (int i = 0; i < 600 && embedded().at("sha256").is_null(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(embedded().at("sha256").as_string().size(), 64u);
}

TEST(Models, AreFoundByNameInFoldersOnly) {
  TemporaryFolder models;
  fs::create_directories(models.path() / "small");
  fs::create_directory_symlink(data_folder() / "embedded", models.path() / "out");
  fs::copy(data_folder() / "embedded", models.path() / "small" / "Copy", fs::copy_options::recursive);
  TestServer server([&](Settings& settings) { settings.models = {models.path().string()}; });
  std::vector<std::string> names;
  const json::object all = server.json(200, "GET", "/api/v1/models");
  for (const json::value& model : all.at("models").as_array())
    names.emplace_back(model.at("name").as_string());
  EXPECT_THAT(names, testing::ElementsAre("embedded", "small/Copy")) << "a link that leads out is none";
  EXPECT_EQ(server.json(200, "POST", "/api/v1/models/small%2FCopy/load").at("resident"), true);

  const auto told = [&](const std::string& model) {
    return server
        .json(202, "POST", "/api/v1/jobs",
              R"({"request": {"prompt": "x", "width": 64, "height": 64, "steps": 1, "model": ")" + model +
                  R"("}})")
        .at("request")
        .at("model");
  };
  EXPECT_EQ(told("small/Copy"), "small/Copy");
  EXPECT_EQ(told("copy"), "small/Copy");
  server.work();
  const json::object picture = server.json(200, "GET", "/api/v1/pictures").at("pictures").at(0).as_object();
  EXPECT_EQ(picture.at("model"), "Copy");
  EXPECT_EQ(picture.at("request").at("model"), "small/Copy") << "what finds it again";
  EXPECT_THAT(to_text(picture), Not(HasSubstr(models.path().string())));

  fs::copy(models.path() / "small" / "Copy", models.path() / "New", fs::copy_options::recursive);
  EXPECT_EQ(server.json(200, "GET", "/api/v1/models").at("models").as_array().size(), 2u);
  EXPECT_EQ(server.json(200, "GET", "/api/v1/models?refresh=true").at("models").as_array().size(), 3u);
  const TestServer::Options user{.key = server.key("user", Role::Generate)};
  EXPECT_EQ(server.get("/api/v1/models?refresh=true", user).status, 403);
  EXPECT_EQ(server.call("POST", "/api/v1/models/embedded/load", {}, user).status, 403);
}

TEST(Models, AreNotHashedToTheirEndWhenTheServerEnds) {
  TemporaryFolder models;
  const fs::path lora = models.path() / "large.safetensors";
  constexpr int64_t kBytes = int64_t{64} << 30;  // that lie nowhere
  const auto tensor = [](const std::string& name, int64_t begin) {
    return "\"lora_unet_mid_block_attentions_0_proj_in.lora_" + name +
           R"(.weight":{"dtype":"F32","shape":[4,)" + std::to_string(kBytes / 32) + R"(],"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(begin + kBytes / 2) + "]}";
  };
  std::string header = "{" + tensor("down", 0) + "," + tensor("up", kBytes / 2) + "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const auto size = static_cast<uint64_t>(header.size());
  std::ofstream(lora, std::ios::binary).write(reinterpret_cast<const char*>(&size), sizeof size) << header;
  fs::resize_file(lora, sizeof size + size + kBytes);
  const auto start = std::chrono::steady_clock::now();
  {
    TestServer server([&](Settings& settings) { settings.models = {models.path().string()}; });
    ASSERT_EQ(server.json(200, "GET", "/api/v1/models").at("models").as_array().size(), 2u);
    while (server.json(200, "GET", "/api/v1/models").at("models").at(0).at("sha256").is_null())
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Tokens, AreCounted) {
  TestServer server;
  const json::object short_one = server.json(200, "POST", "/api/v1/tokens", R"({"prompt": "a red circle"})");
  EXPECT_EQ(short_one.at("tokens"), 3);
  EXPECT_EQ(short_one.at("chunks"), 1);
  EXPECT_EQ(short_one.at("limit_per_chunk"), 75);
  EXPECT_EQ(
      server.json(200, "POST", "/api/v1/tokens", R"({"prompt": "a", "model": "embedded"})").at("tokens"), 1);
  EXPECT_THAT(server.error(404, "POST", "/api/v1/tokens", R"({"prompt": "a", "model": "nobody"})"),
              HasSubstr("model"));
  EXPECT_THAT(server.error(400, "POST", "/api/v1/tokens", R"({})"), HasSubstr("prompt"));
}

}  // namespace
}  // namespace limn::server
