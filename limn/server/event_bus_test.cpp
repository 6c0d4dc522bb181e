// SPDX-License-Identifier: Apache-2.0
#include "limn/server/event_bus.h"

#include <thread>

#include <gmock/gmock.h>

#include "limn/server/database.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using Kind = Event::Kind;

Event state(const std::string& job) { return {Kind::State, job, "o"}; }
Event progress(const std::string& job) { return {Kind::Progress, job, "o"}; }

std::vector<std::string> jobs_of(EventBus::Subscription& ears) {
  std::vector<std::string> jobs;
  while (const auto event = ears.next(0ms)) jobs.push_back(event->job);
  return jobs;
}

TEST(EventBus, TellsEveryoneWhoWantsIt) {
  EventBus bus;
  const auto all = bus.subscribe(), some = bus.subscribe([](const Event&event) { return event.job == "b"; });
  for (const char* job : {"a", "b", "c"}) bus.publish(state(job));
  EXPECT_THAT(jobs_of(*all), ElementsAre("a", "b", "c"));
  EXPECT_THAT(jobs_of(*some), ElementsAre("b"));
  EXPECT_EQ(all->next(5ms), std::nullopt);
}

TEST(EventBus, KeepsAWaitingEventOnce) {
  EventBus bus;
  const auto ears = bus.subscribe();
  for (int i = 0; i < 3; ++i) bus.publish(progress("a"));
  bus.publish(state("a"));
  EXPECT_EQ(ears->next(0ms), progress("a"));
  bus.publish(progress("a"));
  EXPECT_EQ(ears->next(0ms), state("a"));
  EXPECT_EQ(ears->next(0ms), progress("a"));
  EXPECT_EQ(ears->next(0ms), std::nullopt);
}

TEST(EventBus, DropsTheOldestOfWhatPassesFirst) {
  EventBus bus;
  const auto ears = bus.subscribe();
  bus.publish(state("first"));
  bus.publish(progress("a"));
  bus.publish({Kind::Preview, "b", "o"});
  for (int i = 0; i < 255; ++i) bus.publish(state(std::to_string(i)));
  std::vector<std::string> jobs = jobs_of(*ears);
  EXPECT_EQ(jobs.size(), 256u);
  EXPECT_EQ(jobs[0], "first");
  EXPECT_EQ(jobs[1], "0");
  for (int i = 0; i < 1000; ++i) bus.publish(state(std::to_string(i)));
  jobs = jobs_of(*ears);
  EXPECT_EQ(jobs.size(), 256u);
  EXPECT_EQ(jobs.back(), "999");
}

TEST(EventBus, WakesWhoWaits) {
  EventBus bus;
  const auto ears = bus.subscribe();
  const std::jthread other([&] {
    std::this_thread::sleep_for(20ms);
    bus.publish(state("a"));
  });
  EXPECT_EQ(ears->next(10s), state("a"));
}

TEST(EventBus, StopsWaitingAtOnce) {
  EventBus bus;
  const auto ears = bus.subscribe();
  bus.publish(state("a"));
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(ears->next(10s, source.get_token()), std::nullopt);
  EXPECT_EQ(ears->next(0ms), state("a"));
  std::stop_source later;
  const std::jthread other([&] {
    std::this_thread::sleep_for(20ms);
    later.request_stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(ears->next(10s, later.get_token()), std::nullopt);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST(EventBus, AsksNobodyWhoHasLeft) {
  EventBus bus;
  std::atomic<bool> left = false;
  std::vector<std::jthread> publishers;
  std::atomic<bool> stop = false;
  for (int i = 0; i < 3; ++i)
    publishers.emplace_back([&] {
      while (!stop) bus.publish(state("a"));
    });
  for (int i = 0; i < 200; ++i) {
    left = false;
    auto ears = bus.subscribe([&](const Event&) {
      EXPECT_FALSE(left);
      return true;
    });
    ears->next(1ms);
    ears.reset();
    left = true;
  }
  stop = true;
}

TEST(EventBus, HandsOnlyItsOwnEventsToTheBridge) {
  EventBus bus;
  std::vector<std::string> bridged;
  bus.set_bridge([&](const Event& event) { bridged.push_back(event.job); });
  const auto ears = bus.subscribe();
  bus.publish(state("a"));
  bus.publish_locally(state("b"));
  EXPECT_THAT(bridged, ElementsAre("a"));
  EXPECT_THAT(jobs_of(*ears), ElementsAre("a", "b"));
}

TEST(JoinedBuses, TellEachOtherOnceAndNotThemselves) {
  const std::string url = PostgresForTests::get().new_database();
  EventBus one, two;
  const auto database_one = open_database(url), database_two = open_database(url);
  join_by_database(one, *database_one);
  join_by_database(two, *database_two);
  const auto ears_one = one.subscribe(), ears_two = two.subscribe();
  for (Kind kind : {Kind::State, Kind::Progress, Kind::Preview, Kind::Queue, Kind::Gallery}) {
    const Event event{kind, "job \"ε\"", "owner\n"};
    one.publish(event);
    EXPECT_EQ(ears_two->next(10s), event);
    EXPECT_EQ(ears_one->next(0ms), event);
  }
  EXPECT_EQ(ears_one->next(100ms), std::nullopt) << "an echo";
  EXPECT_EQ(ears_two->next(0ms), std::nullopt);
  for (const char* noise : {"x", "{}", "[]", R"({"from":"x","kind":"nothing"})", R"({"kind":1})"})
    database_one->notify(noise);
  one.publish(state("last"));
  EXPECT_EQ(ears_two->next(10s), state("last"));
}

TEST(JoinedBuses, SayThatAnythingMayHaveHappenedAfterAnOutage) {
  PostgresForTests& server = PostgresForTests::get();
  const std::string url = server.new_database();
  EventBus bus;
  const auto database = open_database(url);
  join_by_database(bus, *database);
  const auto ears = bus.subscribe();
  server.stop();
  bus.publish(state("while it is away"));
  server.start();
  EXPECT_EQ(ears->next(10s), state("while it is away"));
  EXPECT_EQ(ears->next(10s), (Event{Kind::State, "", ""}));
  EXPECT_EQ(ears->next(10s), (Event{Kind::Queue, "", ""}));
  EXPECT_EQ(ears->next(10s), (Event{Kind::Gallery, "", ""}));
}

}  // namespace
}  // namespace limn::server
