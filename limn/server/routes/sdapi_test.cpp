// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <future>
#include <thread>

#include <gmock/gmock.h>

#include "limn/provenance/record.h"
#include "limn/server/routes/routes_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kSmall =
    R"({"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 7})";
constexpr const char* kLong = R"({"prompt": "a red circle", "width": 64, "height": 64, "steps": 1000})";

std::string text(const json::value& value) { return std::string(value.as_string()); }

/// A server with a worker, which runs what synchronous calls wait for.
class Sdapi : public testing::Test {
 protected:
  explicit Sdapi(const std::function<void(Settings&)>& adjust = {}) : server_(adjust) {}

  void start_worker() {
    worker_ = std::jthread([this](const std::stop_token& stop) {
      Worker(server_.services(), server_.models(), "worker").run(stop);
    });
  }
  json::object post(int status, const std::string& path, const std::string& body,
                    const CallOptions& options = {}) {
    return server_.json(status, "POST", path, body, options);
  }
  /// The picture that an answer holds.
  static Image first_picture(const json::object& answer) {
    return decoded(decode_base64(text(answer.at("images").at(0)), "images"));
  }
  static json::object info_of(const json::object& answer) {
    return parse_json(text(answer.at("info")), "info").as_object();
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
  std::vector<Job> jobs() { return server_.services().jobs.list({.owner = "", .states = {}}); }

  TestServer server_;
  std::jthread worker_;
};

TEST_F(Sdapi, AnswersWithThePicturesThatTheQueueMade) {
  start_worker();
  const json::object answer = post(200, "/sdapi/v1/txt2img", kSmall);
  EXPECT_EQ(first_picture(answer).width, 64);
  const json::object info = info_of(answer);
  EXPECT_EQ(info.at("seed"), 7);
  EXPECT_EQ(info.at("sampler_name"), "Euler");
  EXPECT_EQ(answer.at("parameters").at("steps"), 2);
  EXPECT_EQ(answer.at("parameters").at("sampler_index"), "Euler");
  ASSERT_EQ(jobs().size(), 1u);
  EXPECT_EQ(jobs()[0].state, JobState::Done);
  EXPECT_EQ(jobs()[0].request.at("compat"), "a1111");
  const json::object without =
      post(200, "/sdapi/v1/txt2img",
           R"({"prompt": "fog", "width": 64, "height": 64, "steps": 1, "send_images": false})");
  EXPECT_EQ(without.at("images"), json::array());
}

TEST_F(Sdapi, TellsWhatIsLeftOutInTheAnswerAndInTheJob) {
  start_worker();
  const json::object info = info_of(
      post(200, "/sdapi/v1/txt2img",
           R"({"prompt": "<lora:gone:1>", "width": 64, "height": 64, "steps": 1, "restore_faces": true})"));
  const std::string warnings = to_text(info.at("extra_generation_params").at("warnings"));
  EXPECT_THAT(warnings, HasSubstr("<lora:gone>"));
  EXPECT_THAT(warnings, HasSubstr("restore_faces"));
  EXPECT_THAT(jobs()[0].warnings, testing::Contains(HasSubstr("restore_faces")));
}

TEST_F(Sdapi, RepaintsAPartAlone) {
  start_worker();
  Image mask{64, 64, 1, std::vector<uint8_t>(64 * 64)};
  for (int y = 32; y < 64; ++y)
    for (int x = 32; x < 64; ++x) mask.pixels[y * 64 + x] = 255;
  const std::string picture = test_picture(64, 64);
  const json::object answer = post(
      200, "/sdapi/v1/img2img",
      R"({"prompt": "fog", "width": 64, "height": 64, "steps": 3, "denoising_strength": 1, "inpaint_full_res": false,
          "mask_blur": 0, "init_images": [")" +
          encode_base64(picture) + R"("], "mask": ")" + encode_base64(encode_image(mask, "png", {})) + "\"}");
  const Image before = decoded(picture), after = first_picture(answer);
  size_t changed = 0;
  for (size_t i = 0; i < before.pixels.size(); ++i)
    changed += mask.pixels[i / 3] == 0 && before.pixels[i] != after.pixels[i];
  EXPECT_EQ(changed, 0u) << "outside the mask";
  EXPECT_NE(before.pixels, after.pixels);
}

TEST_F(Sdapi, WaitsForATurnAtPictures) {
  auto turns = std::make_unique<std::array<PictureTurn, kPictureTurns>>();
  const auto post_later = [&](const std::string& path, const std::string& fields) {
    return std::async(std::launch::async, [this, path, fields] {
      post(200, path, R"({"prompt": "fog", "width": 64, "height": 64, "steps": 2, )" + fields + "}");
    });
  };
  const std::string picture = '"' + encode_base64(test_picture(64, 64)) + '"';
  auto drawn = post_later("/sdapi/v1/img2img", R"("init_images": [)" + picture + "]");
  auto enlarged = post_later("/sdapi/v1/extra-single-image", R"("image": )" + picture);
  EXPECT_EQ(enlarged.wait_for(300ms), std::future_status::timeout);
  EXPECT_TRUE(jobs().empty());
  auto words = post_later("/sdapi/v1/txt2img", R"("seed": 1)");
  EXPECT_TRUE(wait_until([&] { return jobs().size() == 1; })) << "without pictures none is waited for";
  turns.reset();
  enlarged.get();
  start_worker();
  drawn.get();
  words.get();
}

TEST_F(Sdapi, RefusesPicturesThatItDoesNotRead) {
  const std::string gif = '"' + encode_base64("GIF89a…") + '"';
  for (const auto& [path, fields] :
       {std::pair("/sdapi/v1/img2img", R"("prompt": "fog", "init_images": [)" + gif + "]"),
        std::pair("/sdapi/v1/extra-single-image", R"("image": )" + gif),
        std::pair("/sdapi/v1/png-info", R"("image": )" + gif)})
    EXPECT_THAT(text(post(415, path, "{" + fields + "}").at("detail")), HasSubstr("PNG, JPEG or WebP"))
        << path;
}

TEST_F(Sdapi, GivesAJobUpWhenItsClientGoes) {
  start_worker();
  std::stop_source gone;
  HttpRequest request{.method = "POST", .target = "/sdapi/v1/txt2img", .path = "/sdapi/v1/txt2img"};
  request.headers = {{"host", "127.0.0.1"}, {"content-type", "application/json"}};
  request.body = kLong;
  request.peer = "127.0.0.1";
  request.gone = gone.get_token();
  auto answer = std::async(std::launch::async, [&] { return server_.services().router->handle(request); });
  ASSERT_TRUE(wait_until([&] { return !jobs().empty() && jobs()[0].progress.stage == "denoise"; }));
  gone.request_stop();
  answer.get();
  EXPECT_TRUE(wait_until([&] { return jobs()[0].state == JobState::Cancelled; }));
}

TEST_F(Sdapi, InterruptsWhatTheClientHasInWork) {
  start_worker();
  const std::string native = server_.submit();  // is none of this API's, and is left alone
  auto call = std::async(std::launch::async, [&] { return post(200, "/sdapi/v1/txt2img", kLong); });
  ASSERT_TRUE(wait_until([&] {
    return server_.json(200, "GET", "/sdapi/v1/progress").at("state").at("sampling_step").as_int64() > 0;
  }));
  const json::object busy = server_.json(200, "GET", "/sdapi/v1/progress?skip_current_image=true");
  EXPECT_GT(busy.at("progress").as_double(), 0.01);
  EXPECT_EQ(busy.at("state").at("sampling_steps"), 1000);
  EXPECT_TRUE(busy.at("current_image").is_null());
  EXPECT_EQ(server_.call("POST", "/sdapi/v1/interrupt").body, "{}");
  const json::object answer = call.get();
  EXPECT_EQ(answer.at("images"), json::array());
  EXPECT_EQ(info_of(answer).at("all_seeds"), json::array());
  EXPECT_EQ(server_.json(200, "GET", "/sdapi/v1/progress").at("progress"), 0.0);
  EXPECT_EQ(server_.job(native).state, JobState::Done);
}

TEST_F(Sdapi, InterruptsAJobThatWaits) {
  auto call = std::async(std::launch::async, [&] { return post(200, "/sdapi/v1/txt2img", kSmall); });
  ASSERT_TRUE(wait_until([&] {
    return server_.json(200, "GET", "/sdapi/v1/progress").at("state").at("job_count") == json::value(1);
  }));
  EXPECT_EQ(server_.call("POST", "/sdapi/v1/skip").body, "null");
  EXPECT_EQ(call.get().at("images"), json::array());
  EXPECT_EQ(server_.call("POST", "/sdapi/v1/skip").body, "null");  // of nothing
}

TEST_F(Sdapi, SaysThatTheServerCloses) {
  auto call =
      std::async(std::launch::async, [&] { return server_.call("POST", "/sdapi/v1/txt2img", kSmall); });
  ASSERT_TRUE(wait_until([&] { return jobs().size() == 1; }));
  server_.closing().request_stop();
  const HttpResponse answer = call.get();
  EXPECT_EQ(answer.status, 429);
  EXPECT_THAT(answer.body, HasSubstr("the server closes"));
  EXPECT_EQ(jobs()[0].state, JobState::Queued);
}

TEST_F(Sdapi, KeepsOptionsForEachClient) {
  const CallOptions anna{.key = server_.key("anna", Role::Generate)},
      ben{.key = server_.key("ben", Role::Generate)};
  json::object options = server_.json(200, "GET", "/sdapi/v1/options", {}, anna);
  EXPECT_THAT(text(options.at("sd_model_checkpoint")), HasSubstr("embedded"));
  EXPECT_EQ(options.at("CLIP_stop_at_last_layers"), 1);
  options["CLIP_stop_at_last_layers"] = 2;
  options["unheard_of"] = json::array{1};
  EXPECT_EQ(server_.call("POST", "/sdapi/v1/options", to_text(options), anna).body, "null");
  EXPECT_EQ(server_.json(200, "GET", "/sdapi/v1/options", {}, anna).at("CLIP_stop_at_last_layers"), 2);
  EXPECT_FALSE(server_.json(200, "GET", "/sdapi/v1/options", {}, anna).contains("unheard_of"));
  EXPECT_EQ(server_.json(200, "GET", "/sdapi/v1/options", {}, ben).at("CLIP_stop_at_last_layers"), 1);
  start_worker();
  const json::object info = info_of(post(200, "/sdapi/v1/txt2img", kSmall, anna));
  EXPECT_EQ(info.at("clip_skip"), 2);
}

TEST_F(Sdapi, ShowsAClientItsOwnCallsAlone) {
  const CallOptions anna{.key = server_.key("anna", Role::Generate)},
      ben{.key = server_.key("ben", Role::Admin)};
  auto call =
      std::async(std::launch::async, [&] { return server_.call("POST", "/sdapi/v1/txt2img", kSmall, anna); });
  ASSERT_TRUE(wait_until([&] { return jobs().size() == 1; }));
  EXPECT_EQ(server_.json(200, "GET", "/sdapi/v1/progress", {}, ben).at("state").at("job_count"), 0);
  server_.call("POST", "/sdapi/v1/interrupt", {}, ben);
  EXPECT_EQ(jobs()[0].state, JobState::Queued);
  server_.call("POST", "/sdapi/v1/interrupt", {}, anna);
  EXPECT_EQ(call.get().status, 200);
}

TEST_F(Sdapi, HasErrorsInA1111sForm) {
  const json::object error =
      post(404, "/sdapi/v1/txt2img", R"({"prompt": "fog", "sampler_name": "Sideways"})");
  EXPECT_EQ(error.at("error"), "not_found");
  EXPECT_THAT(text(error.at("detail")), HasSubstr("Sampler not found: 'Sideways'"));
  EXPECT_TRUE(error.contains("body") && error.contains("errors"));
  EXPECT_THAT(text(post(400, "/sdapi/v1/txt2img", R"({"steps": "many"})").at("detail")),
              HasSubstr("steps: expected"));
  EXPECT_THAT(text(post(404, "/sdapi/v1/options", R"({"sd_model_checkpoint": "gone"})").at("detail")),
              HasSubstr("Model not found: 'gone'"));
  EXPECT_EQ(server_.json(404, "GET", "/sdapi/v1/nothing").count("detail"), 1u);
  post(403, "/sdapi/v1/img2img", R"({"init_images": ["http://127.0.0.1/a.png"]})");
  post(404, "/sdapi/v1/interrogate", R"({"image": "", "model": "clip"})");
  post(404, "/controlnet/detect", R"({"controlnet_module": "canny", "controlnet_images": []})");
  EXPECT_TRUE(jobs().empty());
}

TEST_F(Sdapi, TellsOfPicturesWhatTheySay) {
  provenance::GenerationRecord record;
  record.prompt = "a lighthouse";
  record.width = 64;
  record.height = 48;
  record.seed = UINT64_MAX;
  const std::string picture = test_picture(64, 48, "png", provenance::stamp(record));
  const json::object info = post(200, "/sdapi/v1/png-info",
                                 R"({"image": "data:image/png;base64,)" + encode_base64(picture) + "\"}");
  EXPECT_THAT(text(info.at("info")), testing::StartsWith("a lighthouse\nSteps: "));
  EXPECT_EQ(info.at("parameters").at("Seed"), "18446744073709551615");
  EXPECT_EQ(info.at("parameters").at("Size-1"), "64");
  EXPECT_EQ(info.at("parameters").at("Size-2"), "48");
  EXPECT_TRUE(info.at("items").as_object().contains("limn"));
  const json::object none =
      post(200, "/sdapi/v1/png-info", R"({"image": ")" + encode_base64(test_picture(8, 8)) + "\"}");
  EXPECT_EQ(none.at("info"), "");
  EXPECT_EQ(none.at("parameters"), json::object());
}

