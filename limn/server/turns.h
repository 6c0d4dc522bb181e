// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace limn::server {

/// The order in which waiting jobs will be claimed, if nothing else happens: the highest priority first; among equals the
/// owners take turns, who was served longest ago first; an owner's jobs by their position. Immutable.
class Turns {
 public:
  /// Jobs of one owner and priority that may be claimed.
  struct Group {
    int64_t priority;
    std::string owner;
    int64_t jobs;
    int64_t last_served;  // of the owner, in claims
  };
  explicit Turns(std::vector<Group> groups);

  /// @param rank  from 1, of the job within its group
  /// @return the place from 1; 0 when there is no such job
  int64_t place(int64_t priority, const std::string& owner, int64_t rank) const;

 private:
  struct Class {
    int64_t before = 0;         // jobs of higher priorities
    std::vector<Group> groups;  // in the order of their first turn
  };
  std::map<int64_t, Class> classes_;
};

}  // namespace limn::server
