// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "limn/server/event_bus.h"
#include "limn/server/routes/routes_testing.h"

namespace limn::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string text(const json::value& value) { return std::string(value.as_string()); }

TEST(Jobs, AreAcceptedAndDrawn) {
  TestServer server;
  const HttpResponse response = server.call(
      "POST", "/api/v1/jobs", R"({"request": {"prompt": "fog", "width": 64, "height": 64, "steps": 2}})");
  ASSERT_EQ(response.status, 202) << response.body;
  const json::object accepted = parse_json(response.body, "job").as_object();
  const std::string id = text(accepted.at("id"));
  EXPECT_EQ(find_value(response.headers, "Location"), "/api/v1/jobs/" + id);
  EXPECT_EQ(accepted.at("state"), "queued");
  EXPECT_EQ(accepted.at("place"), 1);
  EXPECT_TRUE(accepted.at("eta_seconds").is_null());
  EXPECT_TRUE(accepted.at("request").at("seed").is_number()) << "the seed is drawn at once";

  server.work();
  const json::object done = server.json(200, "GET", "/api/v1/jobs/" + id);
  EXPECT_EQ(done.at("state"), "done");
  EXPECT_EQ(done.at("attempt"), 1);
  ASSERT_EQ(done.at("pictures").as_array().size(), 1u);
  const json::object picture = server.json(200, "GET", "/api/v1/pictures/" + text(done.at("pictures").at(0)));
  EXPECT_EQ(picture.at("job"), json::string(id));
  EXPECT_EQ(picture.at("prompt"), "fog");
  EXPECT_EQ(text(picture.at("seed")), to_text(accepted.at("request").at("seed")));
}

TEST(Jobs, KeepSeedsOf64Bits) {
  TestServer server;
  const std::string id = server.submit(R"("seed": "18446744073709551615")");
  EXPECT_EQ(server.json(200, "GET", "/api/v1/jobs/" + id).at("request").at("seed"), "18446744073709551615");
  EXPECT_EQ(server.json(200, "GET", "/api/v1/jobs/" + server.submit(R"("seed": 7)")).at("request").at("seed"),
            7);
  server.work();
  const json::object job = server.json(200, "GET", "/api/v1/jobs/" + id);
  const json::object picture = server.json(200, "GET", "/api/v1/pictures/" + text(job.at("pictures").at(0)));
  EXPECT_EQ(picture.at("seed"), "18446744073709551615");
  EXPECT_EQ(picture.at("request").at("seed"), "18446744073709551615");
}

TEST(Jobs, AreAcceptedOnceAKey) {
  TestServer server;
  const TestServer::Options keyed{.headers = {{"idempotency-key", "k1"}}};
  const std::string first = server.submit("", keyed);
  EXPECT_EQ(server.submit("", keyed), first) << "though the seed is drawn";
  const std::string other_order =
      R"({"request": {"steps": 2, "height": 64, "width": 64, "prompt": "a red circle"}})";
  EXPECT_EQ(server.json(202, "POST", "/api/v1/jobs", other_order, keyed).at("id"), json::string(first));
  EXPECT_THAT(server.error(400, "POST", "/api/v1/jobs", R"({"request": {"prompt": "another"}})", keyed),
              StartsWith("invalid_argument: Idempotency-Key"));
  EXPECT_EQ(server.json(200, "GET", "/api/v1/jobs").at("jobs").as_array().size(), 1u);
}

struct Refused {
  std::string request, told;
  int status = 400;
};
void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.request; }

class RefusedRequest : public testing::TestWithParam<Refused> {};

