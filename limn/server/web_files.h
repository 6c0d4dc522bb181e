// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "limn/server/http.h"

namespace limn::server {

/// A file of the web page. What is empty of gzip and brotli is not smaller than the file itself.
struct WebFile {
  std::string_view path;  // "/assets/index-CoPLk_Ra.js"
  std::string_view etag;  // without quotes
  std::string_view plain, gzip, brotli;
};

/// The page that is built into the program; empty where it was built without one.
std::span<const WebFile> web_files();

using WebPage = std::function<std::optional<HttpResponse>(const HttpRequest&)>;

/// Answers GET from a table of files, which outlives it: "/" is "/index.html".
WebPage serve_files(std::span<const WebFile> files);
/// Answers GET from a folder, never from outside of it. @throws Error{NotFound} when there is no such folder
WebPage serve_folder(const std::filesystem::path& folder);

}  // namespace limn::server
