// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/server/blob_store.h"

namespace limn::server {

/// Where blobs lie with a service that speaks Amazon's S3 protocol.
struct S3Place {
  std::string endpoint;  // "https://s3.eu-central-1.amazonaws.com"
  std::string bucket, prefix;
  std::string region, key_id, secret;
};

/// @param where  "s3://bucket/prefix"; the rest from the environment
S3Place s3_place(const std::string& where);

/// Waits and tries again where the service is busy or cannot be reached.
std::unique_ptr<BlobStore> open_s3_blobs(const S3Place& place, const std::filesystem::path& cache);

}  // namespace limn::server
