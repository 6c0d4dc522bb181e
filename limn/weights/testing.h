// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/weights/index.h"

/// What the tests of this folder share. Not part of the library.
namespace limn::weights::testing {

using namespace std::string_literals;
using ::testing::HasSubstr;

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// The limn::Error that `action` ends in; anything else fails the test.
template <typename Action>
Error error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "expected an error";
  return {ErrorCode::Internal, "", "no error"};
}

template <typename T>
std::string le(T number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof(number));
}

/// A folder that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "limn_weights_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  std::filesystem::path write(const std::string& name, std::string_view content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string safetensors_file(const std::string& header, const std::string& data) {
  return le<uint64_t>(header.size()) + header + data;
}

struct ZipItem {
  std::string name, data;
  uint16_t method = 0;
  uint32_t said_size = UINT32_MAX;  // in place of the real one, in the directory
};

/// A zip archive of stored entries, without check sums.
inline std::string zip_file(const std::vector<ZipItem>& items) {
  std::string file, directory;
  for (const ZipItem& item : items) {
    const auto size = static_cast<uint32_t>(item.data.size());
    const uint32_t said = item.said_size == UINT32_MAX ? size : item.said_size;
    const std::string sizes = le<uint32_t>(0) + le(item.method ? size : said) + le(said);
    const std::string names = le(static_cast<uint16_t>(item.name.size())) + le<uint16_t>(0);
    const std::string common = le<uint16_t>(0) + le(item.method) + le<uint32_t>(0) + sizes + names;
    directory += "PK\1\2" + le<uint16_t>(20) + le<uint16_t>(20) + common + std::string(8, '\0') +
                 le<uint16_t>(0) + le(static_cast<uint32_t>(file.size())) + item.name;
    file += "PK\3\4" + le<uint16_t>(20) + common + item.name + item.data;
  }
  const auto count = static_cast<uint16_t>(items.size());
  return file + directory + "PK\5\6" + le<uint32_t>(0) + le(count) + le(count) +
         le(static_cast<uint32_t>(directory.size())) + le(static_cast<uint32_t>(file.size())) +
         le<uint16_t>(0);
}

/// A file as torch.save writes it, of this pickle and one storage, "0".
inline std::string torch_file(const std::string& pickle, const std::string& storage = "") {
  return zip_file(
      {{"archive/data.pkl", pickle}, {"archive/byteorder", "little"}, {"archive/data/0", storage}});
}

}  // namespace limn::weights::testing
