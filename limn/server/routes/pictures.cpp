// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <set>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/image/image.h"
#include "limn/server/blob_store.h"
#include "limn/server/picture_store.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/submit.h"
#include "limn/server/zip.h"

namespace limn::server {
namespace {

constexpr std::string_view kForever = "private, max-age=31536000, immutable";

GalleryPicture picture_of(const Services& services, const Client& client, const std::string& id) {
  const std::optional<GalleryPicture> picture = services.pictures.find(id, visible_owner(client));
  if (!picture) throw Error(ErrorCode::NotFound, "id", "no picture '" + id + "'");
  return *picture;
}

HttpResponse search_pictures(Services& services, const Call& call) {
  PictureStore::Query query{.owner = visible_owner(call.client),
                            .text = text_parameter(call, "q"),
                            .least_rating = integer_parameter(call, "rating", 0, 0, 5),
                            .job = text_parameter(call, "job"),
                            .deleted = boolean_parameter(call, "deleted", false),
                            .before = text_parameter(call, "before"),
                            .limit = integer_parameter(call, "limit", 60, 1, 1000)};
  for (const auto& [name, value] : call.http.query)
    if (name == "tag") query.tags.push_back(value);
  const PictureStore::Page page = services.pictures.search(query);
  json::array pictures;
  for (const GalleryPicture& picture : page.pictures) pictures.push_back(to_json(picture));
  return json_answer(json::object{{"pictures", pictures}, {"total", page.total}});
}

HttpResponse get_picture(Services& services, const Call& call) {
  return json_answer(to_json(picture_of(services, call.client, call.at("id"))));
}

/// "limn-7-0a1b2c3d.png"
std::string file_name(const GalleryPicture& picture, std::string_view format) {
  const json::value* seed = picture.record.if_contains("seed");
  return "limn-" + (seed ? limn::to_text(*seed) : "") + "-" + picture.id.substr(0, 8) +
         std::string(find_named(image_formats(), format, "format").extension);
}

/// The file's bytes in another format, or without what it says of itself.
std::string bytes_of(const BlobStore& blobs, const GalleryPicture& picture, std::string_view format,
                     bool metadata) {
  std::string bytes = blobs.get(picture.id);
  if (metadata && format == picture.format) return bytes;
  const PictureTurn turn;
  const auto raw = std::as_bytes(std::span(bytes));
  const std::vector<TextEntry> texts = metadata ? image_texts(raw, picture.id) : std::vector<TextEntry>();
  return encode_image(decode_image(raw, picture.id), format, texts);
}

struct Range {
  size_t first, last;  // inclusive
};
/// "bytes=0-99", "bytes=100-", "bytes=-100"; nothing for what is no range that can be given.
std::optional<Range> range_of(std::string_view text, size_t size) {
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit)) return {};
  text.remove_prefix(kUnit.size());
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return {};
  const auto number = [](std::string_view digits) -> std::optional<size_t> {
    size_t value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (code != std::errc() || end != digits.data() + digits.size()) return {};
    return value;
  };
  const auto first = number(text.substr(0, dash)), last = number(text.substr(dash + 1));
  if (dash == 0) {
    if (!last || *last == 0 || size == 0) return {};
    return Range{size - std::min(*last, size), size - 1};
  }
  if (!first || *first >= size || (!last && dash + 1 < text.size()) || (last && *last < *first)) return {};
  return Range{*first, std::min(last.value_or(size - 1), size - 1)};
}

/// Cuts the body to what the client asks for: RFC 9110, §14.
void apply_range(const HttpRequest& http, const std::string& etag, HttpResponse& out) {
  out.headers.emplace_back("Accept-Ranges", "bytes");
  const std::string asked = http.header("range"), condition = http.header("if-range");
  const bool several = asked.find(',') != std::string::npos;  // the whole is a fair answer
  if (asked.empty() || several || (!condition.empty() && condition != etag)) return;
  const std::string size = std::to_string(out.body.size());
  const std::optional<Range> range = range_of(asked, out.body.size());
  if (!range) {
    out.status = 416;
    out.headers.emplace_back("Content-Range", "bytes */" + size);
    out.body.clear();
    return;
  }
  out.status = 206;
  out.headers.emplace_back("Content-Range", "bytes " + std::to_string(range->first) + "-" +
                                                std::to_string(range->last) + "/" + size);
  out.body = out.body.substr(range->first, range->last - range->first + 1);
}

