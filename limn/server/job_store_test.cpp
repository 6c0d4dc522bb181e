// SPDX-License-Identifier: Apache-2.0
// Jobs as those see them who send them; job_claims_test.cpp has the workers' half.
#include "limn/server/job_store.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JobStoreTest : public EveryDatabase {
 protected:
  Job submit(const std::string& owner = "o", int64_t priority = 0) {
    return store_.submit({.owner = owner, .request = {{"prompt", "a"}}, .priority = priority});
  }
  Job claim() { return store_.claim("w", 1min).value(); }
  std::vector<std::string> claim_all() {
    std::vector<std::string> ids;
    while (const auto job = store_.claim("w", 1min)) ids.push_back(job->id);
    return ids;
  }
  std::vector<std::string> ids(const JobStore::Query& query) {
    std::vector<std::string> out;
    for (const Job& job : store_.list(query)) out.push_back(job.id);
    return out;
  }

  EventBus bus_;
  JobStore store_{*database_, bus_};
};
INSTANTIATE_TEST_SUITE_P(Dialect, JobStoreTest, every_dialect(), name_of_dialect);

TEST_P(JobStoreTest, KeepsAllOfAJob) {
  const json::object request{
      {"prompt", "ein Fuchs \"ε\"\n"}, {"seed", uint64_t{18446744073709551615u}}, {"eta", 0.1}};
  const json::object origin{{"api", "sdapi"}, {"extra", json::array{1, nullptr}}};
  const Job job = store_.submit({"owner ε", request, origin, -7, "key 1", {"ignored: x", "y"}});
  database_ = open_database(where_);
  JobStore store(*database_, bus_);
  const Job found = store.find(job.id).value();
  EXPECT_EQ(found.id.size(), 26u);
  EXPECT_EQ(found.owner, "owner ε");
  EXPECT_EQ(found.state, JobState::Queued);
  EXPECT_FALSE(found.paused);
  EXPECT_EQ(found.priority, -7);
  EXPECT_EQ(found.request, request);
  EXPECT_EQ(found.origin, origin);
  EXPECT_EQ(found.key, "key 1");
  EXPECT_EQ(found.attempt, 0);
  EXPECT_THAT(found.warnings, ElementsAre("ignored: x", "y"));
  EXPECT_THAT(found.pictures, IsEmpty());
  EXPECT_THAT(found.checkpoint, IsEmpty());
  EXPECT_LT(std::chrono::abs(found.created - std::chrono::system_clock::now()), 10s);
  EXPECT_FALSE(found.started || found.ended || found.lease_until);
  EXPECT_EQ(found.progress, JobProgress());
  EXPECT_EQ(store.find("01ARZ3NDEKTSV4RRFFQ69G5FAV"), std::nullopt);
  EXPECT_EQ(store.find("'; DROP TABLE jobs; --"), std::nullopt);
}

