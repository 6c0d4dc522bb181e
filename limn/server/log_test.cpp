// SPDX-License-Identifier: Apache-2.0
#include "limn/server/log.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>

namespace limn::server {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class LogTest : public ::testing::Test {
 protected:
  std::string text_;
  Log text_log_{Log::Format::Text, [this](std::string_view line) { text_ += line; }};
  Log json_log_{Log::Format::Json, [this](std::string_view line) { text_ += line; }};
};

TEST_F(LogTest, WritesTimeLevelEventAndFields) {
  text_log_.info(
      "request",
      {{"path", "/a b"}, {"status", 200}, {"good", true}, {"list", json::array{1, 2}}, {"empty", ""}});
  EXPECT_THAT(
      text_,
      MatchesRegex(
          "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z info request path=\"/a b\" status=200 good=true "
          "list=\\[1,2\\] empty=\"\"\n"));
}

TEST_F(LogTest, WritesJson) {
  json_log_.error("failed", {{"problem", "a\n\"b\""}});
  const json::object line = parse_json(text_, "line").as_object();
  EXPECT_EQ(line.at("level"), "error");
  EXPECT_EQ(line.at("event"), "failed");
  EXPECT_EQ(line.at("problem"), "a\n\"b\"");
  EXPECT_TRUE(line.contains("time"));
}

TEST_F(LogTest, KeepsALineALine) {
  text_log_.warning("x", {{"problem", "a\nb"}, {"name", "c=d"}, {"quoted", "\"e\""}});
  EXPECT_THAT(text_, EndsWith("warning x problem=\"a\\nb\" name=\"c=d\" quoted=\"\\\"e\\\"\"\n"));
}

TEST_F(LogTest, BlacksOutSecrets) {
  const std::string key = "limn_" + std::string(43, 'k');
  for (Log* log : {&text_log_, &json_log_}) {
    text_.clear();
    log->info("x", {{"prompt", "a secret wish"},
                    {"authorization", "Bearer abc"},
                    {"cookie", "limn=abc"},
                    {"problem", "key " + key + " is odd"}});
    EXPECT_THAT(text_, AllOf(Not(HasSubstr("wish")), Not(HasSubstr("abc")), Not(HasSubstr("kkk")),
                             HasSubstr("is odd")));
  }
  text_.clear();
  text_log_.info("x", {{"route", "limn_http_requests_total"}});
  EXPECT_THAT(text_, HasSubstr("limn_http_requests_total"));
}

TEST_F(LogTest, KeepsLinesOfThreadsApart) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) json_log_.info("x", {{"text", std::string(100, 'a')}});
    });
  for (std::thread& thread : threads) thread.join();
  size_t lines = 0;
  for (size_t from = 0; from < text_.size(); ++lines) {
    const size_t end = text_.find('\n', from);
    EXPECT_NO_THROW(parse_json(text_.substr(from, end - from), "line"));
    from = end + 1;
  }
  EXPECT_EQ(lines, 800u);
}

}  // namespace
}  // namespace limn::server
