// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/datasets_testing.h"
#include "limn/datasets/sources.h"

namespace limn::datasets {
namespace {

TEST(Tar, ReadsWhatPythonWrites) {
  for (const char* kind : {"ustar", "gnu", "pax"}) {
    const auto file = MappedFile::open(kFolder / (std::string(kind) + ".tar"));
    const auto members = read_tar(file->bytes(), kind);
    ASSERT_EQ(members.size(), std::string(kind) == "ustar" ? 3u : 4u) << kind;
    EXPECT_EQ(members[0].name, "folder/first.png");
    EXPECT_EQ(members[0].bytes.size(), 7u);
    EXPECT_EQ(members.back().name, "third.empty");
    if (members.size() == 4) EXPECT_THAT(members[2].name, HasSubstr("long name beyond what ustar holds"));
  }
}

TEST(Tar, RefusesDamageAtEveryByteOrReadsIt) {
  const std::string whole = read_file(kFolder / "pax.tar", 1 << 20);
  for (size_t length = 1; length < 4096; length += 37) {
    const std::string cut = whole.substr(0, length);
    try {
      read_tar(std::as_bytes(std::span(cut)), "cut.tar");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
    }
  }
  for (size_t at = 0; at < 3000; at += 7) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x5a);
    try {
      read_tar(std::as_bytes(std::span(changed)), "changed.tar");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
    }
  }
}

}  // namespace
}  // namespace limn::datasets
