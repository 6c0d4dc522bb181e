// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "limn/server/job.h"

namespace limn::server {

/// Writes a ZIP archive of files as they are, one after the other, without ever going back: PKWARE's APPNOTE, method 0. An
/// archive and each of its files end below 4 GiB.
class ZipWriter {
 public:
  static constexpr int64_t kMostBytes = UINT32_MAX;
  static constexpr size_t kMostFiles = UINT16_MAX;
  /// Bytes that an archive needs for a file besides the file's own.
  static constexpr int64_t overhead(std::string_view name) {
    return 30 + 46 + 2 * static_cast<int64_t>(name.size());
  }

  /// @param write  takes the archive's bytes; false: nobody wants more
  explicit ZipWriter(std::function<bool(std::string_view)> write) : write_(std::move(write)) {}
  /// @param name  ASCII, with '/' between folders
  bool add(std::string_view name, std::string_view bytes, Time changed);
  bool finish();

 private:
  bool put(const std::string& bytes);

  std::function<bool(std::string_view)> write_;
  std::string directory_;  // what is told of each file at the end
  uint32_t offset_ = 0;
  uint16_t files_ = 0;
};

}  // namespace limn::server
