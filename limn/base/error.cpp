// SPDX-License-Identifier: Apache-2.0
#include "limn/base/error.h"

#include <utility>

namespace limn {
namespace {

constexpr Status kStatuses[] = {
    {ErrorCode::InvalidArgument, 2, 400, "invalid_argument"},
    {ErrorCode::NotFound, 3, 404, "not_found"},
    {ErrorCode::BadFile, 4, 422, "bad_file"},
    {ErrorCode::Refused, 5, 403, "refused"},
    {ErrorCode::Cancelled, 6, 499, "cancelled"},
    {ErrorCode::OutOfMemory, 7, 507, "out_of_memory"},
    {ErrorCode::Unsupported, 8, 501, "unsupported"},
    {ErrorCode::Busy, 9, 429, "busy"},
    {ErrorCode::Internal, 1, 500, "internal"},
};

}  // namespace

Error::Error(ErrorCode code, std::string where, std::string what, std::string hint)
    : code_(code), where_(std::move(where)), problem_(std::move(what)), hint_(std::move(hint)) {
  message_ = where_.empty() ? problem_ : where_ + ": " + problem_;
  if (!hint_.empty()) message_ += " (" + hint_ + ")";
}

std::span<const Status> all_statuses() { return kStatuses; }

const Status& status_of(ErrorCode code) {
  for (const Status& status : kStatuses)
    if (status.code == code) return status;
  return kStatuses[std::size(kStatuses) - 1];
}

}  // namespace limn
