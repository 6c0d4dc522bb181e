// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "limn/base/error.h"
#include "limn/server/job.h"
#include "limn/server/picture_store.h"
#include "limn/server/services.h"

namespace limn::server {

/// Waits until a job has ended, for calls that answer with its pictures. When the client goes first, the job is cancelled.
/// @return the job as it ended
/// @throws Error{Busy} when the server closes first: the job stays in the queue
Job wait_for_job(Services& services, const std::string& id, std::stop_token gone);

/// What a job has failed or was given up with.
Error error_of(const Job& job);

/// The pictures of a job, in their order.
std::vector<GalleryPicture> pictures_of(const Services& services, const Job& job);

}  // namespace limn::server
