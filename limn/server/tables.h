// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/server/database.h"

namespace limn::server {

/// Applies the migrations that a database has not had yet, in one transaction, one process at a time.
/// @throws Error{Unsupported} when it has had some that this limn does not know
void prepare_tables(Database& database);

}  // namespace limn::server