TEST_P(RefusedRequest, SaysWhichFieldAndWhy) {
  TestServer server([](Settings& settings) { settings.most_pixels = 512 * 512; });
  EXPECT_THAT(
      server.error(GetParam().status, "POST", "/api/v1/jobs", R"({"request": )" + GetParam().request + "}"),
      HasSubstr(GetParam().told));
  EXPECT_TRUE(server.json(200, "GET", "/api/v1/jobs").at("jobs").as_array().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Fields, RefusedRequest,
    testing::Values(
        Refused{R"({})", "prompt: is missing"},
        Refused{R"({"prompt": 1})", "request.prompt: expected a text"},
        Refused{R"({"prompt": "x", "stepps": 1})", "stepps"},
        Refused{R"({"prompt": "x", "steps": 0})", "request.steps"},
        Refused{R"({"prompt": "x", "steps": 2.5})", "request.steps: expected an integer"},
        Refused{R"({"prompt": "x", "seed": -1})", "request.seed"},
        Refused{R"({"prompt": "x", "seed": "x"})", "request.seed"},
        Refused{R"({"prompt": "x", "seed": "18446744073709551616"})", "seed: expected an integer from 0 to"},
        Refused{R"({"prompt": "x", "width": 1024, "height": 512})", "width, height: 524288 pixels are over"},
        Refused{R"({"prompt": "x", "width": 256, "height": 256, "hires_scale": 3})",
                "589824 pixels are over"},
        Refused{R"({"prompt": "x", "count": 101})", "count: 101 pictures are over"},
        Refused{R"({"prompt": "x", "mask_mode": "soggy"})", "request.mask_mode: no \"soggy\""},
        Refused{R"({"prompt": "x", "scheduler": "eular"})", "scheduler: no 'eular'"},
        Refused{R"({"prompt": "x", "model": "/etc/passwd"})", "model: no checkpoint", 404},
        Refused{R"({"prompt": "x", "model": "../embedded"})", "model: no checkpoint", 404},
        Refused{R"({"prompt": "x", "vae": "embedded"})", "vae: 'embedded' is a checkpoint, expected a vae"},
        Refused{R"({"prompt": "x", "lora": ["nothing:0.5"]})", "lora: no lora 'nothing'", 404},
        Refused{R"({"prompt": "x", "init_latents": "/tmp/x"})", "init_latents"},
        Refused{R"({"prompt": "x", "wildcards": "/etc"})", "wildcards: no '/etc'", 404},
        Refused{R"({"prompt": "x", "styles_file": "/etc/passwd"})", "styles_file: no", 404},
        Refused{R"({"prompt": "x", "style": ["noir"]})", "style: no 'noir'"},
        Refused{R"({"prompt": "x", "init_image": "/etc/passwd"})", "init_image: expected \"input:\""},
        Refused{R"({"prompt": "x", "init_image": "input:zz"})", "init_image: expected \"input:\""},
        Refused{R"({"prompt": "x", "init_image": "data:image/png;base64,????"})", "init_image"},
        Refused{R"({"prompt": "x", "init_image": "data:image/png;base64,QUJD"})", "init_image", 422},
        Refused{R"({"prompt": "x", "init_image": "http://127.0.0.1/x.png"})",
                "init_image: expected \"input:\""},
        Refused{R"({"prompt": "x", "init_image": "input:)" + std::string(64, 'a') + R"("})",
                "init_image: no picture", 404}));

TEST(Jobs, TakeWholeNumbersWithAPoint) {
  TestServer server;
  const json::object job =
      server.json(202, "POST", "/api/v1/jobs", R"({"request": {"prompt": "x", "steps": 3.0, "seed": 4.0}})");
  EXPECT_EQ(job.at("request").at("steps"), 3);
  EXPECT_EQ(job.at("request").at("seed"), 4);
}

TEST(Jobs, KeepPicturesThatCameInside) {
  TestServer server;
  const std::string url = "data:image/png;base64," + encode_base64(test_picture(64, 64));
  const json::object job = server.json(
      202, "POST", "/api/v1/jobs",
      R"({"request": {"prompt": "x", "steps": 2, "strength": 0.5, "init_image": ")" + url + R"("}})");
  const std::string input = text(job.at("request").at("init_image"));
  EXPECT_THAT(input, StartsWith("input:"));
  EXPECT_EQ(server.get("/api/v1/inputs/" + input).status, 200);
  server.work();
  const Job done = server.job(text(job.at("id")));
  ASSERT_EQ(done.state, JobState::Done) << done.error.message;
  const json::object picture = server.json(200, "GET", "/api/v1/pictures/" + done.pictures.at(0));
  EXPECT_EQ(picture.at("width"), 64) << "the size of the picture that it starts from";
  EXPECT_EQ(picture.at("request").at("init_image"), json::string(input));
  EXPECT_EQ(picture.at("record").at("request").at("init_image"), json::string(input));
}

TEST(Jobs, FailWithoutTellingPaths) {
  TestServer server;
  const std::string id = server.submit(
      R"("init_image": ")" +
      text(server.json(201, "POST", "/api/v1/inputs", test_picture(64, 64), {.type = "image/png"}).at("id")) +
      R"(", "mask": ")" + store_input(server.services(), Image{64, 64, 1, std::vector<uint8_t>(64 * 64)}).id +
      R"(")");
  server.work();
  const json::object job = server.json(200, "GET", "/api/v1/jobs/" + id);
  EXPECT_EQ(job.at("state"), "failed");
  const json::object& error = job.at("error").as_object();
  EXPECT_EQ(error.at("code"), "invalid_argument");
  EXPECT_EQ(error.at("where"), "mask");
  EXPECT_THAT(text(error.at("message")), AllOf(StartsWith("input:"), HasSubstr("all black")));
}