TEST_P(JobStoreTest, RefusesWhatItCannotKeep) {
  EXPECT_EQ(code_of([&] { submit("o", 101); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of([&] { submit("o", -101); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of([&] { submit(""); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of([&] { submit(std::string(256, 'o')); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of([&] { store_.submit({.key = std::string(256, 'k')}); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of([&] { store_.submit({.key = "\xff"}); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of([&] { store_.submit({.request = {{"prompt", "\xff"}}}); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(store_.counts().queued, 0);
}

TEST_P(JobStoreTest, AKeyGivesTheJobOfThen) {
  const NewJob wanted{.owner = "o", .request = {{"prompt", "a"}, {"steps", 3}}, .key = "k"};
  const Job first = store_.submit(wanted);
  EXPECT_EQ(store_.submit(wanted).id, first.id);
  NewJob turned = wanted;
  turned.request = {{"steps", 3}, {"prompt", "a"}};
  EXPECT_EQ(store_.submit(turned).id, first.id) << "the order of fields says nothing";
  NewJob other = wanted;
  other.request["steps"] = 4;
  EXPECT_EQ(code_of([&] { store_.submit(other); }), ErrorCode::InvalidArgument);
  other.owner = "somebody else";
  EXPECT_NE(store_.submit(other).id, first.id);
  claim();
  claim();
  store_.finish(store_.find(first.id).value(), {}, {});
  EXPECT_EQ(store_.submit(wanted).state, JobState::Done);
  EXPECT_NE(submit().id, submit().id) << "without a key each is new";
}

TEST_P(JobStoreTest, WhatTheClientSentTellsRequestsWithAKeyApart) {
  const Job first = store_.submit({.request = {{"seed", 1}}, .key = "k", .fingerprint = "sent"});
  EXPECT_EQ(store_.submit({.request = {{"seed", 2}}, .key = "k", .fingerprint = "sent"}).id, first.id);
  EXPECT_EQ(code_of([&] {
              store_.submit({.request = {{"seed", 1}}, .key = "k", .fingerprint = "other"});
            }),
            ErrorCode::InvalidArgument);
}

TEST_P(JobStoreTest, AKeySentByManyAtOnceIsOneJob) {
  for (int round = 0; round < 10; ++round) {
    const NewJob wanted{.owner = "o", .request = {{"prompt", "a"}}, .key = "k" + std::to_string(round)};
    std::vector<std::string> ids(8);
    {
      std::vector<std::jthread> threads;
      for (std::string& id : ids) threads.emplace_back([&] { id = store_.submit(wanted).id; });
    }
    EXPECT_EQ(std::ranges::count(ids, ids[0]), 8);
  }
  EXPECT_EQ(store_.counts().queued, 10);
}

TEST_P(JobStoreTest, IsBusyWhenFull) {
  JobStore store(*database_, bus_, {.waiting = 4, .waiting_of_owner = 3});
  const auto submit = [&](const std::string& owner, const std::string& key = "") {
    return store.submit({.owner = owner, .request = {{"prompt", "a"}}, .key = key});
  };
  const Job first = submit("a", "k");
  store.set_paused(submit("a").id, true);
  submit("a");
  EXPECT_EQ(code_of([&] { submit("a"); }), ErrorCode::Busy);
  submit("b");
  EXPECT_EQ(code_of([&] { submit("c"); }), ErrorCode::Busy);
  EXPECT_EQ(submit("a", "k").id, first.id) << "what was accepted is not refused";
  store.claim("w", 1min);
  submit("c");
  EXPECT_EQ(code_of([&] { submit("b"); }), ErrorCode::Busy);
}

TEST_P(JobStoreTest, ClaimsByPriorityThenTurnThenPosition) {
  const Job a1 = submit("a"), a2 = submit("a"), a3 = submit("a"), b1 = submit("b"), b2 = submit("b"),
            high = submit("a", 5), low = submit("c", -5);
  // The high one is a's turn.
  EXPECT_THAT(claim_all(), ElementsAre(high.id, b1.id, a1.id, b2.id, a2.id, a3.id, low.id));
}

TEST_P(JobStoreTest, APlaceIsTheTurnInWhichAJobIsClaimed) {
  std::vector<Job> jobs;
  for (int i = 0; i < 40; ++i)
    jobs.push_back(submit(std::string(1, "aaabbc"[i % 6]), i % 7 == 0 ? 1 : i % 11 == 0 ? -1 : 0));
  store_.set_paused(jobs[5].id, true);
  store_.move(jobs[30].id, "");
  for (int i = 0; i < 3; ++i) claim();
  std::vector<std::pair<int64_t, std::string>> placed;
  for (Job& job : jobs) job = store_.find(job.id).value();
  const std::vector<int64_t> places = store_.places(jobs);
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(places[i], store_.place(jobs[i]));
    EXPECT_EQ(places[i] == 0, jobs[i].state != JobState::Queued || jobs[i].paused);
    if (places[i]) placed.emplace_back(places[i], jobs[i].id);
  }
  std::ranges::sort(placed);
  const std::vector<std::string> listed = ids({.states = {JobState::Queued}});
  const std::vector<std::string> claimed = claim_all();
  ASSERT_EQ(claimed.size(), placed.size());
  for (size_t i = 0; i < claimed.size(); ++i) {
    EXPECT_EQ(placed[i], (std::pair(static_cast<int64_t>(i + 1), claimed[i])));
    EXPECT_EQ(listed[i], claimed[i]);
  }
  EXPECT_EQ(listed.back(), jobs[5].id);
}

TEST_P(JobStoreTest, MovesAJobBeforeAnother) {
  std::vector<Job> jobs;
  for (int i = 0; i < 4; ++i) jobs.push_back(submit());
  const auto order = [&] {
    std::string out;
    for (const std::string& id : ids({}))
      out += static_cast<char>('0' + (std::ranges::find(jobs, id, &Job::id) - jobs.begin()));
    return out;
  };
  store_.move(jobs[3].id, jobs[1].id);
  EXPECT_EQ(order(), "0312");
  store_.move(jobs[2].id, jobs[0].id);
  EXPECT_EQ(order(), "2031");
  store_.move(jobs[2].id, "");
  EXPECT_EQ(order(), "0312");
  store_.move(jobs[1].id, jobs[1].id);
  store_.move(jobs[3].id, jobs[1].id);
  EXPECT_EQ(order(), "0312") << "where it stands already";
  // Far more often than there are numbers between two.
  for (int i = 0; i < 40; ++i) {
    store_.move(jobs[2].id, jobs[1].id);
    EXPECT_EQ(order(), "0321");
    store_.move(jobs[3].id, jobs[1].id);
    EXPECT_EQ(order(), "0231");
    store_.move(jobs[3].id, jobs[2].id);
  }
  EXPECT_EQ(order(), "0321");
  submit();
  EXPECT_EQ(claim_all().size(), 5u);
}

TEST_P(JobStoreTest, MovesOnlyAmongEquals) {
  const Job job = submit(), other_owner = submit("p"), other_priority = submit("o", 1),
            taken = submit("o", 2);
  EXPECT_EQ(claim().id, taken.id);
  for (const std::string& before : {other_owner.id, other_priority.id, taken.id, std::string("none")})
    EXPECT_EQ(code_of([&] { store_.move(job.id, before); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(store_.move(taken.id, job.id).state, JobState::Running);
  EXPECT_EQ(code_of([&] { store_.move("none", ""); }), ErrorCode::NotFound);
}

TEST_P(JobStoreTest, AChangedPriorityChangesTheOrder) {
  const Job first = submit(), second = submit();
  EXPECT_EQ(store_.set_priority(second.id, 100).priority, 100);
  EXPECT_EQ(code_of([&] { store_.set_priority(second.id, 101); }), ErrorCode::InvalidArgument);
  EXPECT_EQ(code_of([&] { store_.set_priority("none", 0); }), ErrorCode::NotFound);
  EXPECT_THAT(claim_all(), ElementsAre(second.id, first.id));
}

TEST_P(JobStoreTest, APausedJobAndAPausedQueueWait) {
  const Job first = submit(), second = submit();
  EXPECT_TRUE(store_.set_paused(first.id, true).paused);
  EXPECT_EQ(claim().id, second.id);
  EXPECT_EQ(store_.claim("w", 1min), std::nullopt);
  EXPECT_FALSE(store_.set_paused(first.id, false).paused);
  EXPECT_FALSE(store_.queue_paused());
  store_.set_queue_paused(true);
  EXPECT_TRUE(store_.queue_paused());
  EXPECT_EQ(store_.claim("w", 1min), std::nullopt);
  EXPECT_EQ(store_.place(first), 1);
  store_.set_queue_paused(false);
  EXPECT_EQ(claim().id, first.id);
}

TEST_P(JobStoreTest, CancelsAWaitingJobAtOnceAndTellsTheWorkerOfARunningOne) {
  const Job waiting = submit(), paused = submit(), running = submit("o", 1);
  store_.set_paused(paused.id, true);
  EXPECT_EQ(claim().id, running.id);
  for (const std::string& id : {waiting.id, paused.id}) {
    const Job job = store_.cancel(id);
    EXPECT_EQ(job.state, JobState::Cancelled);
    EXPECT_TRUE(job.ended);
    EXPECT_FALSE(job.paused);
  }
  const Job job = store_.cancel(running.id);
  EXPECT_EQ(job.state, JobState::Running);
  EXPECT_TRUE(job.cancel_requested);
  EXPECT_TRUE(store_.report(job, {"denoise", 1, 2}, 1min).cancel_requested);
  EXPECT_EQ(code_of([&] { store_.cancel("none"); }), ErrorCode::NotFound);
}

TEST_P(JobStoreTest, ListsRunningWaitingPausedAndEndedInPages) {
  std::vector<Job> jobs;
  for (int i = 0; i < 9; ++i) jobs.push_back(submit(i % 3 == 2 ? "p" : "o"));
  const auto id = [&](size_t i) { return jobs[i].id; };
  for (size_t i : {0u, 2u}) {  // o's and p's first
    ASSERT_EQ(claim().id, id(i));
    store_.finish(store_.find(id(i)).value(), {}, {});
  }
  store_.cancel(id(4));
  ASSERT_EQ(claim().id, id(1));
  store_.set_paused(id(3), true);
  // Running 1; p's turn: 5, then 6, 8, 7; paused 3; ended 4, 2, 0.
  const std::vector<std::string> all = {id(1), id(5), id(6), id(8), id(7), id(3), id(4), id(2), id(0)};
  EXPECT_EQ(ids({}), all);
  EXPECT_THAT(ids({.owner = "p"}), ElementsAre(id(5), id(8), id(2)));
  EXPECT_THAT(ids({.states = {JobState::Done, JobState::Running}}), ElementsAre(id(1), id(2), id(0)));
  EXPECT_THAT(ids({.owner = "nobody"}), IsEmpty());
  for (int64_t limit : {1, 2, 4, 8}) {
    std::vector<std::string> paged;
    for (JobStore::Query query{.limit = limit};;) {
      const std::vector<std::string> page = ids(query);
      EXPECT_LE(page.size(), static_cast<size_t>(limit));
      if (page.empty()) break;
      paged.insert(paged.end(), page.begin(), page.end());
      query.before = page.back();
    }
    EXPECT_EQ(paged, all) << limit;
  }
  const JobStore::Counts counts = store_.counts();
  EXPECT_EQ(counts.queued, 5);
  EXPECT_EQ(counts.running, 1);
  EXPECT_EQ(counts.done, 2);
  EXPECT_EQ(counts.failed, 0);
  EXPECT_EQ(counts.cancelled, 1);
}

TEST_P(JobStoreTest, TellsTheBusAfterEachChange) {
  const auto ears = bus_.subscribe();
  const auto heard = [&] {
    std::vector<Event> events;
    while (const auto event = ears->next(0ms)) events.push_back(*event);
    return events;
  };
  const Event queue{Event::Kind::Queue, "", ""};
  const Job job = store_.submit({.owner = "o", .request = {{"prompt", "a"}}, .key = "k"});
  const Event state{Event::Kind::State, job.id, "o"};
  EXPECT_THAT(heard(), ElementsAre(state, queue));
  store_.submit({.owner = "o", .request = {{"prompt", "a"}}, .key = "k"});
  store_.set_priority(job.id, 0);
  store_.set_paused(job.id, false);
  EXPECT_THAT(heard(), IsEmpty());
  store_.set_priority(job.id, 1);
  EXPECT_THAT(heard(), ElementsAre(state, queue));
  const Job claimed = claim();
  EXPECT_THAT(heard(), ElementsAre(state, queue));
  store_.report(claimed, {"load", 0, 1}, 1min);
  EXPECT_THAT(heard(), ElementsAre(Event{Event::Kind::Progress, job.id, "o"}));
  store_.set_preview(claimed, "jpeg");
  EXPECT_THAT(heard(), ElementsAre(Event{Event::Kind::Preview, job.id, "o"}));
  store_.cancel(job.id);
  EXPECT_THAT(heard(), ElementsAre(state, queue));
  store_.cancel(job.id);
  EXPECT_THAT(heard(), IsEmpty());
  store_.finish(claimed, std::vector<NewPicture>{{.id = "a", .format = "png"}}, {});
  EXPECT_THAT(heard(), ElementsAre(state, queue, Event{Event::Kind::Gallery, "", "o"}));
  store_.cancel(job.id);
  store_.report(claimed, {}, 1min);
  store_.set_preview(claimed, "jpeg");
  EXPECT_THAT(heard(), IsEmpty());
  store_.set_queue_paused(true);
  EXPECT_THAT(heard(), ElementsAre(queue));
}

}  // namespace
}  // namespace limn::server