TEST_F(Sdapi, EnlargesPictures) {
  const std::string picture = encode_base64(test_picture(40, 20));
  const auto size_of = [&](const std::string& more) {
    const json::object answer =
        post(200, "/sdapi/v1/extra-single-image", R"({"image": ")" + picture + "\", " + more + "}");
    const Image image = decoded(decode_base64(text(answer.at("image")), "image"));
    return std::pair(image.width, image.height);
  };
  EXPECT_EQ(size_of(R"("upscaler_1": "Lanczos", "upscaling_resize": 1.5)"), std::pair(60, 30));
  EXPECT_EQ(size_of(R"("upscaler_1": "None", "upscaling_resize": 4)"), std::pair(40, 20));
  EXPECT_EQ(
      size_of(
          R"("upscaler_1": "Lanczos", "resize_mode": 1, "upscaling_resize_w": 64, "upscaling_resize_h": 64)"),
      std::pair(64, 64));
  EXPECT_EQ(
      size_of(
          R"("upscaler_1": "Lanczos", "resize_mode": 1, "upscaling_resize_w": 64, "upscaling_resize_h": 64,
                       "upscaling_crop": false)"),
      std::pair(128, 64));
  const json::object noted =
      post(200, "/sdapi/v1/extra-batch-images",
           R"({"imageList": [{"data": ")" + picture + R"(", "name": "a"}], "gfpgan_visibility": 1})");
  EXPECT_EQ(noted.at("images").as_array().size(), 1u);
  EXPECT_THAT(text(noted.at("html_info")), HasSubstr("gfpgan_visibility"));
  post(400, "/sdapi/v1/extra-single-image", R"({"image": ")" + picture + R"(", "upscaler_1": "ESRGAN"})");
  post(400, "/sdapi/v1/extra-single-image",
       R"({"image": ")" + picture + R"(", "upscaler_1": "Lanczos", "upscaling_resize": 9})");
}

