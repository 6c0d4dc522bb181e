// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace limn::server {

class Database;

/// That something changed. Only a hint where to look: whoever gets it reads the store.
struct Event {
  enum class Kind { State, Progress, Preview, Queue, Gallery } kind;
  /// Of State, Progress and Preview. Of State empty: any of them, where events of other processes were lost.
  std::string job;
  std::string owner;  // whose job or picture it is; empty: for all
  bool operator==(const Event&) const = default;
};

/// Tells everyone who listens, in this process and, through a bridge, in others. Safe to share.
class EventBus {
 public:
  /// Ears of one listener. An event that waits already is not kept twice. Holds at most 256 events, then drops the
  /// oldest Progress or Preview event, or the oldest of all.
  class Subscription {
   public:
    /// The next event, or nothing after `wait`, or at once when `stop` is requested.
    std::optional<Event> next(std::chrono::milliseconds wait, std::stop_token stop = {});
    ~Subscription();

   private:
    friend class EventBus;
    struct State;
    Subscription();
    std::shared_ptr<State> state_;
  };

  EventBus();
  ~EventBus();
  /// @param wants  asked for every event, in the publisher's thread; not after the subscription's end
  std::unique_ptr<Subscription> subscribe(std::function<bool(const Event&)> wants = {});
  void publish(const Event& event);          // here and over the bridge
  void publish_locally(const Event& event);  // what came over the bridge
  void set_bridge(std::function<void(const Event&)> bridge);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Makes one bus of those of all processes that use the database. The database must end before the bus, and nothing may be
/// published in between.
void join_by_database(EventBus& bus, Database& database);

}  // namespace limn::server
