// SPDX-License-Identifier: Apache-2.0
#include "limn/server/web_files.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/base/file.h"

namespace limn::server {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostBytes = size_t{64} << 20;  // of a file in a folder

struct Type {
  std::string_view ending, type;
};
constexpr Type kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".webp", "image/webp"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".txt", "text/plain; charset=utf-8"},
    {".wasm", "application/wasm"},
};

std::string_view type_of(std::string_view path) {
  for (const Type& type : kTypes)
    if (path.ends_with(type.ending)) return type.type;
  return "application/octet-stream";
}

std::string_view file_of(std::string_view path) { return path == "/" ? "/index.html" : path; }

/// Whether a client takes an encoding of a body, as far as it says so plainly.
bool takes(const HttpRequest& request, std::string_view encoding) {
  const std::string accepted = lower_case(request.header("accept-encoding"));
  for (size_t from = 0; from < accepted.size();) {
    const size_t end = std::min(accepted.find(',', from), accepted.size());
    const std::string_view one = std::string_view(accepted).substr(from, end - from);
    if (media_type(one) == encoding)
      return parameter_of(one, "q").value_or("1").find_first_not_of("0.") != std::string::npos;
    from = end + 1;
  }
  return false;
}

/// Whether the client has it already. @param etag  with quotes
bool has(const HttpRequest& request, const std::string& etag) {
  const std::string known = request.header("if-none-match");
  return known == "*" || known.find(etag) != std::string::npos;
}

HttpResponse answer(const HttpRequest& request, const WebFile& file) {
  HttpResponse out;
  std::string variant;
  out.bytes = file.plain;
  for (const auto& [encoding, bytes] : {std::pair("br", file.brotli), std::pair("gzip", file.gzip)})
    if (variant.empty() && !bytes.empty() && takes(request, encoding)) {
      variant = encoding;
      out.bytes = bytes;
    }
  const std::string etag = "\"" + std::string(file.etag) + (variant.empty() ? "" : "-") + variant + "\"";
  // Names in assets/ have a hash of what they hold: the same name is always the same file.
  const bool hashed = file.path.starts_with("/assets/");
  out.content_type = type_of(file.path);
  out.headers = {{"ETag", etag},
                 {"Cache-Control", hashed ? "public, max-age=31536000, immutable" : "no-cache"}};
  if (!file.gzip.empty() || !file.brotli.empty()) out.headers.emplace_back("Vary", "Accept-Encoding");
  if (has(request, etag)) {
    out.status = 304;
    out.bytes = {};
  } else if (!variant.empty()) {
    out.headers.emplace_back("Content-Encoding", variant);
  }
  return out;
}

HttpResponse no_page() {
  HttpResponse out;
  out.content_type = "text/plain; charset=utf-8";
  out.body =
      "This limn was built without its web page. The API is at /api/v1; GET /api/v1/openapi.json describes "
      "it.\n";
  return out;
}

}  // namespace

WebPage serve_files(std::span<const WebFile> files) {
  return [files](const HttpRequest& request) -> std::optional<HttpResponse> {
    for (const WebFile& file : files)
      if (file.path == file_of(request.path)) return answer(request, file);
    if (files.empty() && request.path == "/") return no_page();
    return std::nullopt;
  };
}

WebPage serve_folder(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw Error(ErrorCode::NotFound, folder.string(), "no such folder");
  return [root = fs::canonical(folder)](const HttpRequest& request) -> std::optional<HttpResponse> {
    std::error_code code;
    const fs::path path = fs::canonical(root / fs::path(file_of(request.path)).relative_path(), code);
    const bool inside = std::ranges::mismatch(root, path).in1 == root.end();
    if (code || !inside || !fs::is_regular_file(path, code)) return std::nullopt;
    HttpResponse out;
    out.content_type = type_of(path.string());
    out.headers = {{"Cache-Control", "no-cache"}};
    out.body = read_file(path, kMostBytes);
    return out;
  };
}

}  // namespace limn::server
