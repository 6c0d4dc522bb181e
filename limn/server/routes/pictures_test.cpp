// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "limn/provenance/record.h"
#include "limn/server/routes/routes_testing.h"

namespace limn::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

/// A server with two pictures of one job.
class Pictures : public testing::Test {
 protected:
  Pictures() {
    const std::string id = server_.submit(R"("count": 2, "seed": 5)");
    server_.work();
    ids_ = server_.job(id).pictures;
    job_ = id;
    EXPECT_EQ(ids_.size(), 2u);
  }
  std::string address(size_t i, const std::string& rest = {}) const {
    return "/api/v1/pictures/" + ids_[i] + rest;
  }

  std::vector<std::string> found(const std::string& query) {
    std::vector<std::string> out;
    const json::object all = server_.json(200, "GET", "/api/v1/pictures" + query);
    for (const json::value& picture : all.at("pictures").as_array())
      out.emplace_back(picture.at("id").as_string());
    return out;
  }

  TestServer server_;
  std::vector<std::string> ids_;
  std::string job_;
};

TEST_F(Pictures, SayHowTheyWereMade) {
  const json::object second = server_.json(200, "GET", address(1));
  EXPECT_EQ(second.at("index"), 1);
  EXPECT_EQ(second.at("seed"), "6");
  EXPECT_EQ(second.at("model"), "limn embedded");
  const json::object& request = second.at("request").as_object();
  EXPECT_EQ(request.at("seed"), 6);
  EXPECT_EQ(request.at("steps"), 2);
  EXPECT_FALSE(request.contains("count"));

  const std::string again = server_.submit();
  const json::object job =
      server_.json(202, "POST", "/api/v1/jobs", to_text(json::object{{"request", request}}));
  server_.work();
  const std::string made = server_.job(std::string(job.at("id").as_string())).pictures.at(0);
  EXPECT_EQ(decoded(server_.get("/api/v1/pictures/" + made + "/file").body).pixels,
            decoded(server_.get(address(1, "/file")).body).pixels);
}

TEST_F(Pictures, AreGivenAsTheyAreWithTheirRecord) {
  const HttpResponse file = server_.get(address(0, "/file"));
  EXPECT_EQ(file.content_type, "image/png");
  EXPECT_EQ(find_value(file.headers, "ETag"), "\"" + ids_[0] + "\"");
  EXPECT_THAT(find_value(file.headers, "Cache-Control").value(), HasSubstr("immutable"));
  EXPECT_EQ(sha256(std::as_bytes(std::span(file.body))), ids_[0]);
  const auto texts = image_texts(std::as_bytes(std::span(file.body)), "file");
  EXPECT_EQ(provenance::read_provenance(texts).record->seed, 5u);
  const std::string etag = "\"" + ids_[0] + "\"";
  const HttpResponse known = server_.get(address(0, "/file"), {.headers = {{"if-none-match", etag}}});
  EXPECT_EQ(known.status, 304);
  EXPECT_THAT(known.body, IsEmpty());
  EXPECT_THAT(
      find_value(server_.get(address(0, "/file?download=true")).headers, "Content-Disposition").value(),
      StartsWith("attachment; filename=\"limn-5-"));
}

TEST_F(Pictures, ChangeTheirFormatAndLoseTheirMetadata) {
  const std::string original = server_.get(address(0, "/file")).body;
  for (const std::string format : {"png", "jpeg", "webp"})
    for (const bool metadata : {true, false}) {
      const HttpResponse file =
          server_.get(address(0, "/file?format=" + format + "&metadata=" + (metadata ? "true" : "false")));
      ASSERT_EQ(file.status, 200) << file.body;
      EXPECT_EQ(file.content_type, "image/" + format);
      const auto texts = image_texts(std::as_bytes(std::span(file.body)), "file");
      EXPECT_EQ(provenance::read_provenance(texts).record.has_value(), metadata) << format;
      EXPECT_EQ(texts.empty(), !metadata);
      EXPECT_EQ(decoded(file.body).width, 64);
      EXPECT_TRUE(format != "png" || decoded(file.body).pixels == decoded(original).pixels);
    }
  EXPECT_EQ(server_.get(address(0, "/file?format=bmp")).status, 400);
  EXPECT_EQ(server_.get(address(0, "/file?metadata=perhaps")).status, 400);
}

TEST_F(Pictures, AreGivenInParts) {
  const std::string whole = server_.get(address(0, "/file")).body, size = std::to_string(whole.size());
  const auto part = [&](const std::string& range) {
    return server_.get(address(0, "/file"), {.headers = {{"range", range}}});
  };
  const HttpResponse first = part("bytes=0-9");
  EXPECT_EQ(first.status, 206);
  EXPECT_EQ(first.body, whole.substr(0, 10));
  EXPECT_EQ(find_value(first.headers, "Content-Range"), "bytes 0-9/" + size);
  EXPECT_EQ(part("bytes=10-").body, whole.substr(10));
  EXPECT_EQ(part("bytes=-7").body, whole.substr(whole.size() - 7));
  EXPECT_EQ(part("bytes=5-99999999").body, whole.substr(5));
  EXPECT_EQ(part("bytes=-99999999").body, whole);
  for (const char* wrong : {"bytes=99999999-", "bytes=5-4", "bytes=-0", "bytes=x-1", "bytes=1-x", "bytes=-",
                            "apples=0-1", "bytes"}) {
    const HttpResponse refused = part(wrong);
    EXPECT_EQ(refused.status, 416) << wrong;
    EXPECT_EQ(find_value(refused.headers, "Content-Range"), "bytes */" + size);
  }
  EXPECT_EQ(part("bytes=0-1,5-6").status, 200);
  EXPECT_EQ(
      server_.get(address(0, "/file"), {.headers = {{"range", "bytes=0-9"}, {"if-range", "\"another\""}}})
          .status,
      200);
  EXPECT_EQ(server_.get(address(0, "/file?format=jpeg"), {.headers = {{"range", "bytes=0-9"}}}).status, 200);
}

