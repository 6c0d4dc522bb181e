// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/server/database.h"
#include "limn/server/job.h"

namespace limn::server {

// How jobs lie in the tables; for the stores.

/// "SELECT … FROM jobs": the columns that job_of reads.
const std::string& select_jobs(Database::Dialect dialect);
Job job_of(const SqlRow& row);

/// With PostgreSQL the row is kept for this transaction, waiting where another has it.
/// @throws Error{NotFound}
Job take_job(Database::Transaction& transaction, Database::Dialect dialect, std::string_view id);

/// What was only needed for working on a job that has ended.
void drop_work(Database::Transaction& transaction, Database::Dialect dialect, const std::string& id);
/// Forgets a job's checkpoint; its blobs are released.
void drop_checkpoint(Database::Transaction& transaction, const std::string& id);

/// Notes that somebody does not need a blob any more: PictureStore::purge looks whether anybody does.
void release(Database::Transaction& transaction, const std::string& blob);

/// Notes that a client sent a picture to start from, or named one: PictureStore::purge leaves it alone for a while.
void note_input(Database::Transaction& transaction, const std::string& blob);

SqlValue value_of(const JobError& error);  // NULL: none

}  // namespace limn::server
