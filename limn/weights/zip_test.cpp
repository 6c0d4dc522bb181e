// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/zip.h"

#include "limn/weights/bytes.h"
#include "limn/weights/testing.h"

namespace limn::weights {
namespace {

using namespace testing;

ZipEntries parse(const std::string& file) { return read_zip(bytes_of(file), "f.pt"); }
Error error_in(const std::string& file) {
  return error_of([&] { parse(file); });
}

std::string replaced(std::string file, size_t offset, const std::string& bytes) {
  return file.replace(offset, bytes.size(), bytes);
}

TEST(Zip, GivesStoredEntriesAsSpansOfTheFile) {
  const std::string file = zip_file({{"a/data.pkl", "first"}, {"a/data/0", ""}, {"b", "third"}});
  const ZipEntries entries = parse(file);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(as_text(entries.at("a/data.pkl")), "first");
  EXPECT_EQ(as_text(entries.at("b")), "third");
  EXPECT_TRUE(entries.at("a/data/0").empty());
}

TEST(Zip, ReadsThe64BitRecords) {
  const std::string name = "big", data = "12345678", all_in_64(4, '\xff');
  const std::string extra =
      le<uint16_t>(1) + le<uint16_t>(24) + le<uint64_t>(8) + le<uint64_t>(8) + le<uint64_t>(0);
  const std::string local = "PK\3\4" + std::string(14, '\0') + all_in_64 + all_in_64 + le<uint16_t>(3) +
                            le<uint16_t>(0) + name + data;
  const std::string central = "PK\1\2" + std::string(16, '\0') + all_in_64 + all_in_64 + le<uint16_t>(3) +
                              le<uint16_t>(28) + std::string(10, '\0') + all_in_64 + name + extra;
  const std::string end64 = "PK\6\6" + std::string(20, '\0') + le<uint64_t>(1) + le<uint64_t>(1) +
                            le<uint64_t>(central.size()) + le<uint64_t>(local.size());
  const std::string locator =
      "PK\6\7" + le<uint32_t>(0) + le<uint64_t>(local.size() + central.size()) + le<uint32_t>(1);
  const std::string end = "PK\5\6" + std::string(4, '\0') + std::string(12, '\xff') + le<uint16_t>(0);
  EXPECT_EQ(as_text(parse(local + central + end64 + locator + end).at("big")), data);
  EXPECT_EQ(error_in(local + central + end).code(), ErrorCode::BadFile);
}

TEST(Zip, CompressedEntriesAreUnsupportedAndNeverUnpacked) {
  // 42 bytes that say they are 4 GB.
  const Error error = error_in(zip_file({{"archive/data/0", std::string(42, 'x'), 8, 0xFFFFFFF0}}));
  EXPECT_EQ(error.code(), ErrorCode::Unsupported);
  EXPECT_STREQ(
      error.what(),
      "f.pt @86: zip entry 'archive/data/0' is compressed; torch.save stores entries as they are (load the "
      "file with torch and save it again)");
}

TEST(Zip, SizesThatLieAreRefused) {
  const Error beyond = error_in(zip_file({{"a", "1234", 0, 5000}}));
  EXPECT_EQ(beyond.code(), ErrorCode::BadFile);
  EXPECT_THAT(beyond.what(), HasSubstr("expected 5000 more bytes, found 4"));

  const Error overlapping = error_in(zip_file({{"a", "1234", 0, 20}, {"b", "5678"}}));
  EXPECT_EQ(overlapping.code(), ErrorCode::BadFile);
  EXPECT_THAT(overlapping.what(), HasSubstr("overlaps another"));

  const std::string file = zip_file({{"a", "1234"}});
  const Error differing = error_in(replaced(file, 22, le<uint32_t>(3)));
  EXPECT_THAT(differing.what(), HasSubstr("'a' says something else than the zip directory"));
  const Error unpacked = error_in(replaced(file, 31 + 4 + 24, le<uint32_t>(400)));
  EXPECT_THAT(unpacked.what(), HasSubstr("is stored, but says 4 bytes are 400"));
}

TEST(Zip, HeadersThatDisagreeAreRefused) {
  const std::string file = zip_file({{"a", "1234"}});
  EXPECT_THAT(error_in(replaced(file, 30, "b")).what(), HasSubstr("'a' says something else"));
  EXPECT_THAT(error_in(replaced(file, 0, "XX")).what(),
              HasSubstr("@0: expected the header of zip entry 'a'"));
  EXPECT_THAT(error_in(replaced(file, 35, "XX")).what(), HasSubstr("@35: expected a zip directory entry"));
}

TEST(Zip, EncryptedEntriesAreUnsupported) {
  const Error error = error_in(replaced(zip_file({{"a", "1234"}}), 35 + 8, le<uint16_t>(1)));
  EXPECT_EQ(error.code(), ErrorCode::Unsupported);
  EXPECT_THAT(error.what(), HasSubstr("'a' is encrypted"));
}

TEST(Zip, NamesAreUniqueAndNeverPaths) {
  const Error error = error_in(zip_file({{"a", "1"}, {"a", "2"}}));
  EXPECT_EQ(error.code(), ErrorCode::BadFile);
  EXPECT_THAT(error.what(), HasSubstr("'a' stands twice"));
  EXPECT_EQ(as_text(parse(zip_file({{"../../x", "1"}})).at("../../x")), "1");
}

TEST(Zip, DirectoryMustLieInsideTheFile) {
  const std::string file = zip_file({{"a", "1234"}});
  const size_t end = file.size() - 22;
  EXPECT_THAT(error_in(replaced(file, end + 16, le<uint32_t>(9000))).what(),
              HasSubstr("zip directory inside the file"));
  EXPECT_THAT(error_in(replaced(file, end + 12, le<uint32_t>(9000))).what(),
              HasSubstr("zip directory inside the file"));
  EXPECT_EQ(error_in(replaced(file, end + 8, le<uint16_t>(9) + le<uint16_t>(9))).code(), ErrorCode::BadFile);
  EXPECT_THAT(error_in(replaced(file, end + 4, le<uint16_t>(1))).what(), HasSubstr("in one part"));
  EXPECT_THAT(error_in(file.substr(0, end)).what(), HasSubstr("the file is cut short"));
  EXPECT_EQ(error_in("").code(), ErrorCode::BadFile);
}

}  // namespace
}  // namespace limn::weights
