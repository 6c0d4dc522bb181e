// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stop_token>

#include "limn/server/routes/sdapi_options.h"

namespace limn::engine {
class Models;
}

namespace limn::server {

class Auth;
class BlobStore;
class Catalogue;
class EventBus;
class JobStore;
class Log;
class Metrics;
class PictureStore;
class Router;
struct Settings;

/// What routes and workers work with. All of it is safe to share, and outlives them.
struct Services {
  const Settings& settings;
  JobStore& jobs;
  PictureStore& pictures;
  BlobStore& blobs;
  EventBus& bus;
  Catalogue& catalogue;
  Auth& auth;
  Metrics& metrics;
  Log& log;
  std::stop_token closing;         // the server drains: streams end
  const Router* router = nullptr;  // whose document() describes the server; set once it exists
  SdapiOptions sdapi_options = {};
};

}  // namespace limn::server
