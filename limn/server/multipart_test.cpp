// SPDX-License-Identifier: Apache-2.0
#include "limn/server/multipart.h"

#include <gmock/gmock.h>

#include "limn/base/error.h"

namespace limn::server {
namespace {

using ::testing::HasSubstr;

constexpr const char* kType = "multipart/form-data; boundary=x";

std::string part(const std::string& head, const std::string& body) {
  return "--x\r\n" + head + "\r\n\r\n" + body + "\r\n";
}
std::string field(const std::string& name, const std::string& body) {
  return part("Content-Disposition: form-data; name=\"" + name + "\"", body);
}

TEST(Multipart, ReadsFieldsAndFilesInTheirOrder) {
  const std::string picture("\x89PNG\r\n--\r\n\0x", 12);
  const auto parts =
      parse_multipart(field("prompt", "a\r\nlighthouse") +
                          part("content-type:  image/png\r\nX-Other: y\r\nContent-Disposition: form-data; "
                               "name=image[]; filename=\"a \\\"b\\\" C:\\c.png\"",
                               picture) +
                          field("empty", "") + "--x--\r\n",
                      kType);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].name, "prompt");
  EXPECT_EQ(parts[0].body, "a\r\nlighthouse");
  EXPECT_EQ(parts[0].filename, "");
  EXPECT_EQ(parts[1].name, "image[]");
  EXPECT_EQ(parts[1].filename, "a \"b\" C:\\c.png");
  EXPECT_EQ(parts[1].type, "image/png");
  EXPECT_EQ(parts[1].body, picture);
  EXPECT_EQ(parts[2].body, "");
}

TEST(Multipart, TakesQuotedBoundariesAPreambleAndNoParts) {
  EXPECT_EQ(parse_multipart("hello\r\n--a b\r\nContent-Disposition: form-data; name=n\r\n\r\nv\r\n--a b--",
                            "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"")
                .size(),
            1u);
  EXPECT_TRUE(parse_multipart("--x--", kType).empty());
}

TEST(Multipart, RefusesWhatIsDamagedOrTooMuch) {
  const auto problem = [](const std::string& body, const std::string& type = kType) -> std::string {
    try {
      parse_multipart(body, type);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
      EXPECT_EQ(error.where(), "body");
      return error.problem();
    }
    return "nothing";
  };
  const std::string good = field("a", "b") + "--x--";
  EXPECT_THAT(problem(good, "text/plain"), HasSubstr("content type"));
  EXPECT_THAT(problem(good, "multipart/form-data"), HasSubstr("boundary"));
  EXPECT_THAT(problem(good, "multipart/form-data; boundary=" + std::string(71, 'x')), HasSubstr("boundary"));
  EXPECT_THAT(problem(good, "multipart/form-data; boundary=y"), HasSubstr("does not occur"));
  EXPECT_THAT(problem(""), HasSubstr("does not occur"));
  EXPECT_THAT(problem(field("a", "b")), HasSubstr("ends inside"));
  EXPECT_THAT(problem("--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb"), HasSubstr("ends inside"));
  EXPECT_THAT(problem("--x\r\nContent-Disposition: form-data; name=a"), HasSubstr("head does not end"));
  EXPECT_THAT(problem("--xy\r\n\r\n--x--"), HasSubstr("goes on"));
  EXPECT_THAT(problem(part("A: b", "c") + "--x--"), HasSubstr("no name"));
  EXPECT_THAT(problem(part("Content-Disposition: form-data", "c") + "--x--"), HasSubstr("no name"));
  EXPECT_THAT(problem(part("Content-Disposition: attachment; name=a", "c") + "--x--"),
              HasSubstr("not form-data"));
  EXPECT_THAT(problem(part("no colon", "c") + "--x--"), HasSubstr("no colon"));
  EXPECT_THAT(problem(part("Content-Disposition: form-data; name=\"\xff\"", "c") + "--x--"),
              HasSubstr("UTF-8"));
  EXPECT_THAT(
      problem(part("Content-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=a", "c") +
              "--x--"),
      HasSubstr("encoded as base64"));
  EXPECT_THAT(problem(part("A: " + std::string(5000, 'a'), "c") + "--x--"), HasSubstr("head does not end"));
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "A: bcd\r\n";
  EXPECT_THAT(problem(part(lines + "B: c", "d") + "--x--"), HasSubstr("head does not end"));
  std::string many;
  for (int i = 0; i < 64; ++i) many += field("a", "b");
  EXPECT_EQ(problem(many + "--x--"), "nothing");
  EXPECT_THAT(problem(many + field("a", "b") + "--x--"), HasSubstr("more than 64 parts"));
}

}  // namespace
}  // namespace limn::server
