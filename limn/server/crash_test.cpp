// SPDX-License-Identifier: Apache-2.0
// Kills a process in the middle of its work with the queue, again and again, and looks at what is left.
#include <csignal>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limn/server/blob_store.h"
#include "limn/server/job_store.h"
#include "limn/server/picture_store.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;

constexpr int kKills = 8;
constexpr int kTold = 3;  // the child's end of the pipe on which it tells what was acknowledged
const QueueLimits kLimits{.waiting = 1'000'000, .waiting_of_owner = 1'000'000, .strikes = 1000};

void tell(const std::string& line) {
  if (::write(kTold, (line + "\n").c_str(), line.size() + 1) < 0) std::abort();
}

/// What the child is: the server and its worker.
TEST(CrashChild, DISABLED_WorksUntilItIsKilled) {
  EventBus bus;
  const auto database = open_database(std::getenv("LIMN_CRASH_DATABASE"));
  const auto blobs = open_blob_store(std::getenv("LIMN_CRASH_BLOBS"), {});
  JobStore store(*database, bus, kLimits);
  store.recover(/*all=*/true);
  for (;;) {
    for (int i = 0; i < 2; ++i) tell("accepted " + store.submit({.request = {{"prompt", "a"}}}).id);
    const Job job = store.claim("w", 1h).value();
    for (size_t step = job.checkpoint.size(); step < 2; ++step) {
      const std::string blob = blobs->put("step " + std::to_string(step) + " of " + job.id);
      if (!store.save(job, std::vector{blob}).held) std::abort();
      tell("saved " + job.id);
    }
    const std::string id = blobs->put("picture of " + job.id);
    if (!store.finish(job, std::vector<NewPicture>{{.id = id, .format = "png"}}, {})) std::abort();
    tell("done " + job.id);
  }
}

class CrashTest : public EveryDatabase {
 protected:
  CrashTest() { database_.reset(); }  // the child alone has it

  std::string blobs() const { return (folder_.path() / "blobs").string(); }

  /// Runs the child until it has told so many bytes, waits and kills it. @return the lines it has told
  std::vector<std::string> run_and_kill(size_t least, std::chrono::microseconds then) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], kTold);
      ::fcntl(kTold, F_SETFD, 0);  // it stays open
      ::setenv("LIMN_CRASH_DATABASE", where_.c_str(), 1);
      ::setenv("LIMN_CRASH_BLOBS", blobs().c_str(), 1);
      ::unsetenv("GTEST_OUTPUT");
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      ::execl("/proc/self/exe", "server_test", "--gtest_filter=CrashChild.*",
              "--gtest_also_run_disabled_tests", nullptr);
      ::_exit(1);
    }
    ::close(ends[1]);
    std::string told;
    char bytes[4096];
    const auto read_more = [&] {
      const ssize_t size = ::read(ends[0], bytes, sizeof bytes);
      if (size > 0) told.append(bytes, static_cast<size_t>(size));
      return size > 0;
    };
    while (told.size() < least)
      if (!read_more()) break;
    std::this_thread::sleep_for(then);
    ::kill(child, SIGKILL);
    while (read_more()) {
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "the child ended by itself: " << status;
    std::vector<std::string> lines;
    std::istringstream in(told);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
};
INSTANTIATE_TEST_SUITE_P(Dialect, CrashTest, every_dialect(), name_of_dialect);

TEST_P(CrashTest, NothingAcknowledgedIsLostAndNothingIsDoneTwice) {
  std::mt19937 random(1);
  std::map<std::string, std::map<std::string, int>> told;  // what happened to each job, how often
  for (int i = 0; i < kKills; ++i)
    for (const std::string& line : run_and_kill(random() % 1500, std::chrono::microseconds(random() % 5000)))
      ++told[line.substr(line.find(' ') + 1)][line.substr(0, line.find(' '))];

  EventBus bus;
  database_ = open_database(where_);
  JobStore store(*database_, bus, kLimits);
  PictureStore pictures(*database_, bus);
  const auto blob_store = open_blob_store(blobs(), {});
  int64_t accepted = 0;
  for (const auto& [id, events] : told) {
    accepted += events.contains("accepted");
    const std::optional<Job> job = store.find(id);
    ASSERT_TRUE(job) << id << " was acknowledged and is lost";
    const auto count = [&](const char* event) { return events.contains(event) ? events.at(event) : 0; };
    EXPECT_LE(count("done"), 1) << id;
    EXPECT_TRUE(job->state == JobState::Done || count("done") == 0) << id;
    EXPECT_TRUE(job->state == JobState::Done || job->checkpoint.size() >= static_cast<size_t>(count("saved")))
        << id;
    for (const std::string& blob : job->checkpoint) EXPECT_NO_THROW(blob_store->get(blob));
    if (job->state != JobState::Done) continue;
    ASSERT_EQ(job->pictures.size(), 1u);
    EXPECT_EQ(blob_store->get(job->pictures[0]), "picture of " + id);
  }
  const JobStore::Counts counts = store.counts();
  const int64_t all = counts.queued + counts.running + counts.done;
  EXPECT_GE(all, accepted);
  EXPECT_LE(all, accepted + kKills) << "more than one a kill was made without an answer";
  EXPECT_GT(counts.done, kKills);
  EXPECT_EQ(pictures.search({}).total, counts.done);
  EXPECT_LE(counts.running, 1);
  EXPECT_EQ(store.recover(/*all=*/true), counts.running);
  int64_t rest = 0;
  for (; const auto job = store.claim("w", 1min); ++rest) EXPECT_TRUE(store.finish(*job, {}, {}));
  EXPECT_EQ(rest, counts.queued + counts.running);
  EXPECT_EQ(store.counts().done, all);
}

}  // namespace
}  // namespace limn::server