TEST(Jobs, AreListedCancelledPausedAndMoved) {
  TestServer server;
  const std::string a = server.submit(), b = server.submit(), c = server.submit();
  const auto ids = [&](const std::string& query) {
    std::string out;
    const json::object all = server.json(200, "GET", "/api/v1/jobs" + query);
    for (const json::value& job : all.at("jobs").as_array())
      out += std::string(1, "abc"[text(job.at("id")) == a ? 0 : text(job.at("id")) == b ? 1 : 2]);
    return out;
  };
  EXPECT_EQ(ids(""), "abc");
  EXPECT_EQ(server.json(200, "PATCH", "/api/v1/jobs/" + c, R"({"before": ")" + a + R"("})").at("place"), 1);
  EXPECT_EQ(ids(""), "cab");
  EXPECT_EQ(server.json(200, "PATCH", "/api/v1/jobs/" + b, R"({"priority": 5})").at("place"), 1);
  EXPECT_EQ(ids(""), "bca");
  EXPECT_EQ(server.json(200, "PATCH", "/api/v1/jobs/" + c, R"({"before": ""})").at("place"), 3);
  EXPECT_EQ(server.json(200, "POST", "/api/v1/jobs/" + a + "/pause").at("paused"), true);
  EXPECT_EQ(server.json(200, "POST", "/api/v1/jobs/" + a + "/resume").at("paused"), false);
  EXPECT_EQ(server.json(200, "POST", "/api/v1/jobs/" + b + "/cancel").at("state"), "cancelled");
  EXPECT_EQ(ids("?state=cancelled"), "b");
  EXPECT_EQ(ids("?state=queued&limit=1"), "a");
  EXPECT_THAT(server.error(400, "GET", "/api/v1/jobs?state=lost"), HasSubstr("state: no 'lost'"));
  EXPECT_THAT(server.error(400, "GET", "/api/v1/jobs?limit=0"), HasSubstr("limit"));
  EXPECT_THAT(server.error(400, "PATCH", "/api/v1/jobs/" + c, R"({"priority": 101})"), HasSubstr("priority"));
  EXPECT_THAT(server.error(404, "PATCH", "/api/v1/jobs/" + c, R"({"before": "nobody"})"),
              HasSubstr("no job 'nobody'"));
  EXPECT_THAT(server.error(404, "POST", "/api/v1/jobs/nobody/cancel"), HasSubstr("no job 'nobody'"));
  EXPECT_THAT(server.error(404, "GET", "/api/v1/jobs/" + c + "/preview"), HasSubstr("there is none now"));
}

