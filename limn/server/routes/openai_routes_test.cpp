// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <future>
#include <thread>

#include <gmock/gmock.h>

#include "limn/server/multipart.h"
#include "limn/server/routes/routes_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string text(const json::value& value) { return std::string(value.as_string()); }

/// A form of these fields; files are those that have a name.
std::string form_of(const std::vector<Part>& parts) {
  std::string out;
  for (const Part& part : parts) {
    out += "--edge\r\nContent-Disposition: form-data; name=\"" + part.name + "\"";
    if (!part.filename.empty()) out += "; filename=\"" + part.filename + "\"\r\nContent-Type: image/png";
    out += "\r\n\r\n" + part.body + "\r\n";
  }
  return out + "--edge--\r\n";
}
const CallOptions kForm{.type = "multipart/form-data; boundary=edge"};

class OpenAi : public testing::Test {
 protected:
  void start_worker() {
    worker_ = std::jthread([this](const std::stop_token& stop) {
      Worker(server_.services(), server_.models(), "worker").run(stop);
    });
  }
  static Image picture_of(const json::value& item) {
    return decoded(decode_base64(text(item.at("b64_json")), "data"));
  }
  /// What a call streams. @param enough  the client goes then
  std::string stream(const std::string& body, std::function<bool(const std::string&)> enough = {}) {
    HttpRequest request{
        .method = "POST", .target = "/v1/images/generations", .path = "/v1/images/generations"};
    request.headers = {{"host", "127.0.0.1"}, {"content-type", "application/json"}};
    request.body = body;
    request.peer = "127.0.0.1";
    const HttpResponse response = server_.services().router->handle(request);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.content_type, "text/event-stream");
    Collector collector(std::move(enough));
    if (response.stream) response.stream(collector);
    return collector.all;
  }
  Job last_job() {
    const std::vector<Job> jobs = server_.services().jobs.list({.owner = "", .states = {}});
    return jobs.empty() ? Job{} : jobs.front();
  }

  TestServer server_;
  std::jthread worker_;
};

constexpr const char* kSmall =
    R"({"prompt": "a red circle", "size": "64x64", "steps": 2, "seed": 7, "n": 2, "quality": "high"})";

TEST_F(OpenAi, AnswersWithThePicturesThatTheQueueMade) {
  start_worker();
  const json::object answer = server_.json(200, "POST", "/v1/images/generations", kSmall);
  ASSERT_EQ(answer.at("data").as_array().size(), 2u);
  EXPECT_EQ(picture_of(answer.at("data").at(0)).width, 64);
  EXPECT_EQ(answer.at("size"), "64x64");
  EXPECT_EQ(answer.at("background"), "opaque");
  EXPECT_GT(answer.at("usage").at("input_tokens").as_int64(), 0);
  EXPECT_EQ(answer.at("usage").at("output_tokens"), 0);
  EXPECT_THAT(to_text(answer.at("warnings")), HasSubstr("quality:"));
  EXPECT_EQ(last_job().origin.at("api"), "openai");
  EXPECT_THAT(last_job().warnings, testing::Contains(HasSubstr("quality:")));
}

TEST_F(OpenAi, AnswersWithAddressesOfThisServer) {
  start_worker();
  const json::object answer = server_.json(
      200, "POST", "/v1/images/generations",
      R"({"prompt": "fog", "size": "64x64", "steps": 1, "response_format": "url", "output_format": "webp"})");
  const std::string url = text(answer.at("data").at(0).at("url"));
  ASSERT_TRUE(url.starts_with("http://127.0.0.1/api/v1/pictures/")) << url;
  const HttpResponse file = server_.get(url.substr(std::string("http://127.0.0.1").size()));
  EXPECT_EQ(file.status, 200);
  EXPECT_EQ(file.content_type, "image/webp");
}

TEST_F(OpenAi, EditsByAForm) {
  start_worker();
  Image mask{64, 64, 4, std::vector<uint8_t>(64 * 64 * 4, 255)};
  for (int i = 0; i < 64 * 32; ++i) mask.pixels[i * 4 + 3] = 0;  // the upper half
  const std::string picture = test_picture(64, 64);
  const std::string form = form_of({{"prompt", "", "", "fog"},
                                    {"steps", "", "", "3"},
                                    {"image", "a.png", "", picture},
                                    {"mask", "m.png", "", encode_image(mask, "png", {})}});
  const json::object answer = server_.json(200, "POST", "/v1/images/edits", form, kForm);
  const Image before = decoded(picture), after = picture_of(answer.at("data").at(0));
  const auto lower = before.pixels.size() / 2;
  EXPECT_TRUE(std::equal(before.pixels.begin() + lower, before.pixels.end(), after.pixels.begin() + lower));
  EXPECT_NE(before.pixels, after.pixels);
}

TEST_F(OpenAi, WaitsForATurnAtPictures) {
  start_worker();
  auto turns = std::make_unique<std::array<PictureTurn, kPictureTurns>>();
  const std::string form = form_of({{"image", "a.png", "", test_picture(64, 64)}, {"steps", "", "", "2"}});
  auto varied = std::async(std::launch::async,
                           [&] { server_.json(200, "POST", "/v1/images/variations", form, kForm); });
  EXPECT_EQ(varied.wait_for(300ms), std::future_status::timeout);
  EXPECT_EQ(last_job().id, "");
  turns.reset();
  varied.get();
}

