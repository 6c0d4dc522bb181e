// SPDX-License-Identifier: Apache-2.0
#include "limn/server/router.h"

#include <new>

#include <gmock/gmock.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/server/auth.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/services.h"
#include "limn/server/settings.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// What no route of these tests touches.
template <typename T>
T& none() {
  alignas(std::max_align_t) static std::byte nothing[1];
  return reinterpret_cast<T&>(nothing);
}

HttpResponse text(std::string body) {
  HttpResponse out;
  out.content_type = "text/plain";
  out.body = std::move(body);
  return out;
}

HttpResponse tell_thing(Services&, const Call& call) {
  return text("thing " + call.at("id") + " for " + call.client.owner);
}
HttpResponse tell_list(Services&, const Call& call) {
  return text("list " + find_value(call.http.query, "limit").value_or("-"));
}
HttpResponse tell_all(Services&, const Call&) { return text("all"); }
HttpResponse make_thing(Services&, const Call& call) { return text("made " + limn::to_text(call.json)); }
HttpResponse take_bytes(Services&, const Call& call) {
  return text("took " + std::to_string(call.http.body.size()));
}
HttpResponse manage(Services&, const Call& call) { return text("managed by " + call.client.owner); }
HttpResponse fail(Services&, const Call& call) {
  const std::string& how = call.at("how");
  if (how == "missing")
    throw Error(ErrorCode::NotFound, "thing", "no /srv/models/xl/base here",
                "look in /home/anna/secret/place");
  if (how == "busy") throw Error(ErrorCode::Busy, "queue", "is full", "wait");
  if (how == "internal") throw Error(ErrorCode::Internal, "/build/limn/router.cpp:7", "broken", "report it");
  if (how == "http")
    throw HttpError(416, {"range", "", "no such range", ""}, {{"Content-Range", "bytes */5"}});
  if (how == "memory") throw std::bad_alloc();
  if (how == "cancelled") throw Error(ErrorCode::Cancelled, "", "stopped");
  throw std::runtime_error("secret detail");
}
json::value own_error(int status, const Problem& problem) {
  return {{"detail", problem.message}, {"status", status}};
}

const std::vector<Route> kRoutes = {
    {.method = "GET",
     .path = "/api/v1/things",
     .name = "list_things",
     .tag = "things",
     .help = "All.",
     .parameters = {{"limit", R"({"type":"integer","minimum":1,"maximum":9})", "how many"},
                    {"kind", R"({"type":"array","items":{"enum":["a","b"]}})", "which"},
                    {"flag", R"({"type":"boolean"})", "whether"}},
     .answers = {{200, "text/plain", "", "the list"}},
     .handle = tell_list},
    {.method = "POST",
     .path = "/api/v1/things",
     .name = "make_thing",
     .tag = "things",
     .help = "Makes one.",
     .parameters = {{"Idempotency-Key", R"({"type":"string","maxLength":5})", "once", false, "header"}},
     .takes = "application/json",
     .takes_schema = "Thing",
     .answers = {{200, "application/json", "Thing", "made"}},
     .handle = make_thing},
    {.method = "GET",
     .path = "/api/v1/things/{id}",
     .name = "get_thing",
     .tag = "things",
     .help = "One.",
     .answers = {{200, "text/plain", "", "it"}},
     .handle = tell_thing},
    {.method = "GET",
     .path = "/api/v1/things/all",
     .name = "get_all",
     .tag = "things",
     .help = "All of them.",
     .answers = {{200, "text/plain", "", "all"}},
     .handle = tell_all},
    {.method = "POST",
     .path = "/api/v1/bytes",
     .name = "take_bytes",
     .tag = "things",
     .help = "Takes a picture.",
     .takes = "image/*, multipart/form-data",
     .answers = {{200, "text/plain", "", "taken"}},
     .handle = take_bytes},
    {.method = "POST",
     .path = "/api/v1/manage",
     .name = "manage",
     .tag = "queue",
     .help = "Manages.",
     .role = Role::Manage,
     .answers = {{200, "text/plain", "", "done"}},
     .handle = manage},
    {.method = "GET",
     .path = "/metrics",
     .name = "metrics",
     .tag = "system",
     .help = "Numbers.",
     .role = Role::Admin,
     .answers = {{200, "text/plain", "", "them"}},
     .handle = manage,
     .free_on_loopback = true},
    {.method = "GET",
     .path = "/healthz",
     .name = "health",
     .tag = "system",
     .help = "Health.",
     .role = Role::Anyone,
     .answers = {{200, "text/plain", "", "good"}},
     .handle = tell_all,
     .instant = true},
    {.method = "GET",
     .path = "/api/v1/fail/{how}",
     .name = "fail",
     .tag = "things",
     .help = "Fails.",
     .answers = {{200, "text/plain", "", "never"}},
     .handle = fail},
    {.method = "GET",
     .path = "/other/{how}",
     .name = "other_fail",
     .tag = "other",
     .help = "Fails otherwise.",
     .answers = {{200, "text/plain", "", "never"}},
     .handle = fail,
     .error_body = own_error},
};