TEST(Jobs, BelongToWhoeverSentThem) {
  TestServer server;
  const TestServer::Options alice{.key = server.key("alice", Role::Generate)},
      bob{.key = server.key("bob", Role::Generate)}, chief{.key = server.key("chief", Role::Manage)};
  const std::string id = server.submit("", alice);
  EXPECT_EQ(server.get("/api/v1/jobs/" + id).status, 401);
  EXPECT_EQ(server.get("/api/v1/jobs/" + id, alice).status, 200);
  for (const char* what : {"", "/events", "/preview"})
    EXPECT_EQ(server.get("/api/v1/jobs/" + id + what, bob).status, 404);
  for (const char* what : {"/cancel", "/pause", "/resume"})
    EXPECT_EQ(server.call("POST", "/api/v1/jobs/" + id + what, {}, bob).status, 404);
  EXPECT_EQ(server.call("PATCH", "/api/v1/jobs/" + id, R"({"priority": -1})", bob).status, 404);
  EXPECT_TRUE(server.json(200, "GET", "/api/v1/jobs", {}, bob).at("jobs").as_array().empty());
  EXPECT_EQ(server.json(200, "GET", "/api/v1/jobs", {}, chief).at("jobs").as_array().size(), 1u);

  EXPECT_THAT(server.error(403, "PATCH", "/api/v1/jobs/" + id, R"({"priority": 1})", alice),
              HasSubstr("role manage"));
  EXPECT_THAT(
      server.error(403, "POST", "/api/v1/jobs", R"({"request": {"prompt": "x"}, "priority": 1})", alice),
      HasSubstr("role manage"));
  EXPECT_EQ(server.json(200, "PATCH", "/api/v1/jobs/" + id, R"({"priority": 1})", chief).at("priority"), 1);
  EXPECT_EQ(server.call("POST", "/api/v1/queue/pause", {}, alice).status, 403);
  EXPECT_EQ(server.json(200, "POST", "/api/v1/queue/pause", {}, chief).at("paused"), true);
  EXPECT_EQ(server.json(200, "GET", "/api/v1/queue", {}, alice).at("counts").at("queued"), 1);
  server.work();
  EXPECT_EQ(server.job(id).state, JobState::Queued);
  EXPECT_EQ(server.json(200, "POST", "/api/v1/queue/resume", {}, chief).at("paused"), false);
  server.work();
  const std::string picture = server.job(id).pictures.at(0);
  EXPECT_EQ(server.get("/api/v1/pictures/" + picture, bob).status, 404);
  EXPECT_EQ(server.get("/api/v1/pictures/" + picture + "/file", bob).status, 404);
  EXPECT_EQ(server.get("/api/v1/pictures/" + picture + "/thumbnail", bob).status, 404);
  EXPECT_EQ(
      server
          .json(200, "POST", "/api/v1/pictures/bulk", R"({"ids": [")" + picture + R"("], "rating": 1})", bob)
          .at("changed"),
      0);
  EXPECT_EQ(server.call("POST", "/api/v1/pictures/archive", R"({"ids": [")" + picture + R"("]})", bob).status,
            404);
  EXPECT_EQ(server.json(200, "GET", "/api/v1/pictures", {}, bob).at("total"), 0);
  EXPECT_EQ(server.json(200, "GET", "/api/v1/pictures", {}, chief).at("total"), 1);
}

TEST(Jobs, UseTheServersStylesAndWildcards) {
  TemporaryFolder files;
  const auto write = [&](const std::string& name, const std::string& text) {
    write_file_atomically(files.path() / name, std::as_bytes(std::span(text)));
  };
  write("styles.csv", "name,prompt,negative_prompt\nnoir,\"{prompt}, black and white\",colour\n");
  write("words/animal.txt", "fox\nfox\n");
  TestServer server([&](Settings& settings) {
    settings.styles_file = (files.path() / "styles.csv").string();
    settings.wildcards = (files.path() / "words").string();
  });
  const json::object capabilities = server.json(200, "GET", "/api/v1/capabilities");
  EXPECT_EQ(capabilities.at("styles").at(0), "noir");
  EXPECT_EQ(capabilities.at("wildcards").at(0), "animal");
  const auto drawn = [&](const std::string& request) {
    const json::object job = server.json(202, "POST", "/api/v1/jobs", R"({"request": )" + request + "}");
    server.work();
    const Job done = server.job(text(job.at("id")));
    EXPECT_EQ(done.state, JobState::Done) << done.error.where << done.error.message;
    const json::object picture = server.json(200, "GET", "/api/v1/pictures/" + done.pictures.at(0));
    EXPECT_FALSE(picture.at("request").as_object().contains("wildcards"));
    return text(picture.at("prompt"));
  };
  const std::string small = R"(, "width": 64, "height": 64, "steps": 1})";
  EXPECT_EQ(drawn(R"({"prompt": "a __animal__", "style": ["noir"])" + small), "a fox, black and white");
  EXPECT_EQ(drawn(R"({"prompt": "a __animal__", "wildcards": "")" + small), "a __animal__");
  EXPECT_EQ(drawn(R"({"prompt": "a __house__")" + small), "a __house__") << "no wildcard of the server";
  EXPECT_EQ(drawn(R"({"prompt": "{a|a} hen", "wildcards": "words")" + small), "a hen");
}