bool is_known(const HttpRequest& http, const std::string& etag) {
  const std::string known = http.header("if-none-match");
  return known == "*" || known.find(etag) != std::string::npos;
}

HttpResponse get_file(Services& services, const Call& call) {
  const GalleryPicture picture = picture_of(services, call.client, call.at("id"));
  const std::string asked = text_parameter(call, "format");
  const ImageFormat& format = find_named(image_formats(), asked.empty() ? picture.format : asked, "format");
  const bool metadata = boolean_parameter(call, "metadata", true),
             original = metadata && format.name == picture.format;
  const std::string etag =
      "\"" + picture.id + (original ? "" : "." + std::string(format.name) + (metadata ? "" : ".bare")) + "\"";
  HttpResponse out;
  out.content_type = format.mime;
  out.headers = {{"ETag", etag}, {"Cache-Control", std::string(kForever)}};
  if (is_known(call.http, etag)) {
    out.status = 304;
    return out;
  }
  if (boolean_parameter(call, "download", false))
    out.headers.emplace_back("Content-Disposition",
                             "attachment; filename=\"" + file_name(picture, format.name) + "\"");
  out.body = bytes_of(services.blobs, picture, format.name, metadata);
  if (original) apply_range(call.http, etag, out);
  return out;
}

HttpResponse get_thumbnail(Services& services, const Call& call) {
  const GalleryPicture picture = picture_of(services, call.client, call.at("id"));
  const std::string etag = "\"" + picture.thumbnail + "\"";
  HttpResponse out;
  out.content_type = "image/jpeg";
  out.headers = {{"ETag", etag}, {"Cache-Control", std::string(kForever)}};
  if (is_known(call.http, etag))
    out.status = 304;
  else
    out.body = services.blobs.get(picture.thumbnail);
  return out;
}

std::vector<std::string> texts_of(const json::value* list) {
  std::vector<std::string> out;
  if (list)
    for (const json::value& item : list->as_array()) out.emplace_back(item.as_string());
  return out;
}

PictureStore::Change change_of(const json::object& body) {
  PictureStore::Change change;
  if (const json::value* tags = body.if_contains("tags")) change.set_tags = texts_of(tags);
  change.add_tags = texts_of(body.if_contains("add_tags"));
  change.remove_tags = texts_of(body.if_contains("remove_tags"));
  if (const json::value* rating = body.if_contains("rating")) change.rating = rating->to_number<int64_t>();
  if (const json::value* deleted = body.if_contains("deleted")) change.deleted = deleted->as_bool();
  return change;
}

HttpResponse change_picture(Services& services, const Call& call) {
  const std::string id = picture_of(services, call.client, call.at("id")).id;
  services.pictures.change(visible_owner(call.client), std::vector{id}, change_of(call.json.get_object()));
  return json_answer(to_json(picture_of(services, call.client, id)));
}

HttpResponse change_pictures(Services& services, const Call& call) {
  const json::object& body = call.json.get_object();
  const std::vector<std::string> ids = texts_of(body.if_contains("ids"));
  return json_answer(
      json::object{{"changed", services.pictures.change(visible_owner(call.client), ids, change_of(body))}});
}

HttpResponse list_tags(Services& services, const Call& call) {
  json::array tags;
  for (const auto& [name, count] : services.pictures.tags(visible_owner(call.client)))
    tags.push_back({{"name", name}, {"count", count}});
  return json_answer(json::object{{"tags", tags}});
}

HttpResponse make_archive(Services& services, const Call& call) {
  const json::object& body = call.json.get_object();
  const json::value* said = body.if_contains("metadata");
  const bool metadata = !said || said->as_bool();
  std::vector<GalleryPicture> pictures;
  std::set<std::string> seen;
  int64_t bytes = 0;
  for (const std::string& id : texts_of(body.if_contains("ids"))) {
    if (!seen.insert(id).second) continue;
    pictures.push_back(picture_of(services, call.client, id));
    bytes += pictures.back().bytes + ZipWriter::overhead(file_name(pictures.back(), pictures.back().format));
  }
  // Without metadata a picture is encoded anew, and may be a little larger.
  constexpr int64_t kMost = ZipWriter::kMostBytes / 2;
  if (bytes > kMost)
    throw Error(ErrorCode::InvalidArgument, "ids",
                "come to " + std::to_string(bytes) + " bytes, more than one archive holds",
                "ask for fewer at once");
  HttpResponse out;
  out.content_type = "application/zip";
  out.headers = {{"Content-Disposition", "attachment; filename=\"limn-pictures.zip\""},
                 {"Cache-Control", "no-store"}};
  out.stream = [&services, pictures, metadata](BodyStream& to) {
    ZipWriter zip([&to](std::string_view part) { return to.write(part); });
    for (const GalleryPicture& picture : pictures)
      if (!zip.add(file_name(picture, picture.format),
                   bytes_of(services.blobs, picture, picture.format, metadata), picture.created))
        return;
    zip.finish();
  };
  return out;
}

}  // namespace