const NamedSchema kSchemas[] = {{"Thing", [] {
                                   return json::object{
                                       {"type", "object"},
                                       {"properties", {{"size", {{"type", "integer"}, {"maximum", 5}}}}},
                                       {"required", {"size"}},
                                       {"additionalProperties", false}};
                                 }}};

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    settings_.models = {"/srv/models"};
    settings_.data = "/var/lib/limn";
  }
  const Router& router() {
    if (!router_) {
      auth_ = std::make_unique<Auth>(settings_, *database_, log_);
      services_ = std::unique_ptr<Services>(new Services{settings_,
                                                         none<JobStore>(),
                                                         none<PictureStore>(),
                                                         none<BlobStore>(),
                                                         none<EventBus>(),
                                                         none<Catalogue>(),
                                                         *auth_,
                                                         metrics_,
                                                         log_,
                                                         {}});
      router_ = std::make_unique<Router>(*services_, kRoutes, kSchemas,
                                         [](const HttpRequest& request) -> std::optional<HttpResponse> {
                                           if (request.path != "/") return std::nullopt;
                                           return text("page");
                                         });
    }
    return *router_;
  }
  static HttpRequest request(const std::string& method, const std::string& target,
                             const std::string& body = "", Pairs headers = {}) {
    HttpRequest out;
    out.method = method;
    out.target = target.substr(0, target.find('?'));
    out.path = percent_decode(out.target).value();
    if (const size_t at = target.find('?'); at != std::string::npos)
      out.query = parse_query(target.substr(at + 1)).value();
    out.body = body;
    out.peer = "127.0.0.1";
    out.headers = std::move(headers);
    if (!find_value(out.headers, "host")) out.headers.emplace_back("host", "localhost");
    if (!body.empty() && !find_value(out.headers, "content-type"))
      out.headers.emplace_back("content-type", "application/json");
    return out;
  }
  HttpResponse call(const std::string& method, const std::string& target, const std::string& body = "",
                    Pairs headers = {}) {
    return router().handle(request(method, target, body, std::move(headers)));
  }
  /// "status body"
  std::string ask(const std::string& method, const std::string& target, const std::string& body = "",
                  Pairs headers = {}) {
    const HttpResponse response = call(method, target, body, std::move(headers));
    return std::to_string(response.status) + " " + response.body;
  }

  TemporaryFolder folder_;
  Settings settings_;
  std::unique_ptr<Database> database_ = open_database((folder_.path() / "limn.db").string());
  std::string logged_;
  Log log_{Log::Format::Text, [this](std::string_view line) { logged_ += line; }};
  Metrics metrics_;
  std::unique_ptr<Auth> auth_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<Router> router_;
};

TEST_F(RouterTest, FindsRoutesAndWhatTheyCapture) {
  EXPECT_EQ(ask("GET", "/api/v1/things"), "200 list -");
  EXPECT_EQ(ask("GET", "/api/v1/things/7"), "200 thing 7 for local");
  EXPECT_EQ(ask("HEAD", "/api/v1/things/7"), "200 thing 7 for local");  // the transport leaves the body out
  EXPECT_EQ(ask("GET", "/api/v1/things/all"), "200 all");               // before what is captured
  EXPECT_EQ(ask("GET", "/api/v1/things/xl%2Fb%20c"), "200 thing xl/b c for local");
  EXPECT_EQ(ask("GET", "/"), "200 page");
}

