// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "limn/base/json.h"

namespace limn::server {

/// What clients have set by POST /sdapi/v1/options for their later calls, as long as the server runs. Safe to share.
class SdapiOptions {
 public:
  json::object of(const std::string& owner) const {
    const std::lock_guard lock(mutex_);
    const auto found = options_.find(owner);
    return found == options_.end() ? json::object() : found->second;
  }
  void set(const std::string& owner, const json::object& changes) {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, value] : changes) options_[owner][name] = value;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, json::object> options_;  // by owner
};

}  // namespace limn::server
