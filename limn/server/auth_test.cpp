// SPDX-License-Identifier: Apache-2.0
#include "limn/server/auth.h"

#include <fstream>

#include <gmock/gmock.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/server/base64.h"
#include "limn/server/log.h"
#include "limn/server/settings.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class KeysTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  fs::path file_ = folder_.path() / "keys.jsonl";
};

TEST_F(KeysTest, AreShownOnceAndKeptAsTheirHash) {
  const std::string key = add_key(file_, "anna", Role::Manage);
  EXPECT_THAT(key, AllOf(StartsWith("limn_"), SizeIs(5 + 43)));
  EXPECT_NE(add_key(file_, "bert", Role::Generate), key);
  const std::string content = read_file(file_, 10'000);
  EXPECT_THAT(content, Not(HasSubstr(key.substr(5))));
  EXPECT_THAT(content, HasSubstr(sha256(std::as_bytes(std::span(key)))));
  EXPECT_EQ(fs::status(file_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  const auto keys = read_keys(file_);
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].name, "anna");
  EXPECT_EQ(keys[0].role, Role::Manage);
  remove_key(file_, "anna");
  EXPECT_EQ(read_keys(file_).size(), 1u);
  EXPECT_EQ(code_of([&] { remove_key(file_, "anna"); }), ErrorCode::NotFound);
  EXPECT_TRUE(read_keys(folder_.path() / "none").empty());
}

TEST_F(KeysTest, HaveNamesThatAreTakenOnce) {
  add_key(file_, "anna", Role::Generate);
  for (const std::string& name : {std::string("anna"), std::string(), std::string("a b"), std::string("a\n"),
                                  std::string("local"), std::string(65, 'a')})
    EXPECT_EQ(code_of([&] { add_key(file_, name, Role::Admin); }), ErrorCode::InvalidArgument) << name;
  EXPECT_EQ(read_keys(file_).size(), 1u);
}

TEST_F(KeysTest, SayWhichLineIsDamaged) {
  for (const char* line :
       {"[]", "{", R"({"name":"a"})", R"({"name":"a","role":"king","sha256":""})", R"({"name":1})"}) {
    add_key(file_, "anna", Role::Generate);
    std::ofstream(file_, std::ios::app) << "\n" << line << "\n";
    try {
      read_keys(file_);
      ADD_FAILURE() << line;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
      EXPECT_THAT(error.where(), HasSubstr("keys.jsonl:3"));
    }
    fs::remove(file_);
  }
}

TEST(Roles, HaveNamesOfTheirOwn) {
  for (const Role role : {Role::Generate, Role::Manage, Role::Admin}) EXPECT_EQ(role_of(name_of(role)), role);
  EXPECT_EQ(role_of("anyone"), std::nullopt);
}

class AuthTest : public ::testing::Test {
 protected:
  AuthTest() { settings_.keys = (folder_.path() / "keys.jsonl").string(); }

  Auth& auth() {
    if (!auth_) auth_ = std::make_unique<Auth>(settings_, *database_, log_);
    return *auth_;
  }
  static HttpRequest request(const std::string& method, Pairs headers) {
    HttpRequest out;
    out.method = method;
    out.path = "/api/v1/jobs";
    out.peer = "127.0.0.1";
    out.headers = std::move(headers);
    if (!find_value(out.headers, "host")) out.headers.emplace_back("host", "localhost:7860");
    return out;
  }
  /// The status, and where.
  template <typename Action>
  static std::string refusal(Action&& action) {
    try {
      action();
    } catch (const HttpError& error) {
      return std::to_string(error.status()) + " " + error.problem().where;
    }
    return "";
  }
  std::string origin(const std::string& method, Pairs headers, bool secure = false) {
    HttpRequest one = request(method, std::move(headers));
    one.secure = secure;
    return refusal([&] { auth().check_origin(one); });
  }
  std::string who(Pairs headers, const std::string& peer = "127.0.0.1") {
    HttpRequest one = request("GET", std::move(headers));
    one.peer = peer;
    try {
      const Client client = auth().identify(one);
      return client.owner + " " + std::string(name_of(client.role));
    } catch (const HttpError& error) {
      return std::to_string(error.status());
    }
  }

  TemporaryFolder folder_;
  Settings settings_;
  std::unique_ptr<Database> database_ = open_database((folder_.path() / "limn.db").string());
  std::string logged_;
  Log log_{Log::Format::Text, [this](std::string_view line) { logged_ += line; }};
  std::unique_ptr<Auth> auth_;
};

TEST_F(AuthTest, NeedsNoKeyWhereThereAreNone) {
  settings_.keys = "";
  EXPECT_TRUE(auth().is_open());
  EXPECT_EQ(who({}), "local admin");
  EXPECT_EQ(who({{"authorization", "Bearer whatever"}}), "local admin");
}

TEST_F(AuthTest, TakesKeysAsBearerAndAsPassword) {
  const std::string key = add_key(settings_.keys, "anna", Role::Manage);
  add_key(settings_.keys, "bert", Role::Generate);
  EXPECT_EQ(who({{"authorization", "Bearer " + key}}), "anna manage");
  EXPECT_EQ(who({{"authorization", "bearer  " + key}}), "anna manage");
  EXPECT_EQ(who({{"authorization", "Basic " + encode_base64("whoever:" + key)}}), "anna manage");
  EXPECT_EQ(who({{"authorization", "Basic " + encode_base64(":" + key)}}), "anna manage");
  for (const std::string& wrong :
       {"Bearer " + key + "x", std::string("Bearer "), "Bearer " + key.substr(0, 40), std::string("Bearer"),
        "Basic " + key, "Basic " + encode_base64(key), std::string("Digest x")})
    EXPECT_EQ(who({{"authorization", wrong}}, wrong), "401") << wrong;
}

TEST_F(AuthTest, AnEmptyFieldIsNoKeyButNoFailureEither) {
  add_key(settings_.keys, "anna", Role::Manage);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(who({{"authorization", ""}}), "401");
  EXPECT_EQ(who({}), "401");
  EXPECT_EQ(logged_, "");
}

TEST_F(AuthTest, AsksBrowsersForNoPasswordInAWindow) {
  add_key(settings_.keys, "anna", Role::Manage);
  const auto challenges = [&](Pairs headers) {
    std::string out;
    try {
      auth().identify(request("GET", std::move(headers)));
    } catch (const HttpError& error) {
      for (const auto& [name, value] : error.headers()) out += name + ": " + value + "\n";
    }
    return out;
  };
  EXPECT_THAT(challenges({}), HasSubstr("WWW-Authenticate: Basic"));
  EXPECT_THAT(challenges({{"sec-fetch-site", "same-origin"}}),
              AllOf(HasSubstr("WWW-Authenticate: Bearer"), Not(HasSubstr("Basic"))));
}

TEST_F(AuthTest, SlowsDownWhoGuesses) {
  const std::string key = add_key(settings_.keys, "anna", Role::Manage);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(who({{"authorization", "Bearer guess"}}, "10.0.0.9"), "401");
  EXPECT_EQ(who({{"authorization", "Bearer guess"}}, "10.0.0.9"), "429");
  EXPECT_EQ(who({{"authorization", "Bearer " + key}}, "10.0.0.9"), "429");
  EXPECT_EQ(who({{"authorization", "Bearer " + key}}, "10.0.0.8"), "anna manage");
  EXPECT_THAT(logged_, AllOf(HasSubstr("wrong_key peer=10.0.0.9"), Not(HasSubstr("guess"))));
  HttpRequest again = request("GET", {{"authorization", "Bearer x"}});
  again.peer = "10.0.0.9";
  try {
    auth().identify(again);
    FAIL();
  } catch (const HttpError& error) {
    const int seconds = std::stoi(find_value(error.headers(), "Retry-After").value());
    EXPECT_TRUE(seconds > 0 && seconds <= 60) << seconds;
  }
}

TEST_F(AuthTest, NoticesKeysThatComeAndGo) {
  const std::string anna = add_key(settings_.keys, "anna", Role::Manage);
  EXPECT_EQ(who({{"authorization", "Bearer " + anna}}), "anna manage");
  const std::string bert = add_key(settings_.keys, "bert", Role::Generate);
  remove_key(settings_.keys, "anna");
  std::string now;
  for (int i = 0; i < 40 && now != "bert generate"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    now = who({{"authorization", "Bearer " + bert}}, std::to_string(i));
  }
  EXPECT_EQ(now, "bert generate");
  EXPECT_EQ(who({{"authorization", "Bearer " + anna}}), "401");
}

TEST_F(AuthTest, KeepsTheKeysWhenTheFileIsDamaged) {
  const std::string anna = add_key(settings_.keys, "anna", Role::Manage);
  EXPECT_EQ(who({{"authorization", "Bearer " + anna}}), "anna manage");
  std::ofstream(settings_.keys, std::ios::app) << "{\n";
  for (int i = 0; i < 40 && logged_.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(who({{"authorization", "Bearer " + anna}}), "anna manage");
  }
  EXPECT_THAT(logged_, HasSubstr("keys_not_read"));
}

TEST_F(AuthTest, GivesASessionForAKeyUntilItsEnd) {
  const std::string key = add_key(settings_.keys, "anna", Role::Manage);
  const HttpRequest page = request("POST", {});
  const std::string cookie = auth().begin_session(page, key);
  EXPECT_THAT(cookie, AllOf(StartsWith("limn="), HasSubstr("; HttpOnly"), HasSubstr("; SameSite=Strict"),
                            HasSubstr("; Path=/"), Not(HasSubstr("Secure")), Not(HasSubstr(key))));
  const std::string pair = cookie.substr(0, cookie.find(';'));
  EXPECT_EQ(who({{"cookie", "other=1; " + pair}}), "anna manage");
  EXPECT_EQ(who({{"cookie", pair + "x"}}), "401");
  auth_ = nullptr;  // and another start of the server
  EXPECT_EQ(who({{"cookie", pair}}), "anna manage");
  EXPECT_THAT(auth().end_session(request("DELETE", {{"cookie", pair}})), HasSubstr("Max-Age=0"));
  EXPECT_EQ(who({{"cookie", pair}}), "401");
}

TEST_F(AuthTest, ASessionEndsWithItsKey) {
  const std::string key = add_key(settings_.keys, "anna", Role::Manage);
  const std::string cookie = auth().begin_session(request("POST", {}), key);
  remove_key(settings_.keys, "anna");
  add_key(settings_.keys, "anna", Role::Manage);  // another one of the same name
  auth_ = nullptr;
  EXPECT_EQ(who({{"cookie", cookie.substr(0, cookie.find(';'))}}), "401");
}

TEST_F(AuthTest, KeepsSessionsToTheHostOverTls) {
  const std::string key = add_key(settings_.keys, "anna", Role::Manage);
  HttpRequest page = request("POST", {});
  page.secure = true;
  page.peer = "10.0.0.9";
  const std::string cookie = auth().begin_session(page, key);
  EXPECT_THAT(cookie, AllOf(StartsWith("__Host-limn="), HasSubstr("; Secure")));
  EXPECT_EQ(who({{"cookie", cookie.substr(0, cookie.find(';'))}}), "401");  // not over plain HTTP
  page.secure = false;
  EXPECT_EQ(refusal([&] { auth().begin_session(page, key); }), "403 key");
}

TEST_F(AuthTest, GivesNoSessionForAWrongKey) {
  add_key(settings_.keys, "anna", Role::Manage);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(refusal([&] { auth().begin_session(request("POST", {}), "guess"); }), "401 authorization");
  EXPECT_EQ(refusal([&] { auth().begin_session(request("POST", {}), "guess"); }), "429 authorization");
}

TEST_F(AuthTest, AnswersToItsNamesOnly) {
  settings_.keys = "";
  settings_.allow_host = {"Pictures.example.org", "2001:db8::1"};
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1:7860", "[::1]", "[::1]:7860",
                           "pictures.example.org", "[2001:db8::1]:443"})
    EXPECT_EQ(origin("GET", {{"host", host}}), "") << host;
  for (const char* host : {"evil.example.org", "localhost.evil.org", "pictures.example.org.evil.org", "",
                           "[::2]", "10.0.0.1", "[", ":80"})
    EXPECT_EQ(origin("GET", {{"host", host}}), "403 host") << host;
}