TEST_F(Pictures, HaveThumbnails) {
  const HttpResponse thumbnail = server_.get(address(0, "/thumbnail"));
  EXPECT_EQ(thumbnail.content_type, "image/jpeg");
  EXPECT_EQ(decoded(thumbnail.body).width, 64);
  const std::string etag = find_value(thumbnail.headers, "ETag").value();
  EXPECT_EQ(server_.get(address(0, "/thumbnail"), {.headers = {{"if-none-match", etag}}}).status, 304);
}

TEST_F(Pictures, AreFoundTaggedRatedAndBinned) {
  EXPECT_THAT(found(""), ElementsAre(ids_[1], ids_[0]));
  EXPECT_THAT(found("?limit=1"), ElementsAre(ids_[1]));
  EXPECT_THAT(found("?limit=1&before=" + ids_[1]), ElementsAre(ids_[0]));
  EXPECT_THAT(found("?q=circ"), ElementsAre(ids_[1], ids_[0]));
  EXPECT_THAT(found("?q=square"), IsEmpty());
  EXPECT_THAT(found("?job=" + job_), ElementsAre(ids_[1], ids_[0]));

  const json::object changed = server_.json(200, "PATCH", address(0), R"({"tags": ["b", "a"], "rating": 4})");
  EXPECT_EQ(to_text(changed.at("tags")), R"(["a","b"])");
  EXPECT_EQ(changed.at("rating"), 4);
  EXPECT_THAT(found("?rating=4"), ElementsAre(ids_[0]));
  EXPECT_EQ(server_
                .json(200, "POST", "/api/v1/pictures/bulk",
                      R"({"ids": [")" + ids_[0] + R"(", ")" + ids_[1] +
                          R"(", "nobody"], "add_tags": ["c"], "remove_tags": ["a"]})")
                .at("changed"),
            2);
  EXPECT_EQ(to_text(server_.json(200, "GET", "/api/v1/tags").at("tags")),
            R"([{"name":"c","count":2},{"name":"b","count":1}])");
  EXPECT_THAT(found("?tag=b&tag=c"), ElementsAre(ids_[0]));

  EXPECT_TRUE(server_.json(200, "PATCH", address(0), R"({"deleted": true})").at("deleted").is_string());
  EXPECT_THAT(found(""), ElementsAre(ids_[1]));
  EXPECT_THAT(found("?deleted=true"), ElementsAre(ids_[0]));
  EXPECT_TRUE(server_.json(200, "PATCH", address(0), R"({"deleted": false})").at("deleted").is_null());

  EXPECT_THAT(server_.error(400, "PATCH", address(0), R"({"rating": 6})"), HasSubstr("rating"));
  EXPECT_THAT(server_.error(400, "PATCH", address(0), R"({"tags": [""]})"), HasSubstr("tags"));
  EXPECT_THAT(server_.error(400, "PATCH", address(0), R"({"title": "x"})"), HasSubstr("title"));
  EXPECT_THAT(server_.error(400, "POST", "/api/v1/pictures/bulk", R"({"ids": []})"), HasSubstr("ids"));
  EXPECT_THAT(server_.error(404, "GET", "/api/v1/pictures/nobody"), HasSubstr("no picture 'nobody'"));
  EXPECT_THAT(server_.error(404, "GET", "/api/v1/pictures/..%2f..%2fetc%2fpasswd/file"),
              HasSubstr("no picture"));
}

TEST_F(Pictures, GoIntoAnArchive) {
  const std::string body = R"({"ids": [")" + ids_[0] + R"(", ")" + ids_[1] + R"(", ")" + ids_[0] + R"("]})";
  const HttpResponse response = server_.call("POST", "/api/v1/pictures/archive", body);
  ASSERT_EQ(response.status, 200);
  Collector client;
  response.stream(client);
  EXPECT_THAT(client.all, StartsWith("PK\3\4"));
  EXPECT_THAT(client.all, HasSubstr("limn-5-" + ids_[0].substr(0, 8) + ".png"));
  EXPECT_THAT(client.all, HasSubstr(server_.get(address(1, "/file")).body));
  EXPECT_EQ(client.all[client.all.size() - 12], 2) << "each picture once";

  Collector bare;
  server_.call("POST", "/api/v1/pictures/archive", R"({"ids": [")" + ids_[0] + R"("], "metadata": false})")
      .stream(bare);
  EXPECT_THAT(client.all, HasSubstr("parameters"));
  EXPECT_THAT(bare.all, Not(HasSubstr("parameters")));
  EXPECT_THAT(server_.error(404, "POST", "/api/v1/pictures/archive", R"({"ids": ["nobody"]})"),
              HasSubstr("no picture"));
}

}  // namespace
}  // namespace limn::server