TEST_F(RouterTest, SaysWhatIsNotThere) {
  for (const char* path : {"/api/v1", "/api/v1/things/", "/api/v1/things/7/8", "/api/v1//things",
                           "/api/v1/things%2F7", "/nothing"})
    EXPECT_THAT(ask("GET", path), AllOf(HasSubstr("404 "), HasSubstr("\"not_found\""))) << path;
  EXPECT_THAT(ask("POST", "/"), HasSubstr("404 "));
  const HttpResponse response = call("DELETE", "/api/v1/things");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(find_value(response.headers, "Allow"), "GET, POST");
}

TEST_F(RouterTest, ChecksParameters) {
  EXPECT_EQ(ask("GET", "/api/v1/things?limit=9&kind=a,b&flag=True&unknown=1"), "200 list 9");
  EXPECT_THAT(ask("GET", "/api/v1/things?limit=10"),
              AllOf(HasSubstr("400 "), HasSubstr(R"("where":"limit")"), HasSubstr("at most 9")));
  EXPECT_THAT(ask("GET", "/api/v1/things?limit=x"), HasSubstr("expected an integer, found \\\"x\\\""));
  EXPECT_THAT(ask("GET", "/api/v1/things?limit="), HasSubstr("400 "));
  EXPECT_THAT(ask("GET", "/api/v1/things?kind=a,c"), HasSubstr(R"("where":"kind[1]")"));
  EXPECT_THAT(ask("GET", "/api/v1/things?flag=maybe"), HasSubstr("true or false"));
  EXPECT_THAT(ask("POST", "/api/v1/things", R"({"size":1})", {{"idempotency-key", "123456"}}),
              HasSubstr(R"("where":"Idempotency-Key")"));
}

TEST_F(RouterTest, ChecksJson) {
  EXPECT_EQ(ask("POST", "/api/v1/things", R"({"size":3})"), R"(200 made {"size":3})");
  EXPECT_EQ(ask("POST", "/api/v1/things", R"({"size":3})",
                {{"content-type", "application/vnd.x+json; charset=utf-8"}}),
            R"(200 made {"size":3})");
  EXPECT_THAT(ask("POST", "/api/v1/things"), AllOf(HasSubstr("400 "), HasSubstr("is missing")));
  EXPECT_THAT(ask("POST", "/api/v1/things", "{"),
              AllOf(HasSubstr("400 "), HasSubstr("invalid_argument"), HasSubstr("body @1")));
  EXPECT_THAT(ask("POST", "/api/v1/things", R"({"size":6})"),
              AllOf(HasSubstr("400 "), HasSubstr(R"("where":"size")")));
  EXPECT_THAT(ask("POST", "/api/v1/things", R"({"size":1,"x":1})"), HasSubstr(R"("where":"x")"));
}

TEST_F(RouterTest, TakesOnlyTheContentItKnows) {
  EXPECT_THAT(ask("POST", "/api/v1/things", "x", {{"content-type", "image/png"}}),
              AllOf(HasSubstr("415 "), HasSubstr("send application/json")));
  EXPECT_THAT(ask("POST", "/api/v1/things", "{}", {{"content-type", ""}}),
              AllOf(HasSubstr("415 "), HasSubstr("is missing")));
  EXPECT_EQ(ask("POST", "/api/v1/bytes", "abc", {{"content-type", "image/webp"}}), "200 took 3");
  EXPECT_EQ(ask("POST", "/api/v1/bytes", "abc", {{"content-type", "multipart/form-data; boundary=x"}}),
            "200 took 3");
  EXPECT_THAT(ask("POST", "/api/v1/bytes", "abc"), HasSubstr("415 "));
  EXPECT_THAT(ask("POST", "/api/v1/things", "{}", {{"content-encoding", "gzip"}}),
              AllOf(HasSubstr("415 "), HasSubstr("not unpacked")));
  EXPECT_EQ(ask("POST", "/api/v1/manage", "{}"), "200 managed by local");  // what takes no body ignores it
}

TEST_F(RouterTest, TurnsWhatIsThrownIntoAnswers) {
  EXPECT_THAT(ask("GET", "/api/v1/fail/missing"),
              AllOf(HasSubstr("404 "), HasSubstr(R"("code":"not_found","where":"thing")")));
  EXPECT_THAT(ask("GET", "/api/v1/fail/memory"), HasSubstr("507 "));
  EXPECT_THAT(ask("GET", "/api/v1/fail/cancelled"), HasSubstr("499 "));
  const HttpResponse busy = call("GET", "/api/v1/fail/busy");
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(find_value(busy.headers, "Retry-After"), "5");
  const HttpResponse range = call("GET", "/api/v1/fail/http");
  EXPECT_EQ(range.status, 416);
  EXPECT_EQ(find_value(range.headers, "Content-Range"), "bytes */5");
}

