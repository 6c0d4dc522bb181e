// SPDX-License-Identifier: Apache-2.0
// The half of JobStore that workers use.
#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include <gmock/gmock.h>

#include "limn/server/job_store.h"
#include "limn/server/picture_store.h"
#include "limn/server/sql_values.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Blobs = std::vector<std::string>;

const std::vector<NewPicture> kPictures = {
    {"picture 1", "png", 8, 9, 10, "thumbnail 1", {{"prompt", "a fox"}}},
    {"picture 2", "png", 8, 9, 10, "thumbnail 2", {{"prompt", "a fox"}}}};

class JobClaimsTest : public EveryDatabase {
 protected:
  Job submit(const std::string& owner = "o") {
    return store_.submit({.owner = owner, .request = {{"prompt", "a"}}, .warnings = {"first"}});
  }
  Job claim(std::chrono::milliseconds lease = 1min) { return store_.claim("w", lease).value(); }
  Job claimed() {
    submit();
    return claim();
  }
  Job find(const Job& job) { return store_.find(job.id).value(); }
  /// Lets the leases of all running jobs be over.
  void expire() {
    database_->transact([](Database::Transaction& transaction) {
      transaction.run("UPDATE jobs SET lease_until = limn_now() - 1 WHERE state = 'running'");
    });
  }

  EventBus bus_;
  JobStore store_{*database_, bus_};
};
INSTANTIATE_TEST_SUITE_P(Dialect, JobClaimsTest, every_dialect(), name_of_dialect);

TEST_P(JobClaimsTest, AClaimIsALease) {
  const Job waiting = submit();
  const Job job = store_.claim("worker 1", 30s).value();
  EXPECT_EQ(job.id, waiting.id);
  EXPECT_EQ(job.state, JobState::Running);
  EXPECT_EQ(job.attempt, 1);
  EXPECT_EQ(job.worker, "worker 1");
  EXPECT_EQ(job.request, waiting.request);
  ASSERT_TRUE(job.lease_until && job.started);
  EXPECT_NEAR(static_cast<double>((*job.lease_until - *job.started).count()), 30'000, 1000);
  EXPECT_EQ(store_.claim("worker 2", 30s), std::nullopt);
}

TEST_P(JobClaimsTest, EightThreadsClaimEachJobOnce) {
  for (int i = 0; i < 200; ++i) submit(std::string(1, static_cast<char>('a' + i % 3)));
  std::vector<Blobs> claimed(8);
  {
    std::vector<std::jthread> threads;
    for (Blobs& ids : claimed)
      threads.emplace_back([&] {
        while (const auto job = store_.claim("w", 1min)) {
          ids.push_back(job->id);
          if (ids.size() % 2) {
            EXPECT_TRUE(store_.finish(*job, {}, {}));
          }
        }
      });
  }
  std::set<std::string> all;
  size_t sum = 0;
  for (const Blobs& ids : claimed) {
    all.insert(ids.begin(), ids.end());
    sum += ids.size();
  }
  EXPECT_EQ(all.size(), 200u);
  EXPECT_EQ(sum, 200u);
  EXPECT_EQ(store_.counts().queued, 0);
}

TEST_P(JobClaimsTest, ClaimsAtOnceAreFairToo) {
  for (const char* owner : {"a", "b", "c", "d"})
    for (int i = 0; i < 4; ++i) submit(owner);
  std::mutex lock;
  std::map<std::string, int> served;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        const std::string owner = claim().owner;
        const std::lock_guard guard(lock);
        ++served[owner];
      });
  }
  EXPECT_EQ(served.size(), 4u);
  for (const auto& [owner, claims] : served) EXPECT_GE(claims, is_sqlite() ? 2 : 1) << owner;
}

TEST_P(JobClaimsTest, ReportsProgressAndProlongsTheLease) {
  const Job job = claimed();
  const Standing standing = store_.report(job, {"denoise", 3, 20, 1.5}, 10min);
  EXPECT_TRUE(standing.held);
  EXPECT_FALSE(standing.cancel_requested || standing.paused);
  EXPECT_EQ(find(job).progress, (JobProgress{"denoise", 3, 20, 1.5}));
  EXPECT_GT(*find(job).lease_until - *job.lease_until, 8min);
  store_.set_paused(job.id, true);
  EXPECT_TRUE(store_.report(job, {}, 1min).paused);
  store_.set_paused(job.id, false);
  EXPECT_FALSE(store_.save(job, Blobs{"x"}).paused);
}

