// SPDX-License-Identifier: Apache-2.0
#include "limn/cli/output.h"

#include <algorithm>

#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/image/image.h"

namespace limn::cli {
namespace fs = std::filesystem;
namespace {

bool replace(std::string& text, const std::string& placeholder, const std::string& value) {
  bool found = false;
  for (size_t at = 0; (at = text.find(placeholder, at)) != std::string::npos;
       at += value.size(), found = true)
    text.replace(at, placeholder.size(), value);
  return found;
}

std::string format_of(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(), ::tolower);
  if (extension == ".jpeg") extension = ".jpg";
  std::string known;
  for (const ImageFormat& format : image_formats()) {
    if (format.extension == extension) return std::string(format.name);
    known += (known.empty() ? "" : ", ") + std::string(format.extension);
  }
  throw Error(ErrorCode::InvalidArgument, "output", path.string() + " does not end in a picture format",
              "known: " + known);
}

}  // namespace

void check_writable(const char* field, const fs::path& path, bool force) {
  std::error_code code;
  if (fs::is_directory(path, code))
    throw Error(ErrorCode::InvalidArgument, field, path.string() + " is a folder");
  if (fs::exists(path, code) && !force)
    throw Error(ErrorCode::InvalidArgument, field, path.string() + " exists", "--force overwrites it");
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  fs::create_directories(folder, code);
  if (code || ::access(folder.c_str(), W_OK) != 0)
    throw Error(ErrorCode::InvalidArgument, field, "cannot write into " + folder.string(),
                code ? code.message() : "no permission");
}

std::vector<OutputPath> output_paths(const std::string& output, uint64_t seed, int64_t count, bool force) {
  std::error_code code;
  std::string pattern = output.empty() ? "limn-{seed}.png" : output;
  if (pattern.ends_with('/') || fs::is_directory(pattern, code))
    pattern = (fs::path(pattern) / "limn-{seed}.png").string();

  std::vector<OutputPath> out;
  for (int64_t i = 0; i < count; ++i) {
    std::string name = pattern;
    const bool by_seed = replace(name, "{seed}", std::to_string(seed + static_cast<uint64_t>(i)));
    const bool by_index = replace(name, "{index}", std::to_string(i));
    fs::path path = name;
    if (count > 1 && !by_seed && !by_index)
      path.replace_filename(path.stem().string() + "-" + std::to_string(i) + path.extension().string());
    const std::string format = format_of(path);
    check_writable("output", path, force);
    out.push_back({path, format});
  }
  return out;
}

}  // namespace limn::cli
