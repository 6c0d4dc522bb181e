// SPDX-License-Identifier: Apache-2.0
#include "limn/base/file.h"

#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "limn/base/error.h"

namespace limn {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text_of(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

class FileTest : public ::testing::Test {
 protected:
  FileTest() {
    std::string name = (fs::temp_directory_path() / "limn_file_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~FileTest() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, std::string_view content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }
  size_t files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {})); }

  template <typename Action>
  void expect_error(ErrorCode code, Action&& action) {
    try {
      action();
      ADD_FAILURE() << "expected an error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.where(), HasSubstr(folder_.string()));
    }
  }

  fs::path folder_;
};

TEST_F(FileTest, MapsAFileForAsLongAsTheObjectLives) {
  auto file = MappedFile::open(write("a", std::string("one\0two", 7)));
  fs::remove(folder_ / "a");
  EXPECT_EQ(text_of(file->bytes()), std::string("one\0two", 7));
  EXPECT_EQ(file->path(), folder_ / "a");
  EXPECT_TRUE(MappedFile::open(write("empty", ""))->bytes().empty());
}

TEST_F(FileTest, MissingFilesAndOddOnesAreToldApart) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  write("plain", "x");
  for (const auto& open :
       {std::function<void(fs::path)>([](const fs::path& path) { MappedFile::open(path); }),
        std::function<void(fs::path)>([](const fs::path& path) { read_file(path, 100); })}) {
    expect_error(ErrorCode::NotFound, [&] { open(folder_ / "none"); });
    expect_error(ErrorCode::NotFound, [&] { open(folder_ / "plain" / "below"); });
    expect_error(ErrorCode::BadFile, [&] { open(folder_); });
    expect_error(ErrorCode::BadFile, [&] { open(folder_ / "pipe"); });
  }
}

TEST_F(FileTest, ReadsAWholeFileUpToTheLimit) {
  const std::string content(100'000, 'x');
  write("a", content);
  EXPECT_EQ(read_file(folder_ / "a", 100'000), content);
  expect_error(ErrorCode::BadFile, [&] { read_file(folder_ / "a", 99'999); });
}

TEST_F(FileTest, WritesAWholeFileInAFolderItMakes) {
  const fs::path path = folder_ / "new" / "deep" / "a";
  write_file_atomically(path, bytes_of("content"));
  EXPECT_EQ(read_file(path, 100), "content");
  EXPECT_EQ(fs::status(path).permissions() & fs::perms::group_read, fs::perms::group_read);
  write_file_atomically(path, bytes_of("other"));
  EXPECT_EQ(read_file(path, 100), "other");
}

TEST_F(FileTest, LeavesTheOldFileWhenWritingFails) {
  const fs::path path = write("a", "old");
  EXPECT_THROW(write_file_atomically(path,
                                     [](std::ostream& out) {
                                       out << "half";
                                       throw std::runtime_error("stop");
                                     }),
               std::runtime_error);
  EXPECT_EQ(read_file(path, 100), "old");
  expect_error(ErrorCode::InvalidArgument, [&] {
    write_file_atomically(path, [](std::ostream& out) { out.setstate(std::ios::badbit); });
  });
  EXPECT_EQ(read_file(path, 100), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, CannotWriteOverAFolderNorBelowAFile) {
  write("a", "x");
  expect_error(ErrorCode::InvalidArgument, [&] { write_file_atomically(folder_, bytes_of("x")); });
  expect_error(ErrorCode::InvalidArgument,
               [&] { write_file_atomically(folder_ / "a" / "b", bytes_of("x")); });
}

// Digests of FIPS 180-4's examples.
TEST_F(FileTest, HashesAsTheStandardSays) {
  EXPECT_EQ(sha256(bytes_of("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of_file(write("m", std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(DataFolder, GoesByTheEnvironmentFirst) {
  ::setenv("LIMN_DATA_DIR", "/somewhere/else", 1);
  EXPECT_EQ(data_folder(), "/somewhere/else");
  ::unsetenv("LIMN_DATA_DIR");
  EXPECT_EQ(data_folder(), fs::path(LIMN_SOURCE_DIR) / "data");
}

}  // namespace
}  // namespace limn
