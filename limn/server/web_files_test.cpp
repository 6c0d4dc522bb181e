// SPDX-License-Identifier: Apache-2.0
#include "limn/server/web_files.h"

#include <fstream>

#include <gmock/gmock.h>

#include "limn/base/error.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr WebFile kFiles[] = {
    {"/index.html", "e1", "plain page", "zipped", ""},
    {"/assets/a-12345678.js", "e2", "plain script", "zipped script", "br script"},
    {"/assets/f-12345678.woff2", "e3", "font", "", ""},
};

HttpRequest get(const std::string& path, Pairs headers = {}) {
  HttpRequest out;
  out.method = "GET";
  out.path = path;
  out.headers = std::move(headers);
  return out;
}
std::string header(const HttpResponse& response, std::string_view name) {
  return find_value(response.headers, name).value_or("");
}

TEST(WebFiles, AreServedWithTypeAndHowLongTheyLast) {
  const WebPage page = serve_files(kFiles);
  const auto index = page(get("/"));
  ASSERT_TRUE(index.has_value());
  EXPECT_EQ(index->bytes, "plain page");
  EXPECT_EQ(index->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(header(*index, "Cache-Control"), "no-cache");
  EXPECT_EQ(header(*index, "ETag"), "\"e1\"");
  const auto script = page(get("/assets/a-12345678.js"));
  EXPECT_EQ(script->content_type, "text/javascript; charset=utf-8");
  EXPECT_THAT(header(*script, "Cache-Control"), HasSubstr("immutable"));
  EXPECT_EQ(page(get("/assets/f-12345678.woff2"))->content_type, "font/woff2");
  for (const char* path : {"/assets", "/assets/", "/index.htm", "/assets/../index.html", "//index.html"})
    EXPECT_FALSE(page(get(path)).has_value()) << path;
}

TEST(WebFiles, ArePackedForWhoCanUnpack) {
  const WebPage page = serve_files(kFiles);
  const auto served = [&](const std::string& accepted) {
    const auto response = page(get("/assets/a-12345678.js", {{"accept-encoding", accepted}}));
    EXPECT_EQ(header(*response, "Vary"), "Accept-Encoding");
    return std::string(response->bytes) + "|" + header(*response, "Content-Encoding") + "|" +
           header(*response, "ETag");
  };
  EXPECT_EQ(served("gzip, deflate, br"), "br script|br|\"e2-br\"");
  EXPECT_EQ(served("GZIP;q=0.5"), "zipped script|gzip|\"e2-gzip\"");
  EXPECT_EQ(served("br;q=0, gzip"), "zipped script|gzip|\"e2-gzip\"");
  EXPECT_EQ(served("deflate"), "plain script||\"e2\"");
  EXPECT_EQ(served("gzip;q=0.0"), "plain script||\"e2\"");
  EXPECT_EQ(header(*page(get("/assets/f-12345678.woff2", {{"accept-encoding", "gzip"}})), "Content-Encoding"),
            "");
}

TEST(WebFiles, AreNotSentAgain) {
  const WebPage page = serve_files(kFiles);
  const auto same = page(get("/", {{"if-none-match", "\"x\", W/\"e1\""}}));
  EXPECT_EQ(same->status, 304);
  EXPECT_EQ(same->bytes, "");
  EXPECT_EQ(header(*same, "ETag"), "\"e1\"");
  EXPECT_EQ(page(get("/", {{"if-none-match", "\"e2\""}}))->status, 200);
  EXPECT_EQ(page(get("/", {{"if-none-match", "\"e1\""}, {"accept-encoding", "gzip"}}))->status,
            200);  // of another packing
}

TEST(WebFiles, SayWhenTheyWereNotBuilt) {
  const WebPage page = serve_files({});
  EXPECT_THAT(page(get("/"))->body, HasSubstr("without its web page"));
  EXPECT_FALSE(page(get("/index.html")).has_value());
}

TEST(WebFiles, OfThisBuildHoldWhatTheTableSays) {
  for (const WebFile& file : web_files()) {
    EXPECT_TRUE(file.path.starts_with('/')) << file.path;
    EXPECT_EQ(file.etag.size(), 32u);
    EXPECT_TRUE(file.gzip.empty() ||
                (file.gzip.starts_with("\x1f\x8b") && file.gzip.size() < file.plain.size()));
  }
}

TEST(WebFolder, IsServedAndNeverLeft) {
  const TemporaryFolder folder;
  const fs::path root = folder.path() / "dist";
  fs::create_directories(root / "assets");
  std::ofstream(root / "index.html") << "page";
  std::ofstream(root / "assets" / "a b.css") << "style";
  std::ofstream(folder.path() / "secret") << "secret";
  fs::create_directories(folder.path() / "dist2");
  std::ofstream(folder.path() / "dist2" / "x") << "secret";
  fs::create_symlink("../secret", root / "link");
  const WebPage page = serve_folder(root);
  EXPECT_EQ(page(get("/"))->body, "page");
  EXPECT_EQ(page(get("/assets/a b.css"))->body, "style");
  EXPECT_EQ(page(get("/assets/a b.css"))->content_type, "text/css; charset=utf-8");
  EXPECT_EQ(page(get("/assets/../index.html"))->body, "page");
  for (const char* path : {"/../secret", "/link", "/../dist2/x", "/assets", "/none", "//etc/passwd",
                           "/../../../../etc/passwd", ""})
    EXPECT_FALSE(page(get(path)).has_value()) << path;
  EXPECT_EQ(code_of([&] { serve_folder(folder.path() / "none"); }), ErrorCode::NotFound);
}

}  // namespace
}  // namespace limn::server