TEST_F(AuthTest, AnswersToTheAddressItListensOn) {
  settings_.host = "192.168.1.5";
  EXPECT_EQ(origin("GET", {{"host", "192.168.1.5:7860"}}), "");
  EXPECT_EQ(origin("GET", {{"host", "192.168.1.6:7860"}}), "403 host");
}

TEST_F(AuthTest, LetsOnlyItsOwnAndListedPagesIn) {
  settings_.allow_origin = {"https://Friend.example.org/"};
  EXPECT_EQ(origin("GET", {{"origin", "http://localhost:7860"}}), "");
  EXPECT_EQ(origin("POST", {{"origin", "http://LOCALHOST:7860"}}), "");
  EXPECT_EQ(origin("GET", {{"origin", "https://localhost:7860"}}, true), "");
  EXPECT_EQ(origin("POST", {{"origin", "https://friend.example.org"}, {"sec-fetch-site", "cross-site"}}), "");
  for (const char* other : {"null", "http://localhost", "http://localhost:7861", "https://localhost:7860",
                            "http://127.0.0.1:7860", "https://friend.example.org:444",
                            "https://evil.example.org", "https://friend.example.org.evil.org"})
    for (const char* method : {"GET", "POST", "OPTIONS"})
      EXPECT_EQ(origin(method, {{"origin", other}, {"authorization", "Bearer x"}}), "403 origin") << other;
}

