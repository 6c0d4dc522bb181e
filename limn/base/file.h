// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <string>

namespace limn {

/// A file's bytes, mapped read-only; private to this process, so later changes of the file on disk may or may
/// not show. Immutable; safe to share. The mapping ends with the object.
class MappedFile {
 public:
  /// @throws Error{NotFound} when it is missing, Error{BadFile} when it is no ordinary, readable file
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, size_t size);
  std::filesystem::path path_;
  const std::byte* data_;
  size_t size_;
};

/// The whole file. @throws Error{NotFound}, or Error{BadFile} when it is over `most` bytes or cannot be read.
std::string read_file(const std::filesystem::path& path, size_t most);

/// Writes a file that is there whole or not at all: `write` fills a temporary neighbour, which is flushed to
/// disk and takes the name when `write` returns, and is removed when it throws. Makes the parent folder.
/// @throws Error{InvalidArgument} when the place cannot be written
void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(std::ostream&)>& write);
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);

/// Lower-case hexadecimal SHA-256 (FIPS 180-4).
std::string sha256(std::span<const std::byte> bytes);
std::string sha256_of_file(const std::filesystem::path& path);

/// The folder limn's own data files are in: $LIMN_DATA_DIR, else share/limn beside the program's bin/, else
/// the source tree's data/ for a program that was built but not installed.
std::filesystem::path data_folder();

}  // namespace limn
