// SPDX-License-Identifier: Apache-2.0
#include "limn/server/event_bus.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "limn/base/error.h"
#include "limn/base/json.h"
#include "limn/base/named_table.h"
#include "limn/server/database.h"
#include "limn/server/job.h"

namespace limn::server {
namespace {

constexpr size_t kMostWaiting = 256;

struct KindName {
  std::string_view name;
  Event::Kind kind;
};
constexpr KindName kKinds[] = {{"state", Event::Kind::State},
                               {"progress", Event::Kind::Progress},
                               {"preview", Event::Kind::Preview},
                               {"queue", Event::Kind::Queue},
                               {"gallery", Event::Kind::Gallery}};

bool is_passing(const Event& event) {
  return event.kind == Event::Kind::Progress || event.kind == Event::Kind::Preview;
}

std::string text_of(const Event& event, const std::string& from) {
  const auto* row = std::ranges::find(kKinds, event.kind, &KindName::kind);
  return to_text(
      json::object{{"from", from}, {"kind", row->name}, {"job", event.job}, {"owner", event.owner}});
}

/// The event of a notification, unless it is one of our own.
std::optional<Event> event_of(std::string_view payload, const std::string& self) {
  const json::value value = parse_json(payload, "notification");
  if (!value.is_object()) return std::nullopt;
  const Fields fields(value.as_object(), "notification");
  if (fields.string("from", "") == self) return std::nullopt;
  const KindName* row = try_find_named(std::span<const KindName>(kKinds), fields.string("kind", ""));
  if (!row) return std::nullopt;
  return Event{row->kind, fields.string("job", ""), fields.string("owner", "")};
}

}  // namespace

struct EventBus::Subscription::State {
  std::mutex lock;
  std::condition_variable_any arrived;
  std::deque<Event> events;
  std::function<bool(const Event&)> wants;
  bool open = true;

  void offer(const Event& event) {
    const std::lock_guard guard(lock);
    if (!open || (wants && !wants(event)) || std::ranges::find(events, event) != events.end()) return;
    if (events.size() == kMostWaiting) {
      const auto passing = std::ranges::find_if(events, is_passing);
      events.erase(passing == events.end() ? events.begin() : passing);
    }
    events.push_back(event);
    arrived.notify_one();
  }
};

struct EventBus::State {
  std::mutex lock;
  std::vector<std::weak_ptr<Subscription::State>> listeners;
  std::function<void(const Event&)> bridge;
};

EventBus::Subscription::Subscription() : state_(std::make_shared<State>()) {}

EventBus::Subscription::~Subscription() {
  const std::lock_guard guard(state_->lock);
  state_->open = false;
}

std::optional<Event> EventBus::Subscription::next(std::chrono::milliseconds wait, std::stop_token stop) {
  std::unique_lock guard(state_->lock);
  state_->arrived.wait_for(guard, stop, wait, [&] { return !state_->events.empty(); });
  if (stop.stop_requested() || state_->events.empty()) return std::nullopt;
  Event event = std::move(state_->events.front());
  state_->events.pop_front();
  return event;
}

EventBus::EventBus() : state_(std::make_shared<State>()) {}
EventBus::~EventBus() = default;

std::unique_ptr<EventBus::Subscription> EventBus::subscribe(std::function<bool(const Event&)> wants) {
  std::unique_ptr<Subscription> subscription(new Subscription());
  subscription->state_->wants = std::move(wants);
  const std::lock_guard guard(state_->lock);
  std::erase_if(state_->listeners, [](const auto& listener) { return listener.expired(); });
  state_->listeners.push_back(subscription->state_);
  return subscription;
}

void EventBus::publish(const Event& event) {
  publish_locally(event);
  std::function<void(const Event&)> bridge;
  {
    const std::lock_guard guard(state_->lock);
    bridge = state_->bridge;
  }
  if (bridge) bridge(event);
}

void EventBus::publish_locally(const Event& event) {
  std::vector<std::shared_ptr<Subscription::State>> listeners;
  {
    const std::lock_guard guard(state_->lock);
    for (const auto& weak : state_->listeners)
      if (auto listener = weak.lock()) listeners.push_back(std::move(listener));
  }
  for (const auto& listener : listeners) listener->offer(event);
}

void EventBus::set_bridge(std::function<void(const Event&)> bridge) {
  const std::lock_guard guard(state_->lock);
  state_->bridge = std::move(bridge);
}

void join_by_database(EventBus& bus, Database& database) {
  const std::string self = new_id();
  database.listen([&bus, self](std::string_view payload) {
    if (payload.empty()) {
      bus.publish_locally({Event::Kind::State, "", ""});
      bus.publish_locally({Event::Kind::Queue, "", ""});
      bus.publish_locally({Event::Kind::Gallery, "", ""});
      return;
    }
    try {
      if (const auto event = event_of(payload, self)) bus.publish_locally(*event);
    } catch (const Error&) {
      // Whoever may use the database can notify anything.
    }
  });
  bus.set_bridge([&database, self](const Event& event) {
    try {
      database.notify(text_of(event, self));
    } catch (const Error&) {
      // What the event tells of is done, and the event a hint.
    }
  });
}

}  // namespace limn::server
