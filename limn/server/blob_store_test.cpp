// SPDX-License-Identifier: Apache-2.0
#include "limn/server/blob_store.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>

#include "limn/base/file.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

class FolderBlobsTest : public ::testing::Test {
 protected:
  void write(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  size_t files() const {
    size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root_)) count += entry.is_regular_file();
    return count;
  }
  TemporaryFolder folder_;
  fs::path root_ = folder_.path() / "deep" / "blobs", place_ = root_ / "ba" / kAbc.substr(2);
  std::unique_ptr<BlobStore> store_ = open_blob_store(root_.string(), {});
};

TEST(BlobNames, AreLowerCaseDigests) {
  EXPECT_TRUE(is_blob_name(kAbc));
  for (const std::string& name : {std::string(), kAbc.substr(1), kAbc + "0", "B" + kAbc.substr(1),
                                  "/" + kAbc.substr(1), std::string(64, '.'), "../" + kAbc.substr(3)})
    EXPECT_FALSE(is_blob_name(name)) << name;
}

TEST_F(FolderBlobsTest, GivesBackWhatWasPut) {
  EXPECT_EQ(store_->put("abc"), kAbc);
  EXPECT_EQ(store_->put("abc"), kAbc);
  EXPECT_EQ(files(), 1u);
  EXPECT_TRUE(store_->has(kAbc));
  EXPECT_EQ(store_->get(kAbc), "abc");
  EXPECT_EQ(store_->file(kAbc), place_);
  const std::string bytes = std::string(3'000'000, 'x') + std::string("\0\xff", 2);
  EXPECT_EQ(store_->get(store_->put(bytes)), bytes);
  EXPECT_EQ(store_->get(store_->put("")), "");
  store_ = open_blob_store(root_.string(), {});
  EXPECT_EQ(store_->get(kAbc), "abc");
}

TEST_F(FolderBlobsTest, SaysWhatIsNotThere) {
  for (const std::string& name :
       {kAbc, std::string(), std::string("../../etc/passwd"), "../" + kAbc.substr(3)}) {
    EXPECT_FALSE(store_->has(name));
    EXPECT_EQ(code_of([&] { store_->get(name); }), ErrorCode::NotFound);
    EXPECT_EQ(code_of([&] { store_->file(name); }), ErrorCode::NotFound);
    store_->remove(name);
  }
  store_->put("abc");
  store_->remove(kAbc);
  EXPECT_FALSE(store_->has(kAbc));
}

TEST_F(FolderBlobsTest, SaysWhenBytesHaveChangedAndMendsThem) {
  for (const char* bytes : {"abd", "abcd", ""}) {
    store_->put("abc");
    write(place_, bytes);
    try {
      store_->get(kAbc);
      FAIL() << "expected an error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
      EXPECT_THAT(error.what(), Not(HasSubstr(folder_.path().string())));
    }
    store_->put("abc");
    EXPECT_EQ(store_->get(kAbc), "abc");
  }
}

TEST_F(FolderBlobsTest, CannotWriteWhereItMayNot) {
  fs::remove_all(root_ / "new");
  write(root_ / "new", "");
  try {
    store_->put("abc");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::Internal);
    EXPECT_THAT(error.what(), Not(HasSubstr(folder_.path().string())));
  }
  EXPECT_FALSE(store_->has(kAbc));
  EXPECT_EQ(code_of([&] { open_blob_store((root_ / "new" / "x").string(), {}); }),
            ErrorCode::InvalidArgument);
}

TEST_F(FolderBlobsTest, SweepsWhatWasLeftHalfWritten) {
  write(root_ / "new" / "old", "half");
  write(root_ / "new" / "fresh", "half");
  fs::last_write_time(root_ / "new" / "old", fs::file_time_type::clock::now() - std::chrono::hours(25));
  store_ = open_blob_store(root_.string(), {});
  EXPECT_FALSE(fs::exists(root_ / "new" / "old"));
  EXPECT_TRUE(fs::exists(root_ / "new" / "fresh")) << "another process may be writing it";
}

TEST_F(FolderBlobsTest, ManyMayPutTheSameAtOnce) {
  const auto other = open_blob_store(root_.string(), {});
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      for (int j = 0; j < 20; ++j) {
        const std::string bytes = "blob " + std::to_string(j);
        EXPECT_EQ((i % 2 ? store_ : other)->get(store_->put(bytes)), bytes);
      }
    });
  threads.clear();
  EXPECT_EQ(files(), 20u);
}

}  // namespace
}  // namespace limn::server