TEST_F(RouterTest, KeepsItsOwnMistakesForTheLog) {
  for (const char* how : {"internal", "unknown"}) {
    EXPECT_THAT(ask("GET", "/api/v1/fail/" + std::string(how)),
                AllOf(HasSubstr("500 "), HasSubstr("\"internal\""), Not(HasSubstr("secret")),
                      Not(HasSubstr("/build"))));
  }
  EXPECT_THAT(logged_, AllOf(HasSubstr("error internal_error"), HasSubstr("secret detail"),
                             HasSubstr("/build/limn/router.cpp:7")));
}

TEST_F(RouterTest, TellsNoPathsOfTheMachine) {
  EXPECT_THAT(ask("GET", "/api/v1/fail/missing"),
              AllOf(HasSubstr("no xl/base here"), HasSubstr("look in place")));
}

TEST_F(RouterTest, UsesTheFormOfErrorsOfTheApi) {
  EXPECT_EQ(ask("GET", "/other/missing"), R"(404 {"detail":"no xl/base here","status":404})");
  EXPECT_THAT(ask("GET", "/other/a/b"), HasSubstr(R"(404 {"detail":)"));
  EXPECT_THAT(ask("POST", "/other/missing"), HasSubstr(R"(405 {"detail":)"));
}

TEST_F(RouterTest, AsksForKeysAndRoles) {
  settings_.keys = (folder_.path() / "keys").string();
  const auto bearer = [&](Role role) {
    return Pairs{{"authorization", "Bearer " + add_key(settings_.keys, std::string(name_of(role)), role)}};
  };
  const Pairs generate = bearer(Role::Generate), manage = bearer(Role::Manage);
  EXPECT_THAT(ask("GET", "/api/v1/things"), AllOf(HasSubstr("401 "), HasSubstr("\"unauthorized\"")));
  EXPECT_EQ(ask("GET", "/api/v1/things/7", "", generate), "200 thing 7 for generate");
  EXPECT_THAT(ask("POST", "/api/v1/manage", "", generate),
              AllOf(HasSubstr("403 "), HasSubstr("role manage")));
  EXPECT_EQ(ask("POST", "/api/v1/manage", "", manage), "200 managed by manage");
  EXPECT_EQ(ask("GET", "/healthz"), "200 all");
  EXPECT_EQ(ask("GET", "/"), "200 page");  // which asks for the key
  EXPECT_THAT(ask("GET", "/nothing"), HasSubstr("404 "));
}

TEST_F(RouterTest, TellsNumbersToThisMachineWithoutAKey) {
  settings_.keys = (folder_.path() / "keys").string();
  add_key(settings_.keys, "anna", Role::Generate);
  HttpRequest scrape = request("GET", "/metrics");
  EXPECT_EQ(router().handle(scrape).status, 200);
  scrape.proxied = true;
  EXPECT_EQ(router().handle(scrape).status, 401);
  scrape.proxied = false;
  scrape.peer = "10.0.0.9";
  EXPECT_EQ(router().handle(scrape).status, 401);
}

TEST_F(RouterTest, SpeaksOnlyThroughTheProxyWhenThereIsOne) {
  settings_.keys = (folder_.path() / "keys").string();
  settings_.behind_proxy = true;
  const Pairs key{{"authorization", "Bearer " + add_key(settings_.keys, "anna", Role::Generate)}};
  HttpRequest direct = request("GET", "/api/v1/things", "", key);
  direct.peer = "10.0.0.9";
  EXPECT_EQ(router().handle(direct).status, 403);
  direct.proxied = true;
  EXPECT_EQ(router().handle(direct).status, 200);
}

TEST_F(RouterTest, ChecksHostAndOrigin) {
  EXPECT_THAT(ask("GET", "/api/v1/things", "", {{"host", "evil.org"}}),
              AllOf(HasSubstr("403 "), HasSubstr("--allow-host")));
  EXPECT_THAT(ask("GET", "/", "", {{"host", "evil.org"}}), HasSubstr("403 "));
  EXPECT_EQ(ask("GET", "/healthz", "", {{"host", "10.1.2.3:7860"}}), "200 all");  // as a supervisor calls it
  EXPECT_THAT(ask("GET", "/api/v1/things", "", {{"origin", "https://evil.org"}}), HasSubstr("403 "));
}

