// SPDX-License-Identifier: Apache-2.0
#include "limn/server/base64.h"

#include <gmock/gmock.h>

#include "limn/base/error.h"

namespace limn::server {
namespace {

struct Case {
  std::string bytes, text;
};
// RFC 4648 §10.
const Case kCases[] = {{"", ""},
                       {"f", "Zg=="},
                       {"fo", "Zm8="},
                       {"foo", "Zm9v"},
                       {"foob", "Zm9vYg=="},
                       {"fooba", "Zm9vYmE="},
                       {"foobar", "Zm9vYmFy"},
                       {"\xff\xfe\xff", "//7/"}};

TEST(Base64, ReadsAndWritesAsTheStandardSays) {
  for (const Case& one : kCases) {
    EXPECT_EQ(encode_base64(one.bytes), one.text);
    EXPECT_EQ(decode_base64(one.text, "image"), one.bytes);
    EXPECT_EQ(decode_base64(one.text.substr(0, one.text.find('=')), "image"), one.bytes);
  }
  EXPECT_EQ(encode_base64url("\xff\xfe\xff\xff"), "__7__w");
}

TEST(Base64, RefusesEveryOtherText) {
  for (const char* text : {"A", "AAAAA", "A===", "AA=", "=", "==", "AA=A", "A A=", "AA\nA", "Zg==\n",
                           "Z-==", "Zh==", "Zm9=", "\xc3\xa9\xc3\xa9"})
    EXPECT_THROW(decode_base64(text, "image"), Error) << text;
  try {
    decode_base64("AAAA-AAA", "image");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    EXPECT_STREQ(error.what(), "image: is not base64: there is no such digit at 4");
  }
}

TEST(Base64, KeepsLargeBodies) {
  std::string bytes(3'000'001, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 >> 3);
  EXPECT_EQ(decode_base64(encode_base64(bytes), "image"), bytes);
}

}  // namespace
}  // namespace limn::server
