// SPDX-License-Identifier: Apache-2.0
#include "limn/server/turns.h"

#include <algorithm>
#include <tuple>

namespace limn::server {

Turns::Turns(std::vector<Group> groups) {
  std::ranges::sort(groups, {},
                    [](const Group& g) { return std::tuple(-g.priority, g.last_served, g.owner); });
  // Each class ends with its owners served, those with most jobs last; that is the order the next one begins with.
  struct Served {
    int64_t class_number = -1, jobs = 0, turn = 0;
    auto operator<=>(const Served&) const = default;
  };
  std::map<std::string, Served> served;
  int64_t before = 0, class_number = 0;
  for (auto begin = groups.begin(); begin != groups.end(); ++class_number) {
    const auto end =
        std::find_if(begin, groups.end(), [&](const Group& g) { return g.priority != begin->priority; });
    std::stable_sort(begin, end,
                     [&](const Group& a, const Group& b) { return served[a.owner] < served[b.owner]; });
    Class& row = classes_[begin->priority];
    row.before = before;
    row.groups.assign(begin, end);
    for (size_t turn = 0; turn < row.groups.size(); ++turn) {
      const Group& group = row.groups[turn];
      served[group.owner] = {class_number, group.jobs, static_cast<int64_t>(turn)};
      before += group.jobs;
    }
    begin = end;
  }
}

int64_t Turns::place(int64_t priority, const std::string& owner, int64_t rank) const {
  const auto found = classes_.find(priority);
  if (found == classes_.end()) return 0;
  int64_t place = found->second.before + 1;
  bool seen = false;  // the owner; the others come after it in each round
  for (const Group& group : found->second.groups) {
    const bool own = group.owner == owner;
    if (own && rank > group.jobs) return 0;
    seen |= own;
    place += std::min(group.jobs, seen ? rank - 1 : rank);
  }
  return seen ? place : 0;
}

}  // namespace limn::server