/// "event: job" and the like, in their order, each once in a row.
std::vector<std::string> kinds_of(const std::string& stream) {
  std::vector<std::string> out;
  for (size_t at = 0; (at = stream.find("event: ", at)) != std::string::npos; ++at) {
    const std::string kind = stream.substr(at + 7, stream.find('\n', at) - at - 7);
    if (out.empty() || out.back() != kind) out.push_back(kind);
  }
  return out;
}

TEST(Events, TellOfOneJobUntilItsEnd) {
  TestServer server;
  const std::string id = server.submit();
  std::jthread work;
  Collector client([&](const std::string& all) {
    if (!work.joinable() && all.find("\"queued\"") != std::string::npos)
      work = std::jthread([&] { server.work(); });
    return false;
  });
  const HttpResponse response = server.get("/api/v1/jobs/" + id + "/events");
  EXPECT_EQ(response.content_type, "text/event-stream");
  response.stream(client);
  work.join();
  EXPECT_THAT(client.all, HasSubstr(R"("state":"running")"));
  EXPECT_THAT(client.all, HasSubstr(R"("state":"done")"));
  const size_t last = client.all.rfind("event: job\ndata: ");
  const std::string data = client.all.substr(last + 17, client.all.find('\n', last + 17) - last - 17);
  EXPECT_NO_THROW(
      check_schema({{"$ref", "#/components/schemas/Job"}}, parse_json(data, "event"), all_schemas()));
}

TEST(Events, BeginWithWhatIsThereAndEndWithTheServer) {
  TestServer server;
  const TestServer::Options alice{.key = server.key("alice", Role::Generate)},
      bob{.key = server.key("bob", Role::Generate)};
  const std::string mine = server.submit("", alice), other = server.submit("", bob);
  Collector client([&](const std::string& all) {
    if (all.find("event: queue") != std::string::npos) server.closing().request_stop();
    return false;
  });
  server.get("/api/v1/events", alice).stream(client);
  EXPECT_THAT(kinds_of(client.all), testing::ElementsAre("job", "queue"));
  EXPECT_THAT(client.all, HasSubstr(mine));
  EXPECT_THAT(client.all, testing::Not(HasSubstr(other)));
  EXPECT_EQ(server.get("/api/v1/events?job=" + other, alice).status, 404);
}

TEST(Events, TellThatAPlaceInTheQueueHasChanged) {
  TestServer server;
  const std::string first = server.submit(), second = server.submit();
  bool cancelled = false;
  Collector client([&](const std::string& all) {
    if (!cancelled && all.find("event: queue") != std::string::npos) {
      cancelled = true;
      server.services().jobs.cancel(first);
    }
    return all.rfind(R"("place":1)") > all.rfind(R"("state":"cancelled")") &&
           all.find(R"("state":"cancelled")") != std::string::npos;
  });
  server.get("/api/v1/events").stream(client);
  EXPECT_THAT(client.all.substr(client.all.rfind("event: job")), HasSubstr(second));
}

TEST(Events, GoByWebSocketToo) {
  TestServer server;
  const std::string id = server.submit();
  Collector client(
      [](const std::string& all) { return all.find(R"("event":"queue")") != std::string::npos; });
  const HttpResponse response = server.get("/api/v1/events/ws", {.headers = {{"upgrade", "websocket"}}});
  ASSERT_TRUE(response.messages);
  response.messages(client);
  const json::object first = parse_json(client.all.substr(0, client.all.find('\n')), "message").as_object();
  EXPECT_EQ(first.at("event"), "job");
  EXPECT_EQ(first.at("data").at("id"), json::string(id));
}

TEST(Events, AreNoFasterThanTenASecondAJob) {
  TestServer server;
  const std::string id = server.submit();
  const Job job = server.services().jobs.claim("w", std::chrono::seconds(30)).value();
  const auto start = std::chrono::steady_clock::now();
  std::jthread reports([&](const std::stop_token& stop) {
    for (int64_t step = 1; !stop.stop_requested(); ++step)
      server.services().jobs.report(job, {.stage = "denoise", .done = step, .total = 100000},
                                    std::chrono::seconds(30));
  });
  int64_t events = 0;
  Collector client([&](const std::string&) {
    ++events;
    return std::chrono::steady_clock::now() - start > std::chrono::milliseconds(1500);
  });
  server.get("/api/v1/jobs/" + id + "/events").stream(client);
  EXPECT_LE(events, 20);
  EXPECT_GE(events, 5);
}

}  // namespace
}  // namespace limn::server