TEST_P(JobClaimsTest, FinishHandsInPicturesAndEndsTheJob) {
  const Job job = claimed();
  EXPECT_TRUE(store_.finish(job, kPictures, Blobs{"second", "first"}));
  const Job done = find(job);
  EXPECT_EQ(done.state, JobState::Done);
  EXPECT_THAT(done.pictures, ElementsAre("picture 1", "picture 2"));
  EXPECT_THAT(done.warnings, ElementsAre("first", "second"));
  EXPECT_TRUE(done.ended);
  EXPECT_FALSE(done.lease_until);
  EXPECT_EQ(PictureStore(*database_, bus_).search({}).total, 2);
}

TEST_P(JobClaimsTest, FinishIsBothOrNeither) {
  const Job job = claimed();
  std::vector<NewPicture> bad = kPictures;
  bad[1].record = {{"prompt", "\xff"}};  // which the database refuses
  EXPECT_EQ(code_of([&] { store_.finish(job, bad, {}); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(find(job).state, JobState::Running);
  EXPECT_EQ(PictureStore(*database_, bus_).search({}).total, 0);
  EXPECT_TRUE(store_.finish(job, kPictures, {}));
}

TEST_P(JobClaimsTest, FailureKeepsTheReason) {
  const Job job = claimed();
  EXPECT_TRUE(store_.fail(job, {"out_of_memory", "width", "does not fit", "make it smaller"}));
  const Job failed = find(job);
  EXPECT_EQ(failed.state, JobState::Failed);
  EXPECT_EQ(failed.error.code, "out_of_memory");
  EXPECT_EQ(failed.error.where, "width");
  EXPECT_EQ(failed.error.message, "does not fit");
  EXPECT_EQ(failed.error.hint, "make it smaller");
}

TEST_P(JobClaimsTest, AStaleAttemptChangesNothing) {
  const Job stale = claimed();
  store_.save(stale, Blobs{"blob 1"});
  expire();
  ASSERT_EQ(store_.recover(), 1);
  const auto changes_nothing = [&](JobState state) {
    const Job before = find(stale);
    EXPECT_EQ(before.state, state);
    EXPECT_FALSE(store_.report(stale, {"denoise", 9, 9}, 1h).held);
    EXPECT_FALSE(store_.save(stale, Blobs{"stale"}).held);
    EXPECT_FALSE(store_.drop_checkpoint(stale).held);
    EXPECT_FALSE(store_.finish(stale, kPictures, Blobs{"stale"}));
    EXPECT_FALSE(store_.fail(stale, {"internal", "", "stale", ""}));
    EXPECT_FALSE(store_.end_cancelled(stale));
    EXPECT_FALSE(store_.put_back(stale));
    store_.set_preview(stale, "stale");
    const Job after = find(stale);
    EXPECT_EQ(after.state, state);
    EXPECT_EQ(after.attempt, before.attempt);
    EXPECT_EQ(after.lease_until, before.lease_until);
    EXPECT_EQ(after.progress, before.progress);
    EXPECT_EQ(after.checkpoint, before.checkpoint);
    EXPECT_EQ(after.warnings, before.warnings);
    EXPECT_EQ(after.error.message, "");
    EXPECT_EQ(after.strikes, before.strikes);
    EXPECT_EQ(after.ended, before.ended);
    EXPECT_EQ(store_.preview(stale.id), std::nullopt);
    EXPECT_EQ(PictureStore(*database_, bus_).search({}).total, 0);
  };
  changes_nothing(JobState::Queued);
  const Job job = claim();
  EXPECT_EQ(job.attempt, 2);
  changes_nothing(JobState::Running);
  ASSERT_TRUE(store_.finish(job, {}, {}));
  changes_nothing(JobState::Done);
}

TEST_P(JobClaimsTest, ALostJobIsGivenBackWithItsCheckpoint) {
  const Job job = claimed();
  store_.report(job, {"denoise", 4, 20}, 1min);
  store_.save(job, Blobs{"b2", "b1"});
  store_.save(job, Blobs{"b3"});
  store_.save(job, Blobs{});
  EXPECT_EQ(store_.recover(), 0) << "the lease is not over";
  expire();
  EXPECT_TRUE(store_.report(job, {"denoise", 5, 20}, 1min).held) << "late, but nobody has taken it";
  EXPECT_EQ(store_.recover(), 0);
  expire();
  EXPECT_EQ(store_.recover(), 1);
  EXPECT_EQ(store_.recover(), 0);
  const Job waiting = find(job);
  EXPECT_EQ(waiting.state, JobState::Queued);
  EXPECT_EQ(waiting.strikes, 1);
  EXPECT_FALSE(waiting.lease_until);
  EXPECT_EQ(waiting.progress.done, 5);
  const Job again = claim();
  EXPECT_EQ(again.attempt, 2);
  EXPECT_EQ(again.started, job.started);
  EXPECT_EQ(again.progress, JobProgress());
  EXPECT_THAT(again.checkpoint, ElementsAre("b2", "b1", "b3"));
  store_.save(again, Blobs{"b4"});
  EXPECT_THAT(find(job).checkpoint, ElementsAre("b2", "b1", "b3", "b4"));
  EXPECT_EQ(find(job).strikes, 0);
}

TEST_P(JobClaimsTest, RecoversAllAtStart) {
  submit();
  submit();
  claim(1h);
  claim(1h);
  EXPECT_EQ(store_.recover(), 0);
  EXPECT_EQ(store_.recover(/*all=*/true), 2);
  EXPECT_EQ(store_.counts().queued, 2);
}

TEST_P(JobClaimsTest, AJobThatLosesItsWorkerTooOftenHasFailed) {
  JobStore store(*database_, bus_, {.strikes = 3});
  const Job job = submit();
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(find(job).state, JobState::Queued);
    if (i == 2) {  // it gets further, which clears the count
      store.save(claim(), Blobs{"b"});
      store.recover(true);
      EXPECT_EQ(find(job).strikes, 1);
    }
    store.save(claim(), {});
    store.recover(true);
  }
  const Job failed = find(job);
  EXPECT_EQ(failed.state, JobState::Failed);
  EXPECT_EQ(failed.error.code, "internal");
  EXPECT_THAT(failed.error.message, HasSubstr("3 times in a row"));
  EXPECT_TRUE(failed.ended);
  EXPECT_THAT(failed.checkpoint, IsEmpty());
}

TEST_P(JobClaimsTest, ALostJobThatWasToBeCancelledIs) {
  const Job job = claimed();
  store_.cancel(job.id);
  store_.recover(true);
  EXPECT_EQ(find(job).state, JobState::Cancelled);
  EXPECT_TRUE(find(job).ended);
}

TEST_P(JobClaimsTest, AJobThatIsPutBackKeepsPlaceCheckpointAndStrikes) {
  const Job job = submit();
  submit();
  claim();
  store_.recover(true);
  const Job again = claim();
  ASSERT_EQ(again.id, job.id);
  store_.save(again, Blobs{"b"});
  store_.set_paused(job.id, true);
  EXPECT_TRUE(store_.put_back(again));
  EXPECT_FALSE(store_.put_back(again));
  EXPECT_TRUE(find(job).paused);
  EXPECT_NE(claim().id, job.id);
  store_.set_paused(job.id, false);
  submit();
  const Job third = claim();
  EXPECT_EQ(third.id, job.id) << "it stands before those that came later";
  EXPECT_EQ(third.attempt, 3);
  EXPECT_EQ(third.strikes, 0);
  EXPECT_THAT(third.checkpoint, ElementsAre("b"));
  store_.cancel(job.id);
  EXPECT_TRUE(store_.put_back(third));
  EXPECT_EQ(find(job).state, JobState::Cancelled);
}

TEST_P(JobClaimsTest, StartsAnewWithoutItsCheckpoint) {
  const Job job = claimed();
  store_.save(job, Blobs{"b1", "b2"});
  EXPECT_TRUE(store_.drop_checkpoint(job).held);
  store_.save(job, Blobs{"b3"});
  EXPECT_THAT(find(job).checkpoint, ElementsAre("b3"));
}

TEST_P(JobClaimsTest, KeepsTheLatestPreviewUntilTheEnd) {
  const Job job = claimed();
  EXPECT_EQ(store_.preview(job.id), std::nullopt);
  store_.set_preview(job, "one");
  store_.set_preview(job, std::string("\xff\xd8\0", 3));
  EXPECT_EQ(store_.preview(job.id), std::string("\xff\xd8\0", 3));
  EXPECT_EQ(code_of([&] { store_.set_preview(job, std::string(32 * 1024 + 1, 'x')); }),
            ErrorCode::InvalidArgument);
  store_.finish(job, {}, {});
  EXPECT_EQ(store_.preview(job.id), std::nullopt);
  EXPECT_EQ(store_.preview("none"), std::nullopt);
}

// Every call in every state: what state it leads to, and whether the worker is told that it holds the job.
struct State {
  const char* name;
  JobState state;
  std::function<Job(JobStore&)> make;
};
struct Call {
  const char* name;
  std::function<bool(JobStore&, const Job&)> run;  // true: held, or not a worker's call
  std::function<JobState(const Job&)> leads_to;    // from a state that has not ended
  bool of_worker = true;
};

Job made(JobStore& store, bool running, std::function<void(const Job&)> then = {}) {
  Job job = store.submit({.request = {{"prompt", "a"}}});
  if (running) job = store.claim("w", 1min).value();
  if (then) then(job);
  return job;
}

std::vector<State> all_states() {
  return {
      {"queued", JobState::Queued, [](JobStore& s) { return made(s, false); }},
      {"paused", JobState::Queued,
       [](JobStore& s) { return made(s, false, [&](const Job& j) { s.set_paused(j.id, true); }); }},
      {"put back", JobState::Queued,
       [](JobStore& s) { return made(s, true, [&](const Job& j) { s.put_back(j); }); }},
      {"recovered", JobState::Queued,
       [](JobStore& s) { return made(s, true, [&](const Job&) { s.recover(true); }); }},
      {"running", JobState::Running, [](JobStore& s) { return made(s, true); }},
      {"to be paused", JobState::Running,
       [](JobStore& s) { return made(s, true, [&](const Job& j) { s.set_paused(j.id, true); }); }},
      {"to be cancelled", JobState::Running,
       [](JobStore& s) { return made(s, true, [&](const Job& j) { s.cancel(j.id); }); }},
      {"done", JobState::Done,
       [](JobStore& s) { return made(s, true, [&](const Job& j) { s.finish(j, kPictures, {}); }); }},
      {"failed", JobState::Failed,
       [](JobStore& s) {
         return made(s, true, [&](const Job& j) { s.fail(j, {"internal", "", "x", ""}); });
       }},
      {"cancelled", JobState::Cancelled,
       [](JobStore& s) { return made(s, true, [&](const Job& j) { s.end_cancelled(j); }); }},
      {"cancelled waiting", JobState::Cancelled,
       [](JobStore& s) { return made(s, false, [&](const Job& j) { s.cancel(j.id); }); }},
  };
}

std::vector<Call> all_calls() {
  const auto same = [](const Job& job) { return job.state; };
  const auto to = [](JobState state) {
    return [state](const Job& job) { return job.state == JobState::Running ? state : job.state; };
  };
  const auto back = [](const Job& job) {
    return job.state != JobState::Running ? job.state
           : job.cancel_requested         ? JobState::Cancelled
                                          : JobState::Queued;
  };
  return {
      {"cancel", [](JobStore& s, const Job& j) { return s.cancel(j.id), true; },
       [](const Job& job) { return job.state == JobState::Queued ? JobState::Cancelled : job.state; }, false},
      {"pause", [](JobStore& s, const Job& j) { return s.set_paused(j.id, true), true; }, same, false},
      {"resume", [](JobStore& s, const Job& j) { return s.set_paused(j.id, false), true; }, same, false},
      {"set_priority", [](JobStore& s, const Job& j) { return s.set_priority(j.id, 9), true; }, same, false},
      {"move", [](JobStore& s, const Job& j) { return s.move(j.id, ""), true; }, same, false},
      {"claim", [](JobStore& s, const Job&) { return s.claim("w", 1min), true; },
       [](const Job& job) {
         return job.state == JobState::Queued && !job.paused ? JobState::Running : job.state;
       },
       false},
      {"recover", [](JobStore& s, const Job&) { return s.recover(true), true; }, back, false},
      {"report",
       [](JobStore& s, const Job& j) {
         return s.report(j, {"load", 1, 2}, 1min).held;
       },
       same},
      {"save", [](JobStore& s, const Job& j) { return s.save(j, Blobs{"b"}).held; }, same},
      {"drop_checkpoint", [](JobStore& s, const Job& j) { return s.drop_checkpoint(j).held; }, same},
      {"finish", [](JobStore& s, const Job& j) { return s.finish(j, kPictures, {}); }, to(JobState::Done)},
      {"fail",
       [](JobStore& s, const Job& j) {
         return s.fail(j, {"internal", "", "y", ""});
       },
       to(JobState::Failed)},
      {"end_cancelled", [](JobStore& s, const Job& j) { return s.end_cancelled(j); },
       to(JobState::Cancelled)},
      {"put_back", [](JobStore& s, const Job& j) { return s.put_back(j); }, back},
  };
}

TEST_P(JobClaimsTest, EveryCallInEveryStateLeadsWhereItShould) {
  for (const State& state : all_states())
    for (const Call& call : all_calls()) {
      SCOPED_TRACE(std::string(call.name) + " when " + state.name);
      const Job handle = state.make(store_), before = find(handle);
      ASSERT_EQ(before.state, state.state);
      EXPECT_EQ(call.run(store_, handle), !call.of_worker || before.state == JobState::Running);
      const Job after = find(handle);
      EXPECT_EQ(after.state, call.leads_to(before));
      EXPECT_EQ(after.ended.has_value(), has_ended(after.state));
      EXPECT_EQ(after.lease_until.has_value(), after.state == JobState::Running);
      if (has_ended(before.state)) {
        EXPECT_EQ(after.ended, before.ended);
        EXPECT_EQ(after.priority, before.priority);
        EXPECT_EQ(after.paused, before.paused);
        EXPECT_EQ(after.cancel_requested, before.cancel_requested);
        EXPECT_EQ(after.pictures, before.pictures);
        EXPECT_EQ(after.error.message, before.error.message);
      }
      // Out of the way of the next.
      store_.cancel(handle.id);
      store_.recover(true);
    }
}

class PostgresClaimsTest : public ::testing::Test {
 protected:
  std::string url_ = PostgresForTests::get().new_database();
  std::unique_ptr<Database> database_ = open_database(url_), other_ = open_database(url_);
  EventBus bus_;
  JobStore store_{*database_, bus_};
};

TEST_F(PostgresClaimsTest, AFrozenClaimHoldsUpOnlyItsOwner) {
  store_.submit({.owner = "a"});
  const Job next = store_.submit({.owner = "b"});
  other_->transact([&](Database::Transaction& transaction) {
    transaction.run("SELECT 1 FROM owners WHERE name = 'a' FOR UPDATE");
    EXPECT_EQ(store_.claim("w", 1min)->id, next.id);
  });
  EXPECT_EQ(store_.claim("w", 1min)->owner, "a");
}

TEST_F(PostgresClaimsTest, AJobThatIsBeingChangedIsPassedOver) {
  const Job first = store_.submit({.owner = "a"}), second = store_.submit({.owner = "a"});
  other_->transact([&](Database::Transaction& transaction) {
    transaction.run("SELECT 1 FROM jobs WHERE id = ?1 FOR UPDATE", {first.id});
    EXPECT_EQ(store_.claim("w", 1min)->id, second.id);
  });
  EXPECT_EQ(store_.claim("w", 1min)->id, first.id);
}

TEST_F(PostgresClaimsTest, OnlyOneGivesALostJobBack) {
  for (int i = 0; i < 20; ++i) store_.submit({});
  for (int i = 0; i < 20; ++i) store_.claim("w", -1min);
  std::atomic<int64_t> recovered = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 6; ++i) threads.emplace_back([&] { recovered += store_.recover(); });
  }
  EXPECT_EQ(recovered, 20);
  for (const Job& job : store_.list({})) EXPECT_EQ(job.strikes, 1);
}

}  // namespace
}  // namespace limn::server
