// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace limn::server {

/// Bytes under the SHA-256 of themselves: pictures, what was uploaded, checkpoints. Put twice is put once. Safe to share,
/// between processes too. Errors name the blob, never a place of the machine.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  /// On return the bytes are safe against a loss of power. A damaged copy of them is mended.
  /// @return the name, 64 lower-case hexadecimal digits
  /// @throws Error{OutOfMemory} when the disk is full, Error{Internal} when the store cannot be written or reached
  virtual std::string put(std::string_view bytes) = 0;
  /// @throws Error{NotFound}; Error{BadFile} when the bytes are not those of the name
  virtual std::string get(std::string_view name) const = 0;
  virtual bool has(std::string_view name) const = 0;
  virtual void remove(std::string_view name) = 0;  // nothing when absent
  /// A file that holds the bytes, for what can only read files; valid as long as the store. @throws as get
  virtual std::filesystem::path file(std::string_view name) const = 0;
};

/// @param where  a folder, which is made, or "s3://bucket/prefix" with endpoint and keys from AWS_ENDPOINT_URL,
///               AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION
/// @param cache  a folder for files of blobs that lie elsewhere
/// @throws Error{InvalidArgument} when the folder cannot be made or a setting is missing; Error{NotFound}: no such bucket;
///         Error{Refused}: the keys do not open it
std::unique_ptr<BlobStore> open_blob_store(const std::string& where, const std::filesystem::path& cache);

/// Whether a text can be a blob's name. No other reaches a disk.
bool is_blob_name(std::string_view name);

}  // namespace limn::server
