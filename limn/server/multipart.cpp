// SPDX-License-Identifier: Apache-2.0
#include "limn/server/multipart.h"

#include <algorithm>

#include "limn/base/error.h"
#include "limn/server/http.h"

namespace limn::server {
namespace {

constexpr size_t kMostParts = 64;
constexpr size_t kMostHeaderBytes = 4096;  // of one part
constexpr size_t kMostBoundary = 70;       // RFC 2046 §5.1.1
constexpr std::string_view kLineEnd = "\r\n";

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ErrorCode::InvalidArgument, "body", "is not multipart/form-data: " + problem);
}

std::string boundary_of(std::string_view content_type) {
  if (media_type(content_type) != "multipart/form-data") refuse("its content type is another");
  const std::string boundary = parameter_of(content_type, "boundary").value_or("");
  const bool plain = std::ranges::all_of(boundary, [](char c) { return c >= ' ' && c < 0x7f; });
  if (boundary.empty() || boundary.size() > kMostBoundary || !plain || boundary.ends_with(' '))
    refuse("the content type has no proper boundary");
  return boundary;
}

/// Takes the first `size` bytes from the front.
std::string_view take(std::string_view& rest, size_t size) {
  const std::string_view out = rest.substr(0, size);
  rest.remove_prefix(size);
  return out;
}

/// One header line of a part.
void read_field(std::string_view line, Part& part, bool& named) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) refuse("a part's header line has no colon");
  const std::string name = lower_case(line.substr(0, colon));
  const std::string_view value = line.substr(std::min(line.find_first_not_of(" \t", colon + 1), line.size()));
  if (name == "content-type") part.type = std::string(value);
  if (name == "content-transfer-encoding" && lower_case(value) != "binary" && lower_case(value) != "8bit" &&
      lower_case(value) != "7bit")
    refuse("a part is encoded as " + std::string(value).substr(0, 32));
  if (name != "content-disposition") return;
  if (media_type(value) != "form-data") refuse("a part is not form-data");
  const auto field = parameter_of(value, "name");
  if (!field) refuse("a part has no name");
  part.name = *field;
  part.filename = parameter_of(value, "filename").value_or("");
  if (!is_utf8(part.name) || !is_utf8(part.filename)) refuse("a part's name is not UTF-8");
  named = true;
}

/// Reads the header lines of a part, with the empty line after them.
Part read_head(std::string_view& rest) {
  Part part;
  bool named = false;
  for (size_t read = 0;;) {
    const size_t end = rest.substr(0, kMostHeaderBytes).find(kLineEnd);
    if (end == std::string_view::npos || (read += end) > kMostHeaderBytes)
      refuse("a part's head does not end");
    const std::string_view line = take(rest, end);
    take(rest, kLineEnd.size());
    if (line.empty()) break;
    read_field(line, part, named);
  }
  if (!named) refuse("a part has no name");
  return part;
}

}  // namespace

std::vector<Part> parse_multipart(std::string_view body, std::string_view content_type) {
  const std::string delimiter = "--" + boundary_of(content_type), inner = "\r\n" + delimiter;
  std::string_view rest = body;
  // What stands before the first delimiter is nobody's, and browsers put nothing there.
  if (!rest.starts_with(delimiter)) {
    const size_t first = rest.find(inner);
    if (first == std::string_view::npos) refuse("the boundary does not occur");
    take(rest, first + kLineEnd.size());
  }
  take(rest, delimiter.size());
  std::vector<Part> parts;
  while (!rest.starts_with("--")) {
    if (!rest.starts_with(kLineEnd)) refuse("a boundary's line goes on");
    take(rest, kLineEnd.size());
    if (parts.size() == kMostParts) refuse("it has more than " + std::to_string(kMostParts) + " parts");
    Part part = read_head(rest);
    const size_t end = rest.find(inner);
    if (end == std::string_view::npos) refuse("it ends inside a part");
    part.body = take(rest, end);
    take(rest, inner.size());
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace limn::server
