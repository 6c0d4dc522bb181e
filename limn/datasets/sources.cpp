// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/sources.h"

#include <algorithm>
#include <map>

#include "limn/base/error.h"
#include "limn/base/file.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostSidecar = 1 << 20;
constexpr std::string_view kPictures[] = {".png", ".jpg", ".jpeg", ".webp"};
constexpr const char* kNotes[] = {".headers", ".html", ".xmp"};

bool is_picture(const fs::path& path) {
  return std::ranges::find(kPictures, lower_case(path.extension().string())) != std::end(kPictures);
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

json::object object_of(std::string_view text, const std::string& where) {
  const json::value value = parse_json(text, where);
  if (!value.is_object()) throw Error(ErrorCode::BadFile, where, "expected a JSON object");
  return value.as_object();
}

using OnItem = std::function<void(const Item&)>;
using OnBroken = std::function<void(const std::string&, const std::string&)>;

void items_of_folder(const fs::path& folder, const OnItem& visit, const OnBroken& broken) {
  std::vector<fs::path> files;
  for (const auto& entry :
       fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied))
    if (entry.is_regular_file() && is_picture(entry.path())) files.push_back(entry.path());
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    try {
      const auto mapped = MappedFile::open(file);
      Item item{.where = file.string(),
                .name = file.stem().string(),
                .extension = lower_case(file.extension().string()),
                .bytes = mapped->bytes(),
                .folder = fs::absolute(file).parent_path()};
      const fs::path text = fs::path(file).replace_extension(".txt"),
                     fields = fs::path(file).replace_extension(".json");
      if (fs::exists(text)) item.caption = read_file(text, kMostSidecar);
      if (fs::exists(fields)) {
        item.fields = object_of(read_file(fields, kMostSidecar), fields.string());
        item.fields_origin = "json";
      }
      for (const char* extension : kNotes)
        if (const fs::path notes = fs::path(file).replace_extension(extension); fs::exists(notes))
          item.notes += read_file(notes, kMostSidecar) + "\n";
      visit(item);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadFile && error.code() != ErrorCode::NotFound) throw;
      broken(file.string(), error.problem());
    }
  }
}

void items_of_tar(const fs::path& path, const OnItem& visit, const OnBroken& broken) {
  const auto mapped = MappedFile::open(path);
  std::map<std::string, std::map<std::string, std::span<const std::byte>>>
      groups;  // WebDataset: by name up to a dot
  std::vector<std::string> order;
  for (const TarMember& member : read_tar(mapped->bytes(), path.string())) {
    const size_t slash = member.name.rfind('/') + 1, dot = member.name.find('.', slash);
    if (dot == std::string::npos || dot == slash) continue;
    const std::string stem = member.name.substr(0, dot);
    if (!groups.contains(stem)) order.push_back(stem);
    groups[stem][lower_case(member.name.substr(dot))] = member.bytes;
  }
  for (const std::string& stem : order) {
    const auto& files = groups[stem];
    const std::string where = path.string() + ": " + stem;
    for (const auto& [extension, bytes] : files) {
      if (std::ranges::find(kPictures, extension) == std::end(kPictures)) continue;
      Item item{.where = where,
                .name = stem,
                .extension = extension,
                .bytes = bytes,
                .folder = fs::absolute(path).parent_path()};
      try {
        if (const auto text = files.find(".txt"); text != files.end())
          item.caption = std::string(as_text(text->second));
        if (const auto fields = files.find(".json"); fields != files.end()) {
          item.fields = object_of(as_text(fields->second), where + ".json");
          item.fields_origin = "json";
        }
        for (const char* name : kNotes)
          if (const auto notes = files.find(name); notes != files.end())
            item.notes.append(as_text(notes->second)).append("\n");
        visit(item);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::BadFile) throw;
        broken(where, error.problem());
      }
    }
  }
}

void items_of_manifest(const fs::path& path, const OnItem& visit, const OnBroken& broken) {
  const auto mapped = MappedFile::open(path);
  const std::string_view text = as_text(mapped->bytes());
  int64_t line = 0;
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find('\n', from), text.size());
    const std::string where = path.string() + ":" + std::to_string(++line);
    const std::string_view row = text.substr(from, end - from);
    from = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      Item item{.where = where, .fields = object_of(row, where), .fields_origin = "manifest"};
      const Fields fields(item.fields, where);
      const std::string name = fields.string("file", "");
      if (name.empty() && fields.has("excluded")) continue;  // of another data set, which has no file for it
      if (name.empty()) throw Error(ErrorCode::BadFile, where + ": file", "is missing");
      const fs::path file = fs::path(name).is_absolute() ? fs::path(name) : path.parent_path() / name;
      const auto picture = MappedFile::open(file);
      item.name = file.stem().string();
      item.extension = lower_case(file.extension().string());
      item.bytes = picture->bytes();
      item.folder = fs::absolute(file).parent_path();
      visit(item);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadFile && error.code() != ErrorCode::NotFound) throw;
      broken(where, error.what());
    }
  }
}

}  // namespace

std::string lower_case(std::string_view ascii) {
  std::string out(ascii);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

void for_each_item(const fs::path& source, const OnItem& visit, const OnBroken& broken) {
  if (!fs::exists(source)) throw Error(ErrorCode::NotFound, source.string(), "no such file or folder");
  const std::string extension = lower_case(source.extension().string());
  if (fs::is_directory(source))
    items_of_folder(source, visit, broken);
  else if (extension == ".tar")
    items_of_tar(source, visit, broken);
  else if (extension == ".jsonl")
    items_of_manifest(source, visit, broken);
  else
    throw Error(ErrorCode::InvalidArgument, source.string(), "is no source of pictures",
                "name a folder, a WebDataset .tar or a manifest .jsonl");
}

}  // namespace limn::datasets
