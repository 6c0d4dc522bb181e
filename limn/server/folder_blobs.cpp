// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/server/blob_store.h"
#include "limn/server/job.h"
#include "limn/server/s3_blobs.h"

namespace limn::server {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostBytes = size_t{4} << 30;

std::string title(std::string_view name) { return "blob " + std::string(name.substr(0, 12)); }

struct Handle {
  int value;
  ~Handle() {
    if (value >= 0) ::close(value);
  }
};

[[noreturn]] void fail(std::string_view name, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(full ? ErrorCode::OutOfMemory : ErrorCode::Internal, title(name),
              std::string("cannot be written: ") + std::strerror(error),
              full ? "free some space on the disk" : "");
}

void flush(const fs::path& folder, std::string_view name) {
  const Handle handle{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (handle.value < 0 || ::fsync(handle.value) != 0) fail(name, errno);
}

void write_all(int handle, std::string_view bytes, std::string_view name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(handle, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(name, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

/// ROOT/ab/cdef…; what is being written lies in ROOT/new.
class FolderBlobs : public BlobStore {
 public:
  explicit FolderBlobs(const fs::path& root) : root_(root) {
    std::error_code code;
    fs::create_directories(root_ / "new", code);
    if (code) throw Error(ErrorCode::InvalidArgument, root.string(), "cannot be made: " + code.message());
    sweep();
  }

  std::string put(std::string_view bytes) override {
    const std::string name = sha256(std::as_bytes(std::span(bytes)));
    const fs::path path = path_of(name);
    // The bytes that are there may be damaged, and the folder's entry not on the disk yet.
    if (!holds(path, bytes)) {
      std::error_code code;
      if (fs::create_directory(path.parent_path(), code)) flush(root_, name);
      write(path, bytes, name);
    }
    flush(path.parent_path(), name);
    return name;
  }

  std::string get(std::string_view name) const override {
    const fs::path path = file(name);
    std::string bytes;
    try {
      bytes = read_file(path, kMostBytes);
    } catch (const Error& error) {  // without the path
      throw Error(error.code(), title(name), error.problem());
    }
    if (sha256(std::as_bytes(std::span(bytes))) != name)
      throw Error(ErrorCode::BadFile, title(name), "its bytes have changed on the disk");
    return bytes;
  }

  bool has(std::string_view name) const override {
    std::error_code code;
    return is_blob_name(name) && fs::is_regular_file(path_of(name), code);
  }

  void remove(std::string_view name) override {
    std::error_code code;
    if (is_blob_name(name)) fs::remove(path_of(name), code);
    if (code) fail(name, code.value());
  }

  fs::path file(std::string_view name) const override {
    if (!has(name)) throw Error(ErrorCode::NotFound, title(name), "is not in the store");
    return path_of(name);
  }

 private:
  fs::path path_of(std::string_view name) const { return root_ / name.substr(0, 2) / name.substr(2); }

  static bool holds(const fs::path& path, std::string_view bytes) {
    std::error_code code;
    if (fs::file_size(path, code) != bytes.size() || code) return false;
    try {
      return read_file(path, kMostBytes) == bytes;
    } catch (const Error&) {
      return false;
    }
  }

  void write(const fs::path& path, std::string_view bytes, std::string_view name) const {
    const fs::path temporary = root_ / "new" / new_id();
    try {
      const Handle handle{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
      if (handle.value < 0) fail(name, errno);
      write_all(handle.value, bytes, name);
      if (::fsync(handle.value) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) fail(name, errno);
    } catch (...) {
      ::unlink(temporary.c_str());
      throw;
    }
  }

  /// Removes what processes left half written that were killed; others may be writing right now.
  void sweep() const {
    std::error_code code;
    for (const fs::directory_entry& entry : fs::directory_iterator(root_ / "new", code)) {
      const auto written = entry.last_write_time(code);
      if (!code && fs::file_time_type::clock::now() - written > std::chrono::hours(24))
        fs::remove(entry.path(), code);
    }
  }

  const fs::path root_;
};

}  // namespace

bool is_blob_name(std::string_view name) {
  return name.size() == 64 &&
         std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::unique_ptr<BlobStore> open_blob_store(const std::string& where, const fs::path& cache) {
  if (where.starts_with("s3://")) return open_s3_blobs(s3_place(where), cache);
  return std::make_unique<FolderBlobs>(where);
}

}  // namespace limn::server
