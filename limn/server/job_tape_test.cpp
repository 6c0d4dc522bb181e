// SPDX-License-Identifier: Apache-2.0
#include "limn/server/job_tape.h"

#include <fstream>

#include <gtest/gtest.h>

#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

class JobTapes : public testing::Test {
 protected:
  /// Answers "0", "1", … of calls, as blobs of so many answers.
  void save(JobTape& tape, int64_t first, std::initializer_list<int64_t> blobs) {
    int64_t call = first;
    for (const int64_t answers : blobs) {
      for (int64_t i = 0; i < answers; ++i, ++call) tape.write(call, "answer " + std::to_string(call));
      const JobTape::Unsaved unsaved = tape.unsaved();
      job_.checkpoint.push_back(blobs_->put(unsaved.bytes));
      tape.drop(unsaved);
    }
  }
  /// How many answers a new tape of the job has.
  int64_t length() const {
    JobTape tape(*blobs_, job_);
    int64_t call = 0;
    while (const auto answer = tape.read(call)) EXPECT_EQ(*answer, "answer " + std::to_string(call++));
    EXPECT_FALSE(tape.plays());
    return call;
  }
  void damage(size_t blob) { std::ofstream(blobs_->file(job_.checkpoint[blob]), std::ios::app) << "x"; }

  TemporaryFolder folder_;
  std::unique_ptr<BlobStore> blobs_ =
      open_blob_store((folder_.path() / "blobs").string(), folder_.path() / "cache");
  Job job_{.id = "01", .attempt = 1};
};

TEST_F(JobTapes, GiveBackWhatWasSaved) {
  EXPECT_EQ(length(), 0);
  JobTape tape(*blobs_, job_);
  EXPECT_FALSE(tape.plays());
  save(tape, 0, {3, 1, 2});
  EXPECT_EQ(tape.unsaved().answers, 0u);
  EXPECT_EQ(length(), 6);
}

TEST_F(JobTapes, GoOnWhereTheCheckpointEnds) {
  JobTape first(*blobs_, job_);
  save(first, 0, {3});
  job_.attempt = 2;
  JobTape second(*blobs_, job_);
  EXPECT_TRUE(second.plays());
  for (int64_t call = 0; call < 3; ++call) EXPECT_TRUE(second.read(call));
  EXPECT_TRUE(second.plays());
  EXPECT_FALSE(second.read(3));
  EXPECT_FALSE(second.plays());
  save(second, 3, {2});
  EXPECT_EQ(length(), 5);
}

TEST_F(JobTapes, EndWhereABlobIsLostAndAreMadeWholeByTheNextRun) {
  JobTape first(*blobs_, job_);
  save(first, 0, {2, 2, 2});
  damage(1);
  EXPECT_EQ(length(), 2);
  blobs_->remove(job_.checkpoint[1]);
  EXPECT_EQ(length(), 2);
  job_.attempt = 2;
  JobTape second(*blobs_, job_);
  save(second, 2, {1, 4});
  EXPECT_EQ(length(), 7);
}

TEST_F(JobTapes, TakeNoBlobOfAnotherJob) {
  JobTape tape(*blobs_, job_);
  save(tape, 0, {2});
  job_.id = "02";
  EXPECT_EQ(length(), 0);
  job_.checkpoint = {blobs_->put("no checkpoint"), blobs_->put(""), blobs_->put("{}\n"),
                     std::string(64, '0')};
  EXPECT_EQ(length(), 0);
}

TEST_F(JobTapes, StartOverOnceTheyAreCleared) {
  JobTape tape(*blobs_, job_);
  save(tape, 0, {2});
  tape.write(2, "of another type");
  const JobTape::Unsaved late = tape.unsaved();
  tape.clear();
  tape.drop(late);  // was being saved meanwhile
  tape.write(0, "answer 0");
  const JobTape::Unsaved unsaved = tape.unsaved();
  EXPECT_TRUE(unsaved.starts_over);
  EXPECT_EQ(unsaved.answers, 1u);
  tape.drop(unsaved);
  tape.write(1, "answer 1");
  EXPECT_FALSE(tape.unsaved().starts_over);
  EXPECT_EQ(tape.unsaved().answers, 1u);
}

}  // namespace
}  // namespace limn::server
