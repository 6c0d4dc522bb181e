// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace limn::training {

/// CRC-32C (Castagnoli), reflected, as iSCSI uses it (RFC 3720, B.4).
uint32_t crc32c(std::string_view bytes);

/// A TensorBoard event file: TFRecord frames of Event messages (tensorflow/core/util/event.proto). One thread at a time.
class EventFile {
 public:
  /// Begins a new file in `folder`; events of later steps in older files are void from `step` on.
  EventFile(const std::filesystem::path& folder, int64_t step);
  void add_scalar(int64_t step, std::string_view tag, double value);
  /// @param png  an encoded picture
  void add_image(int64_t step, std::string_view tag, int width, int height, std::string_view png);
  void flush() { out_.flush(); }

 private:
  void add(int64_t step, std::string_view field);
  std::ofstream out_;
};

}  // namespace limn::training
