// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "limn/server/routes/routes_testing.h"

namespace limn::server {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::StartsWith;

const TestServer::Options kPng{.type = "image/png"}, kJpeg{.type = "image/jpeg"};

std::vector<std::string> texts(const json::value& list) {
  std::vector<std::string> out;
  for (const json::value& item : list.as_array()) out.emplace_back(item.as_string());
  return out;
}

TEST(Inputs, AreKeptAsPngWithoutTexts) {
  TestServer server;
  const std::string sent = test_picture(40, 30, "png", {{"secret", "my address"}});
  const json::object input = server.json(201, "POST", "/api/v1/inputs", sent, kPng);
  EXPECT_EQ(input.at("width"), 40);
  EXPECT_EQ(input.at("height"), 30);
  const std::string id(input.at("id").as_string());
  EXPECT_THAT(id, StartsWith("input:"));
  const HttpResponse kept = server.get("/api/v1/inputs/" + id);
  EXPECT_EQ(kept.content_type, "image/png");
  EXPECT_EQ(decoded(kept.body).pixels, decoded(sent).pixels);
  EXPECT_TRUE(image_texts(std::as_bytes(std::span(kept.body)), "kept").empty());
  EXPECT_EQ(server.json(201, "POST", "/api/v1/inputs", sent, kPng).at("id"), json::string(id))
      << "twice is once";
  EXPECT_EQ(server.json(201, "POST", "/api/v1/inputs", test_picture(9, 9, "jpeg"), kJpeg).at("width"), 9);
}

TEST(Inputs, AreKeptForAsLongAsTheBin) {
  TestServer server;
  const std::string id(
      server.json(201, "POST", "/api/v1/inputs", test_picture(40, 30), kPng).at("id").as_string());
  using namespace std::chrono_literals;
  const Time now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  EXPECT_THAT(server.services().pictures.purge(now - 1min, 0ms), testing::IsEmpty());
  EXPECT_THAT(server.services().pictures.purge(now + 1min, 0ms),
              testing::ElementsAre(id.substr(std::string("input:").size())));
}

/// A PNG that says it is as large as this, and has no pixels.
std::string hollow(uint32_t width, uint32_t height) {
  std::string out = test_picture(1, 1);
  for (int i = 0; i < 4; ++i) {
    out[static_cast<size_t>(16 + i)] = static_cast<char>(width >> (24 - 8 * i));
    out[static_cast<size_t>(20 + i)] = static_cast<char>(height >> (24 - 8 * i));
  }
  return out;
}

TEST(Inputs, AreRefusedWhenTheyAreNoPictures) {
  TestServer server;
  for (const char* address : {"/api/v1/inputs", "/api/v1/inputs/read"}) {
    EXPECT_EQ(server.call("POST", address, "not a picture", kPng).status, 422);
    EXPECT_EQ(server.call("POST", address, test_picture(40, 30).substr(0, 60), kPng).status, 422);
    EXPECT_EQ(server.call("POST", address, hollow(60'000, 60'000), kPng).status, 422);
    EXPECT_EQ(server.call("POST", address, test_picture(17'000, 1), kPng).status, 422);
    EXPECT_EQ(server.call("POST", address, test_picture(4, 4), {.type = "text/html"}).status, 415);
    const json::object gif =
        server.json(415, "POST", address, "GIF89a…", {.type = "image/gif"}).at("error").as_object();
    EXPECT_EQ(gif.at("message"), "a GIF picture");
    EXPECT_THAT(std::string(gif.at("hint").as_string()), HasSubstr("PNG, JPEG or WebP"));
  }
  EXPECT_EQ(server.get("/api/v1/inputs/input:" + std::string(64, '0')).status, 404);
  EXPECT_EQ(server.get("/api/v1/inputs/..%2f..%2fkeys").status, 400);
  const std::string blob = server.services().blobs.put("no picture");
  EXPECT_EQ(server.get("/api/v1/inputs/input:" + blob).status, 404);
}

TEST(Inputs, TellHowTheyWereMade) {
  TestServer server;
  const std::string id = server.submit(R"("seed": "18446744073709551614", "guidance_scale": 3)");
  server.work();
  const std::string file = server.get("/api/v1/pictures/" + server.job(id).pictures.at(0) + "/file").body;
  json::object read;
  for (int i = 0; i < 600; ++i) {  // until its model is hashed
    read = server.json(200, "POST", "/api/v1/inputs/read", file, kPng);
    if (read.at("problems").as_array().empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_EQ(read.at("program"), "limn");
  EXPECT_EQ(read.at("width"), 64);
  EXPECT_THAT(std::string(read.at("infotext").as_string()), HasSubstr("Steps: 2"));
  EXPECT_THAT(texts(read.at("problems")), testing::IsEmpty());
  EXPECT_THAT(texts(read.at("honoured")), Contains("steps: 2"));
  const json::object& request = read.at("request").as_object();
  EXPECT_EQ(request.at("seed"), "18446744073709551614");
  EXPECT_FALSE(request.contains("model")) << "the embedded model needs no name";

  const json::object again =
      server.json(202, "POST", "/api/v1/jobs", to_text(json::object{{"request", request}}));
  server.work();
  const std::string made = server.job(std::string(again.at("id").as_string())).pictures.at(0);
  EXPECT_EQ(decoded(server.get("/api/v1/pictures/" + made + "/file").body).pixels, decoded(file).pixels);
}

TEST(Inputs, TellWhatOfOthersCannotBeDone) {
  TestServer server;
  const std::string parameters =
      "a cat <lora:ink:0.8>\nNegative prompt: blur\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 12, "
      "Size: 512x768, "
      "Model hash: 0123456789, Model: dream, Version: v1.10.1";
  const json::object read = server.json(200, "POST", "/api/v1/inputs/read",
                                        test_picture(8, 8, "png", {{"parameters", parameters}}), kPng);
  EXPECT_EQ(read.at("program"), "a1111");
  EXPECT_EQ(read.at("request").at("compat"), "a1111");
  EXPECT_EQ(read.at("request").at("scheduler"), "Euler a");
  EXPECT_EQ(read.at("request").at("steps"), 20);
  EXPECT_THAT(texts(read.at("problems")), Contains(HasSubstr("model: 'dream' (0123456789) is not here")));
  EXPECT_THAT(texts(read.at("problems")), Contains(HasSubstr("lora: 'ink' is not here")));

  const json::object nothing = server.json(200, "POST", "/api/v1/inputs/read", test_picture(8, 8), kPng);
  EXPECT_EQ(nothing.at("program"), "");
  EXPECT_TRUE(nothing.at("request").as_object().empty());
  EXPECT_THAT(std::string(nothing.at("input").as_string()), StartsWith("input:"));
}

}  // namespace
}  // namespace limn::server