TEST_F(AuthTest, LetsNoOtherSiteChangeAnything) {
  for (const char* site : {"cross-site", "same-site"}) {
    EXPECT_EQ(origin("POST", {{"sec-fetch-site", site}}), "403 sec-fetch-site");
    EXPECT_EQ(origin("DELETE", {{"sec-fetch-site", site}}), "403 sec-fetch-site");
    EXPECT_EQ(origin("GET", {{"sec-fetch-site", site}}), "");
    EXPECT_EQ(origin("POST", {{"sec-fetch-site", site}, {"authorization", "Bearer x"}}), "");
    // A browser adds a password that it remembers by itself.
    EXPECT_EQ(origin("POST", {{"sec-fetch-site", site}, {"authorization", "Basic eDp5"}}),
              "403 sec-fetch-site");
  }
  for (const char* site : {"same-origin", "none"}) EXPECT_EQ(origin("POST", {{"sec-fetch-site", site}}), "");
}

TEST_F(AuthTest, TakesNothingThatAnyPageCouldSend) {
  for (const char* type : {"text/plain", "Text/Plain;charset=utf-8", "application/x-www-form-urlencoded"}) {
    EXPECT_EQ(origin("POST", {{"content-type", type}}), "415 content-type");
    EXPECT_EQ(origin("POST", {{"content-type", type}, {"authorization", "Bearer x"}}), "");
    EXPECT_EQ(origin("GET", {{"content-type", type}}), "");
  }
  for (const char* type : {"application/json", "multipart/form-data; boundary=x", "image/png", ""})
    EXPECT_EQ(origin("POST", {{"content-type", type}}), "");
}