TEST_F(RouterTest, AnswersListedOriginsAndNoOthers) {
  settings_.allow_origin = {"https://friend.org"};
  const HttpResponse friendly = call("GET", "/api/v1/things", "", {{"origin", "https://friend.org"}});
  EXPECT_EQ(friendly.status, 200);
  EXPECT_EQ(find_value(friendly.headers, "Access-Control-Allow-Origin"), "https://friend.org");
  EXPECT_EQ(find_value(friendly.headers, "Vary"), "Origin");
  const HttpResponse own = call("GET", "/api/v1/things");
  EXPECT_EQ(find_value(own.headers, "Access-Control-Allow-Origin"), std::nullopt);
  EXPECT_EQ(find_value(own.headers, "Vary"), "Origin");
  const HttpResponse evil = call("GET", "/api/v1/things", "", {{"origin", "https://evil.org"}});
  EXPECT_EQ(evil.status, 403);
  EXPECT_EQ(find_value(evil.headers, "Access-Control-Allow-Origin"), std::nullopt);
}

TEST_F(RouterTest, AnswersPreflightsOfListedOrigins) {
  settings_.allow_origin = {"https://friend.org"};
  settings_.keys = (folder_.path() / "keys").string();  // a preflight has no key
  const Pairs asks{{"origin", "https://friend.org"}, {"access-control-request-method", "POST"}};
  const HttpResponse yes = call("OPTIONS", "/api/v1/things", "", asks);
  EXPECT_EQ(yes.status, 204);
  EXPECT_EQ(find_value(yes.headers, "Access-Control-Allow-Methods"), "GET, POST");
  EXPECT_THAT(find_value(yes.headers, "Access-Control-Allow-Headers").value(), HasSubstr("Authorization"));
  EXPECT_EQ(find_value(yes.headers, "Access-Control-Allow-Origin"), "https://friend.org");
  EXPECT_EQ(call("OPTIONS", "/nothing", "", asks).status, 404);
  EXPECT_EQ(call("OPTIONS", "/api/v1/things", "", {{"origin", "https://evil.org"}}).status, 403);
  const HttpResponse own = call("OPTIONS", "/api/v1/things");
  EXPECT_EQ(own.status, 204);
  EXPECT_EQ(find_value(own.headers, "Access-Control-Allow-Methods"), std::nullopt);
}

TEST_F(RouterTest, AdmitsBodiesByRouteBeforeTheyAreRead) {
  settings_.keys = (folder_.path() / "keys").string();
  settings_.body_limit = 5000;
  const Pairs key{{"authorization", "Bearer " + add_key(settings_.keys, "anna", Role::Generate)},
                  {"content-length", "100"}};
  const auto admitted = [&](const std::string& path, Pairs headers,
                            const std::string& type = "application/json") {
    headers.emplace_back("content-type", type);
    const auto result = router().admit(request("POST", path, "", std::move(headers)));
    const HttpResponse* refusal = std::get_if<HttpResponse>(&result);
    return refusal ? -refusal->status : std::get<int64_t>(result);
  };
  EXPECT_EQ(admitted("/api/v1/things", key), 5000);
  EXPECT_EQ(admitted("/api/v1/things", {{"content-length", "100"}}), -401);
  EXPECT_EQ(admitted("/api/v1/things", key, "image/png"), -415);
  EXPECT_EQ(admitted("/api/v1/manage", key), -403);
  EXPECT_EQ(admitted("/api/v1/nothing", key), -404);
  EXPECT_EQ(admitted("/healthz", key), -405);
  auto gzip = key;
  gzip.emplace_back("content-encoding", "gzip");
  EXPECT_EQ(admitted("/api/v1/things", gzip), -415);
  settings_.keys = "";
  EXPECT_EQ(admitted("/api/v1/manage", {}), 64 << 10);
}

TEST_F(RouterTest, KnowsWhatTakesNoTime) {
  EXPECT_TRUE(router().is_instant(request("GET", "/healthz")));
  EXPECT_TRUE(router().is_instant(request("GET", "/")));
  EXPECT_TRUE(router().is_instant(request("GET", "/nothing")));
  EXPECT_FALSE(router().is_instant(request("GET", "/api/v1/things")));
  EXPECT_FALSE(router().is_instant(request("GET", "/metrics")));
}

