// SPDX-License-Identifier: Apache-2.0
#include "limn/server/http.h"

#include <gmock/gmock.h>

#include "limn/base/error.h"
#include "limn/server/request_head.h"
#include "limn/server/response_head.h"

namespace limn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

TEST(PercentDecode, GivesTextOrNothing) {
  EXPECT_EQ(percent_decode("/a%20b/%C3%A9+"), "/a b/é+");
  EXPECT_EQ(percent_decode("a+b%2B", true), "a b+");
  for (const char* text :
       {"%", "%1", "%zz", "%+1", "%00", "%0a", "%7f", "%ff", "%c0%af", "%ed%a0%80", "%f4%90%80%80", "%e2%82"})
    EXPECT_EQ(percent_decode(text), std::nullopt) << text;
  EXPECT_EQ(percent_decode("two%0alines", true), "two\nlines");
  EXPECT_EQ(percent_decode("%00", true), std::nullopt);
}

TEST(ParseQuery, ReadsPairs) {
  const auto pairs = parse_query("a=1&b=x%26y=z&&c&a=2&=e");
  ASSERT_TRUE(pairs.has_value());
  EXPECT_THAT(*pairs,
              ElementsAre(Pair("a", "1"), Pair("b", "x&y=z"), Pair("c", ""), Pair("a", "2"), Pair("", "e")));
  EXPECT_EQ(find_value(*pairs, "a"), "1");
  EXPECT_EQ(find_value(*pairs, "z"), std::nullopt);
  EXPECT_EQ(parse_query("a=%"), std::nullopt);
  EXPECT_EQ(parse_query("")->size(), 0u);
}

TEST(MediaType, IsWithoutParametersInLowerCase) {
  EXPECT_EQ(media_type("Text/HTML ; charset=utf-8"), "text/html");
  EXPECT_EQ(media_type(""), "");
}

TEST(ParameterOf, ReadsTokensAndQuotedTexts) {
  EXPECT_EQ(parameter_of("a; B=c; d=\"e;\\\"f\\\\\"; g = h", "b"), "c");
  EXPECT_EQ(parameter_of("a; B=c; d=\"e;\\\"f\\\\\"; g = h", "d"), "e;\"f\\");
  EXPECT_EQ(parameter_of("a; B=c; d=\"e;\\\"f\\\\\"; g = h", "g"), "h");
  EXPECT_EQ(parameter_of("a; b", "b"), std::nullopt);
  EXPECT_EQ(parameter_of("b=c", "b"), std::nullopt);
  EXPECT_EQ(parameter_of("a; b=\"open", "b"), "\"open");
}

TEST(IsUtf8, FollowsTheStandard) {
  for (const char* good : {"", "abc", "é", "€", "\xf0\x9f\xa6\x8a", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good));
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf5\x80\x80\x80", "\xfe"})
    EXPECT_FALSE(is_utf8(bad));
}

TEST(IsLoopback, KnowsThisMachine) {
  EXPECT_TRUE(is_loopback("127.0.0.1") && is_loopback("127.9.9.9") && is_loopback("::1"));
  EXPECT_FALSE(is_loopback("10.0.0.1") || is_loopback("0.0.0.0") || is_loopback("::") ||
               is_loopback("128.0.0.1"));
}

TEST(ErrorResponse, HasTheNativeForm) {
  const HttpResponse response = error_response(404, {"not_found", "job", "there is none", "look again"});
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.body,
            R"({"error":{"code":"not_found","where":"job","message":"there is none","hint":"look again"}})");
}

TEST(Statuses, AllHaveAReason) {
  for (const Status& status : all_statuses())
    EXPECT_NE(reason_of(status.http_status), "") << status.http_status;
}

TEST(ResponseHead, HasNoLengthWhereThereIsNoBody) {
  HttpResponse response;
  response.status = 304;
  const std::string head = response_head(response, {0, false, true});
  EXPECT_THAT(head, Not(HasSubstr("\r\nContent-Length")));
  EXPECT_THAT(head, Not(HasSubstr("\r\nContent-Type")));
}

TEST(ReadForwarded, TrustsOnlyTheDeclared) {
  const auto peer = [](std::vector<std::string> proxies, Pairs headers) {
    HttpRequest request;
    request.peer = "10.0.0.1";
    request.headers = std::move(headers);
    read_forwarded(proxies, request);
    return request.peer + (request.proxied ? " proxied" : "");
  };
  EXPECT_EQ(peer({}, {{"x-forwarded-for", "1.2.3.4"}}), "10.0.0.1");
  EXPECT_EQ(peer({"10.0.0.2"}, {{"x-forwarded-for", "1.2.3.4"}}), "10.0.0.1");
  EXPECT_EQ(peer({"10.0.0.1"}, {{"x-forwarded-for", "1.2.3.4"}}), "1.2.3.4 proxied");
  EXPECT_EQ(peer({"10.0.0.1"}, {{"x-forwarded-for", "6.6.6.6, 1.2.3.4:99"}}), "1.2.3.4 proxied");
  EXPECT_EQ(peer({"10.0.0.1", "10.0.0.2"}, {{"x-forwarded-for", "1.2.3.4,10.0.0.2"}}), "1.2.3.4 proxied");
  EXPECT_EQ(peer({"10.0.0.1"}, {{"x-forwarded-for", "1.2.3.4, unknown"}}), "10.0.0.1 proxied");
  EXPECT_EQ(peer({"10.0.0.1"}, {{"x-forwarded-for", "[2001:db8::7]:443"}}), "2001:db8::7 proxied");
  EXPECT_EQ(peer({"10.0.0.1"}, {{"x-forwarded-for", ""}}), "10.0.0.1 proxied");
}

}  // namespace
}  // namespace limn::server