class ExposureTest : public ::testing::Test {
 protected:
  std::string problem(const std::function<void(Settings&)>& change) {
    Settings settings;
    change(settings);
    try {
      check_exposure(settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::Refused);
      return error.what();
    }
    return "";
  }
  TemporaryFolder folder_;
  std::string keys_ = [this] {
    const fs::path file = folder_.path() / "keys.jsonl";
    add_key(file, "anna", Role::Admin);
    return file.string();
  }();
};

TEST_F(ExposureTest, ThisMachineNeedsNothing) {
  for (const char* host : {"127.0.0.1", "::1", "localhost", "127.0.0.2"})
    EXPECT_EQ(problem([&](Settings& s) { s.host = host; }), "");
}

TEST_F(ExposureTest, OtherMachinesNeedKeysAndTls) {
  for (const char* host : {"0.0.0.0", "::", "192.168.1.5", "example.org"}) {
    EXPECT_THAT(problem([&](Settings& s) { s.host = host; }),
                AllOf(HasSubstr("there are no keys"), HasSubstr("limn keys add")));
    EXPECT_THAT(problem([&](Settings& s) { s.host = host, s.keys = folder_.path() / "none"; }),
                HasSubstr("there are no keys"));
    EXPECT_THAT(problem([&](Settings& s) { s.host = host, s.keys = keys_; }),
                AllOf(HasSubstr("--host " + std::string(host)), HasSubstr("--tls-certificate"),
                      HasSubstr("--behind-proxy")));
    EXPECT_EQ(problem([&](Settings& s) {
                s.host = host, s.keys = keys_, s.tls_certificate = "c", s.tls_key = "k";
              }),
              "");
    EXPECT_EQ(problem([&](Settings& s) { s.host = host, s.keys = keys_, s.behind_proxy = true; }), "");
  }
}

// Whoever comes through the proxy comes from loopback.
TEST_F(ExposureTest, AProxyNeedsKeysEvenOnThisMachine) {
  EXPECT_THAT(problem([&](Settings& s) { s.behind_proxy = true; }), HasSubstr("there are no keys"));
  EXPECT_EQ(problem([&](Settings& s) { s.behind_proxy = true, s.keys = keys_; }), "");
}

}  // namespace
}  // namespace limn::server