TEST_F(RouterTest, LogsAndCountsRequestsWithoutTheirQuery) {
  ask("GET", "/api/v1/things/7?q=a+secret");
  ask("GET", "/api/v1/fail/missing");
  ask("GET", "/healthz");
  EXPECT_THAT(logged_, AllOf(HasSubstr("info request method=GET path=/api/v1/things/7 status=200"),
                             HasSubstr("client=local peer=127.0.0.1"), Not(HasSubstr("secret")),
                             Not(HasSubstr("healthz"))));
  EXPECT_THAT(metrics_.text(),
              AllOf(HasSubstr(R"(limn_http_requests_total{route="get_thing",status="200"} 1)"),
                    HasSubstr(R"(limn_http_requests_total{route="fail",status="404"} 1)"),
                    HasSubstr(R"(limn_http_request_seconds_count{route="health"} 1)")));
}

TEST_F(RouterTest, DescribesItsRoutes) {
  const json::value document = router().document();
  const auto at = [&](const char* pointer) { return limn::to_text(document.at_pointer(pointer)); };
  EXPECT_EQ(at("/openapi"), "\"3.1.0\"");
  EXPECT_EQ(at("/paths/~1api~1v1~1things~1{id}/get/operationId"), "\"get_thing\"");
  EXPECT_EQ(at("/paths/~1api~1v1~1things~1{id}/get/parameters/0/name"), "\"id\"");
  EXPECT_EQ(at("/paths/~1api~1v1~1things~1{id}/get/parameters/0/required"), "true");
  EXPECT_EQ(at("/paths/~1api~1v1~1things/get/parameters/0/schema/maximum"), "9");
  EXPECT_EQ(at("/paths/~1api~1v1~1things/post/parameters/0/in"), "\"header\"");
  EXPECT_EQ(at("/paths/~1api~1v1~1things/post/requestBody/content/application~1json/schema/$ref"),
            "\"#/components/schemas/Thing\"");
  EXPECT_EQ(at("/paths/~1api~1v1~1things/post/responses/200/content/application~1json/schema/$ref"),
            "\"#/components/schemas/Thing\"");
  EXPECT_EQ(at("/paths/~1api~1v1~1bytes/post/requestBody/content/image~1*/schema/format"), "\"binary\"");
  EXPECT_EQ(at("/paths/~1api~1v1~1things/get/responses/default/content/application~1json/schema/$ref"),
            "\"#/components/schemas/Error\"");
  EXPECT_EQ(at("/paths/~1other~1{how}/get/responses/default/content/application~1json/schema/type"),
            "\"object\"");
  EXPECT_EQ(at("/paths/~1healthz/get/security"), "[]");
  EXPECT_THAT(at("/paths/~1api~1v1~1manage/post/description"), HasSubstr("role manage"));
  EXPECT_EQ(at("/components/schemas/Thing/required/0"), "\"size\"");
  EXPECT_EQ(at("/components/securitySchemes/bearer/scheme"), "\"bearer\"");
}

TEST(WithoutPaths, LeavesOutFoldersOfTheMachine) {
  Settings settings;
  settings.models = {"/srv/models", "/more models/"};
  settings.data = "/var/lib/limn";
  settings.blobs = "/var/lib/limn/blobs";
  const auto told = [&](const std::string& text) { return without_paths(text, settings); };
  EXPECT_EQ(told("/srv/models/xl/base.safetensors @8: broken"), "xl/base.safetensors @8: broken");
  EXPECT_EQ(told("no '/more models/a b.ckpt'"), "no 'a b.ckpt'");
  EXPECT_EQ(told("/var/lib/limn/blobs/ab/cdef"), "ab/cdef");
  EXPECT_EQ(told("/var/lib/limn/limn.db is locked (/tmp/x/y)"), "limn.db is locked (y)");
  EXPECT_EQ(told("at=/etc/limn/keys:3: bad"), "at=keys:3: bad");
  EXPECT_EQ(told("GET /api/v1/schedulers lists them"), "GET /api/v1/schedulers lists them");
  EXPECT_EQ(told("see https://example.org/a/b, 1/2, and/or, /readyz, data:image/png;base64,AA/B/C="),
            "see https://example.org/a/b, 1/2, and/or, /readyz, data:image/png;base64,AA/B/C=");
}

}  // namespace
}  // namespace limn::server
