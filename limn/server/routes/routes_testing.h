// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "limn/base/file.h"
#include "limn/engine/engine.h"
#include "limn/image/image.h"
#include "limn/server/auth.h"
#include "limn/server/base64.h"
#include "limn/server/blob_store.h"
#include "limn/server/catalogue.h"
#include "limn/server/job_store.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/picture_store.h"
#include "limn/server/router.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/settings.h"
#include "limn/server/store_testing.h"
#include "limn/server/submit.h"
#include "limn/server/worker.h"

namespace limn::server {

/// Collects what a response streams. @param enough  asked after each part; true: the client goes
class Collector : public BodyStream, public MessageStream {
 public:
  explicit Collector(std::function<bool(const std::string& all)> enough = {}) : enough_(std::move(enough)) {}
  bool write(std::string_view bytes) override {
    all += bytes;
    return !enough_ || !enough_(all);
  }
  bool send(std::string_view text) override { return write(std::string(text) + "\n"); }
  std::string all;

 private:
  std::function<bool(const std::string&)> enough_;
};

struct CallOptions {
  std::string key = {}, type = "application/json";
  Pairs headers = {};
  std::string peer = "127.0.0.1";
};

/// All of a server but its transport, in a temporary folder.
class TestServer {
 public:
  explicit TestServer(const std::function<void(Settings&)>& adjust = {})
      : settings_(settings_in(folder_.path(), adjust)),
        models_(std::make_shared<engine::Models>()),
        database_(open_database((folder_.path() / "limn.db").string())),
        jobs_(*database_, bus_),
        pictures_(*database_, bus_),
        blobs_(open_blob_store((folder_.path() / "blobs").string(), folder_.path() / "cache")),
        catalogue_({settings_.models.begin(), settings_.models.end()}, folder_.path() / "hashes.json",
                   models_),
        log_(Log::Format::Text, [](std::string_view) {}),
        auth_(settings_, *database_, log_),
        services_{settings_,  jobs_, pictures_, *blobs_, bus_,
                  catalogue_, auth_, metrics_,  log_,    closing_.get_token()},
        router_(services_, all_routes(), all_schemas()) {
    services_.router = &router_;
  }

  Services& services() { return services_; }
  const std::filesystem::path& folder() const { return folder_.path(); }
  std::stop_source& closing() { return closing_; }
  std::shared_ptr<engine::Models> models() { return models_; }

  /// Adds a key, whose name is the owner. From the first on, all calls need one.
  std::string key(const std::string& name, Role role) {
    settings_.keys = (folder() / "keys").string();
    return add_key(settings_.keys, name, role);
  }

  using Options = CallOptions;
  /// @param target  path and query, encoded
  HttpResponse call(const std::string& method, const std::string& target, const std::string& body = {},
                    const Options& options = {}) {
    HttpRequest request;
    request.method = method;
    request.target = target.substr(0, target.find('?'));
    request.path = percent_decode(request.target).value();
    if (target.size() > request.target.size())
      request.query = parse_query(target.substr(request.target.size() + 1)).value();
    request.headers = options.headers;
    request.headers.emplace_back("host", "127.0.0.1");
    if (!body.empty()) request.headers.emplace_back("content-type", options.type);
    if (!options.key.empty()) request.headers.emplace_back("authorization", "Bearer " + options.key);
    request.body = body;
    request.peer = options.peer;
    request.gone = gone_.get_token();
    HttpResponse response = router_.handle(request);
    check(request, response);
    return response;
  }
  HttpResponse get(const std::string& target, const Options& options = {}) {
    return call("GET", target, {}, options);
  }

  /// The JSON of an answer that must have a status.
  json::object json(int status, const std::string& method, const std::string& target,
                    const std::string& body = {}, const Options& options = {}) {
    const HttpResponse response = call(method, target, body, options);
    EXPECT_EQ(response.status, status) << method << " " << target << ": " << response.body;
    return parse_json(response.body, target).as_object();
  }
  /// "code: where: message" of an answer that must be an error.
  std::string error(int status, const std::string& method, const std::string& target,
                    const std::string& body = {}, const Options& options = {}) {
    const json::object all = json(status, method, target, body, options);
    const json::object& error = all.at("error").as_object();
    return std::string(error.at("code").as_string()) + ": " + std::string(error.at("where").as_string()) +
           ": " + std::string(error.at("message").as_string());
  }

  /// Submits a small job. @param fields  more fields, as JSON without braces
  std::string submit(const std::string& fields = {}, const Options& options = {}) {
    json::object request{{"prompt", "a red circle"}, {"width", 64}, {"height", 64}, {"steps", 2}};
    const json::value more = parse_json("{" + fields + "}", "fields");
    for (const auto& [name, value] : more.as_object()) request[name] = value;
    const std::string body = to_text(json::object{{"request", request}});
    return std::string(json(202, "POST", "/api/v1/jobs", body, options).at("id").as_string());
  }
  void work() {
    Worker worker(services_, models_, "worker");
    while (worker.run_one()) continue;
  }
  Job job(const std::string& id) { return jobs_.find(id).value(); }

 private:
  static Settings settings_in(const std::filesystem::path& folder,
                              const std::function<void(Settings&)>& adjust) {
    Settings out;
    out.data = folder.string();
    out.threads = 1;
    if (adjust) adjust(out);
    return out;
  }

  /// Every answer of a test must be one that the document tells of.
  void check(const HttpRequest& request, const HttpResponse& response) {
    const Route* route = route_of(request);
    if (!route || response.status >= 400) return;
    const auto answer = std::ranges::find(route->answers, response.status, &Answer::status);
    ASSERT_NE(answer, route->answers.end()) << route->name << " answers with " << response.status;
    if (answer->schema.empty()) return;
    const json::object schema{{"$ref", "#/components/schemas/" + std::string(answer->schema)}};
    EXPECT_NO_THROW(check_schema(schema, parse_json(response.body, "answer"), all_schemas(), "answer"))
        << route->name << ": " << response.body;
  }

  static const Route* route_of(const HttpRequest& request) {
    for (const Route& route : all_routes()) {
      const std::string pattern =
          std::regex_replace(std::string(route.path), std::regex("\\{[a-z_]+\\}"), "[^/]+");
      if (route.method == request.method && std::regex_match(request.target, std::regex(pattern)))
        return &route;
    }
    return nullptr;
  }

  TemporaryFolder folder_;
  Settings settings_;
  std::shared_ptr<engine::Models> models_;
  EventBus bus_;
  std::unique_ptr<Database> database_;
  JobStore jobs_;
  PictureStore pictures_;
  std::unique_ptr<BlobStore> blobs_;
  Catalogue catalogue_;
  Metrics metrics_;
  Log log_;
  Auth auth_;
  std::stop_source closing_, gone_;
  Services services_;
  Router router_;
};

/// A picture with some content, encoded.
inline std::string test_picture(int width, int height, std::string_view format = "png",
                                const std::vector<TextEntry>& texts = {}) {
  Image image{width, height, 3, std::vector<uint8_t>(static_cast<size_t>(width) * height * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 7 + i / 97);
  return encode_image(image, format, texts);
}

inline Image decoded(const std::string& bytes) {
  return decode_image(std::as_bytes(std::span(bytes)), "test");
}

}  // namespace limn::server
