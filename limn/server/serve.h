// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "limn/server/settings.h"

namespace limn::server {

/// Serves until `stop`, then drains: what runs may end within settings.drain_seconds, jobs in work go back to the queue.
/// @param ready  told the addresses once requests are answered
/// @throws Error as its parts when it cannot start: Refused where anybody could come in, InvalidArgument when another
///         server uses the data folder or the port is taken
void serve(const Settings& settings, const std::stop_token& stop,
           const std::function<void(const std::vector<std::string>& addresses)>& ready);

/// Runs jobs of a queue that others share, until `stop`. @throws Error{InvalidArgument} when the database is not shared
void work(const Settings& settings, const std::stop_token& stop);

}  // namespace limn::server