TEST_F(Sdapi, ListsWhatThereIsAndNothingElse) {
  const auto list = [&](const std::string& path) {
    const HttpResponse answer = server_.get(path);
    EXPECT_EQ(answer.status, 200) << path << answer.body;
    return parse_json(answer.body, path);
  };
  EXPECT_EQ(list("/sdapi/v1/sd-models").at(0).at("filename"), "embedded");
  EXPECT_EQ(list("/sdapi/v1/schedulers").at(0).at("name"), "automatic");
  EXPECT_EQ(list("/sdapi/v1/samplers").at(0).at("name"), "Euler");
  EXPECT_EQ(list("/sdapi/v1/latent-upscale-modes").at(0).at("name"), "Latent");
  EXPECT_GT(list("/sdapi/v1/memory").at("ram").at("used").as_int64(), 0);
  for (const char* empty : {"hypernetworks", "face-restorers", "realesrgan-models", "script-info",
                            "extensions", "loras", "sd-vae", "prompt-styles"})
    EXPECT_EQ(list(std::string("/sdapi/v1/") + empty), json::array()) << empty;
  for (const char* path :
       {"/sdapi/v1/upscalers", "/sdapi/v1/embeddings", "/sdapi/v1/scripts", "/sdapi/v1/cmd-flags",
        "/internal/ping", "/controlnet/version", "/controlnet/model_list", "/controlnet/module_list",
        "/controlnet/control_types", "/controlnet/settings"})
    list(path);
}