std::vector<Route> picture_routes() {
  const Answer picture{200, "application/json", "Picture", "the picture as it is now"};
  return {
      {.method = "GET",
       .path = "/api/v1/pictures",
       .name = "search_pictures",
       .tag = "pictures",
       .help = "The gallery, newest first.",
       .parameters = {{"q", R"({"type":"string"})",
                       "words that prompt, negative prompt, model or tags hold, by their beginnings"},
                      {"tag", R"({"type":"string"})", "only with this tag; may be given again"},
                      {"rating", R"({"type":"integer","minimum":0,"maximum":5,"default":0})", "at least"},
                      {"job", R"({"type":"string"})", "only of this job"},
                      {"deleted", R"({"type":"boolean","default":false})", "the bin instead of the gallery"},
                      {"before", R"({"type":"string"})", "the id of the last picture of the page before"},
                      {"limit", R"({"type":"integer","minimum":1,"maximum":1000,"default":60})",
                       "how many at most"}},
       .answers = {{200, "application/json", "PictureList", "a page, and how many there are in all"}},
       .handle = search_pictures},
      {.method = "GET",
       .path = "/api/v1/pictures/{id}",
       .name = "get_picture",
       .tag = "pictures",
       .help = "What is known of one picture.",
       .answers = {picture},
       .handle = get_picture},
      {.method = "PATCH",
       .path = "/api/v1/pictures/{id}",
       .name = "change_picture",
       .tag = "pictures",
       .help = "Tags or rates a picture, or puts it into the bin and takes it out again.",
       .takes = "application/json",
       .takes_schema = "PictureChange",
       .answers = {picture},
       .handle = change_picture},
      {.method = "GET",
       .path = "/api/v1/pictures/{id}/file",
       .name = "get_picture_file",
       .tag = "pictures",
       .help = "The picture itself. It never changes; parts of it may be asked for with Range.",
       .parameters =
           {{"metadata", R"({"type":"boolean","default":true})", "with what it says of how it was made"},
            {"format", R"({"type":"string","enum":["png","jpeg","webp"]})", "another format than its own"},
            {"download", R"({"type":"boolean","default":false})", "as a file to be kept, with a name"}},
       .answers = {{200, "image/*", "", "the file"},
                   {206, "image/*", "", "a part of it"},
                   {304, "", "", "the client has it"},
                   {416, "", "", "it has no such part"}},
       .handle = get_file},
      {.method = "GET",
       .path = "/api/v1/pictures/{id}/thumbnail",
       .name = "get_picture_thumbnail",
       .tag = "pictures",
       .help = "The picture, small: at most 320 pixels a side.",
       .answers = {{200, "image/jpeg", "", "the thumbnail"}, {304, "", "", "the client has it"}},
       .handle = get_thumbnail},
      {.method = "POST",
       .path = "/api/v1/pictures/bulk",
       .name = "change_pictures",
       .tag = "pictures",
       .help = "Changes many pictures. Those that are not there are passed over.",
       .takes = "application/json",
       .takes_schema = "BulkChange",
       .answers = {{200, "application/json", "Changed", "how many were changed"}},
       .handle = change_pictures},
      {.method = "POST",
       .path = "/api/v1/pictures/archive",
       .name = "make_archive",
       .tag = "pictures",
       .help = "Many pictures as one ZIP file.",
       .takes = "application/json",
       .takes_schema = "ArchiveRequest",
       .answers = {{200, "application/zip", "", "the pictures, in the order asked for"}},
       .handle = make_archive},
      {.method = "GET",
       .path = "/api/v1/tags",
       .name = "list_tags",
       .tag = "pictures",
       .help = "Every tag with how often it occurs.",
       .answers = {{200, "application/json", "TagList", "the tags"}},
       .handle = list_tags},
  };
}

}  // namespace limn::server