TEST_F(OpenAi, RefusesPicturesThatItDoesNotRead) {
  const json::object answer =
      server_.json(415, "POST", "/v1/images/variations", form_of({{"image", "a.gif", "", "GIF89a…"}}), kForm);
  EXPECT_EQ(answer.at("error").at("param"), "image");
  EXPECT_THAT(text(answer.at("error").at("message")), HasSubstr("PNG, JPEG or WebP"));
}

TEST_F(OpenAi, VariesAPicture) {
  start_worker();
  const std::string form = form_of({{"image", "a.png", "", test_picture(64, 64)}, {"steps", "", "", "4"}});
  EXPECT_EQ(server_.json(200, "POST", "/v1/images/variations", form, kForm).at("data").as_array().size(), 1u);
}

TEST_F(OpenAi, HasErrorsInItsOwnForm) {
  const auto error = [&](int status, const std::string& body) {
    return server_.json(status, "POST", "/v1/images/generations", body).at("error").as_object();
  };
  const json::object size = error(400, R"({"prompt": "fog", "size": "large"})");
  EXPECT_EQ(size.at("param"), "size");
  EXPECT_EQ(size.at("type"), "invalid_request_error");
  EXPECT_EQ(error(404, R"({"prompt": "fog", "model": "gone"})").at("code"), "model_not_found");
  EXPECT_EQ(error(400, R"({"prompt": "fog", "n": 11})").at("param"), "n");
  EXPECT_EQ(error(400, "{}").at("param"), "prompt");
  EXPECT_EQ(error(400, R"({"prompt": "fog", "steps": 0})").at("param"), "steps");
  const json::object form =
      server_.json(400, "POST", "/v1/images/edits", form_of({{"prompt", "", "", "fog"}}), kForm)
          .at("error")
          .as_object();
  EXPECT_EQ(form.at("param"), "image");
  server_.key("anna", Role::Generate);
  EXPECT_EQ(error(401, kSmall).at("type"), "authentication_error");
}

TEST_F(OpenAi, TellsOfAJobThatFailedAtItsOwnName) {
  start_worker();
  const json::object answer = server_.json(
      400, "POST", "/v1/images/generations",
      R"({"prompt": "fog", "size": "64x64", "steps": 2, "scheduler": "euler", "schedule": "sideways"})");
  EXPECT_EQ(answer.at("error").at("param"), "schedule");
}

TEST_F(OpenAi, ListsModels) {
  const json::object list = server_.json(200, "GET", "/v1/models");
  EXPECT_EQ(list.at("data").at(0).at("id"), "embedded");
  EXPECT_EQ(server_.json(200, "GET", "/v1/models/embedded").at("owned_by"), "limn");
  EXPECT_EQ(server_.json(404, "GET", "/v1/models/gone").at("error").at("code"), "model_not_found");
}

TEST_F(OpenAi, StreamsPartialPicturesThenThePictures) {
  start_worker();
  const std::string all = stream(
      R"({"prompt": "fog", "size": "64x64", "steps": 40, "n": 2, "stream": true, "partial_images": 1, "output_format": "webp"})");
  std::vector<json::object> events;
  for (size_t at = 0; (at = all.find("\ndata: ", at)) != std::string::npos;) {
    at += std::string_view("\ndata: ").size();
    events.push_back(parse_json(all.substr(at, all.find('\n', at) - at), "event").as_object());
  }
  ASSERT_GE(events.size(), 3u) << all.substr(0, 1000);
  EXPECT_EQ(events[0].at("type"), "image_generation.partial_image");
  EXPECT_EQ(events[0].at("partial_image_index"), 0);
  for (size_t i : {events.size() - 2, events.size() - 1}) {
    EXPECT_EQ(events[i].at("type"), "image_generation.completed");
    EXPECT_EQ(events[i].at("output_format"), "webp");
    EXPECT_EQ(picture_of(events[i]).width, 64);
    EXPECT_GT(events[i].at("usage").at("input_tokens").as_int64(), 0);
  }
}

TEST_F(OpenAi, GivesAStreamedJobUpWhenItsClientGoes) {
  start_worker();
  stream(R"({"prompt": "fog", "size": "64x64", "steps": 300, "stream": true, "partial_images": 3})",
         [](const std::string& all) { return all.find("partial_image") != std::string::npos; });
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (!has_ended(last_job().state) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(5ms);
  EXPECT_EQ(last_job().state, JobState::Cancelled);
}

TEST_F(OpenAi, EndsAStreamWithWhatWentWrong) {
  start_worker();
  const std::string all = stream(
      R"({"prompt": "fog", "size": "64x64", "steps": 2, "scheduler": "euler", "schedule": "sideways", "stream": true})");
  EXPECT_THAT(all, HasSubstr("event: error\ndata: {\"error\":{"));
  EXPECT_THAT(all, HasSubstr("\"param\":\"schedule\""));
}

}  // namespace
}  // namespace limn::server
