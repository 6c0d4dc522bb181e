// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/server/database.h"

namespace limn::server {

// The two kinds of database, without tables.
std::unique_ptr<Database> open_sqlite(const std::string& path);
std::unique_ptr<Database> open_postgres(const std::string& url);

/// @throws Error{InvalidArgument} for text that is not UTF-8 or holds a zero, which PostgreSQL cannot keep
void check_text(std::string_view text);

}  // namespace limn::server