TEST_F(Sdapi, LeavesModelsToThoseWhoManageThem) {
  const CallOptions key{.key = server_.key("anna", Role::Generate)};
  const CallOptions manager{.key = server_.key("ben", Role::Manage)};
  for (const char* path :
       {"unload-checkpoint", "reload-checkpoint", "refresh-checkpoints", "refresh-vae", "refresh-loras"})
    EXPECT_EQ(server_.call("POST", std::string("/sdapi/v1/") + path, {}, key).status, 403) << path;
  EXPECT_EQ(server_.call("POST", "/sdapi/v1/reload-checkpoint", {}, manager).body, "{}");
  EXPECT_TRUE(server_.services().catalogue.is_resident(server_.services().catalogue.list()[0]));
  EXPECT_EQ(server_.call("POST", "/sdapi/v1/unload-checkpoint", {}, manager).body, "{}");
  EXPECT_EQ(server_.call("POST", "/sdapi/v1/refresh-checkpoints", {}, manager).body, "null");
}

class SdapiWithStyles : public Sdapi {
 protected:
  SdapiWithStyles()
      : Sdapi([](Settings& settings) {
          settings.styles_file = settings.data + "/styles.csv";
          const std::string_view csv =
              "name,prompt,negative_prompt\npainted,oil painting of {prompt},photo\n";
          write_file_atomically(settings.styles_file, std::as_bytes(std::span(csv)));
        }) {}
};

TEST_F(SdapiWithStyles, AddsThemToThePrompt) {
  start_worker();
  EXPECT_EQ(parse_json(server_.get("/sdapi/v1/prompt-styles").body, "styles").at(0).at("name"), "painted");
  const json::object info = info_of(
      post(200, "/sdapi/v1/txt2img",
           R"({"prompt": "fog", "width": 64, "height": 64, "steps": 1, "styles": ["painted", "gone"]})"));
  EXPECT_EQ(info.at("prompt"), "oil painting of fog");
  EXPECT_EQ(info.at("negative_prompt"), "photo");
  EXPECT_EQ(info.at("styles"), json::array{"painted"});
  EXPECT_THAT(to_text(info.at("extra_generation_params").at("warnings")), HasSubstr("no 'gone'"));
}

}  // namespace
}  // namespace limn::server
