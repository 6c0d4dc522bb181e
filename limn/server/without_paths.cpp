// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include "limn/server/router.h"
#include "limn/server/settings.h"

namespace limn::server {
namespace {

constexpr std::string_view kEnds = " \t\n\"'`()[]{}<>,;|", kStarts = " \t\n\"'`([{<,;|=:";
constexpr std::string_view kAddresses[] = {"/api/", "/sdapi/", "/v1/", "/internal/",
                                           "/controlnet/"};  // of ours

bool starts_at(const std::string& text, size_t at) {
  return at == 0 || kStarts.find(text[at - 1]) != std::string_view::npos;
}

/// "/data/" becomes nothing, so that "/data/blobs/x" is told as "blobs/x".
void leave_out(std::string& text, std::string folder) {
  if (folder.empty() || folder == "/") return;
  if (!folder.ends_with('/')) folder += '/';
  for (size_t at = 0; (at = text.find(folder, at)) != std::string::npos;) {
    if (starts_at(text, at))
      text.erase(at, folder.size());
    else
      ++at;
  }
}

bool is_address(std::string_view path) {
  return std::ranges::any_of(kAddresses, [&](std::string_view start) { return path.starts_with(start); });
}

}  // namespace

std::string without_paths(std::string text, const Settings& settings) {
  if (text.find('/') == std::string::npos) return text;
  std::vector<std::string> folders = settings.models;
  folders.insert(folders.end(), {settings.blobs, settings.data, settings.wildcards, settings.web_root});
  for (const std::string& folder : folders) leave_out(text, folder);
  for (size_t at = 0; (at = text.find('/', at)) != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kEnds, at), text.size());
    const std::string_view path = std::string_view(text).substr(at, end - at);
    const size_t last = path.find_last_of('/');
    if (starts_at(text, at) && last > 0 && !path.starts_with("//") && !is_address(path))
      text.erase(at, last + 1);
    else
      at = end;
  }
  return text;
}

}  // namespace limn::server
