// SPDX-License-Identifier: Apache-2.0
#include "limn/server/zip.h"

#include <gtest/gtest.h>

namespace limn::server {
namespace {

uint32_t u32_at(const std::string& bytes, size_t at) {
  uint32_t out = 0;
  for (size_t i = 0; i < 4; ++i)
    out |= static_cast<uint32_t>(static_cast<unsigned char>(bytes.at(at + i))) << (8 * i);
  return out;
}

TEST(ZipWriter, WritesFilesAndTheirDirectory) {
  std::string out;
  ZipWriter zip([&out](std::string_view bytes) { return out += bytes, true; });
  using namespace std::chrono;
  const Time at = sys_days(2030y / 5 / 6) + 7h + 8min + 10s;
  ASSERT_TRUE(zip.add("a.txt", "123456789", at));
  ASSERT_TRUE(zip.add("b/c.txt", "", at));
  ASSERT_TRUE(zip.finish());

  EXPECT_EQ(out.substr(0, 4), "PK\3\4");
  EXPECT_EQ(u32_at(out, 14), 0xCBF43926u);  // the check value of CRC-32
  EXPECT_EQ(u32_at(out, 18), 9u);
  EXPECT_EQ(u32_at(out, 10), ((2030u - 1980) << 9 | 5 << 5 | 6) << 16 | (7u << 11 | 8 << 5 | 5));
  EXPECT_EQ(out.substr(30, 14), "a.txt123456789");
  const size_t end = out.size() - 22;
  EXPECT_EQ(out.substr(end, 4), "PK\5\6");
  EXPECT_EQ(out[end + 10], 2);
  const uint32_t directory = u32_at(out, end + 16);
  EXPECT_EQ(out.substr(directory, 4), "PK\1\2");
  EXPECT_EQ(directory + u32_at(out, end + 12), end);
  EXPECT_EQ(out.size(), 9 + 22 + ZipWriter::overhead("a.txt") + ZipWriter::overhead("b/c.txt"));
}

TEST(ZipWriter, TellsThatNobodyWantsMore) {
  ZipWriter zip([](std::string_view) { return false; });
  EXPECT_FALSE(zip.add("a", "b", {}));
}

}  // namespace
}  // namespace limn::server
