// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limn/server/database.h"
#include "limn/server/http.h"
#include "limn/server/router.h"

namespace limn::server {

class Log;

std::string_view name_of(Role role);
std::optional<Role> role_of(std::string_view name);

/// What every key begins with, so that tools that look for leaked secrets find it, and how long the rest is.
inline constexpr std::string_view kKeyPrefix = "limn_";
inline constexpr size_t kKeyDigits = 43;  // base64 of 256 bits

/// A key as the file keeps it: one JSON object a line. The key itself is shown once and nowhere kept.
struct KeyEntry {
  std::string name;
  Role role = Role::Generate;
  std::string sha256;  // of the key
};

/// @throws Error{BadFile} with the line; a missing file has no keys
std::vector<KeyEntry> read_keys(const std::filesystem::path& file);
/// Adds a key to the file. @return the key, 256 random bits. @throws Error{InvalidArgument} when the name is taken
std::string add_key(const std::filesystem::path& file, const std::string& name, Role role);
/// @throws Error{NotFound}
void remove_key(const std::filesystem::path& file, std::string_view name);

/// Who asks, and whether they may: keys, sessions, and the rules that keep other sites' pages out. Safe to share.
class Auth {
 public:
  /// @param database  keeps sessions; outlives this, as do settings and log
  /// @throws Error{BadFile} when the file of keys cannot be read
  Auth(const Settings& settings, Database& database, Log& log);

  /// Refuses hosts that are not ours, and what pages of other sites send. @throws HttpError
  void check_origin(const HttpRequest& request) const;
  /// Whether the request's Origin is one of the other sites that are listed.
  bool is_listed_origin(const HttpRequest& request) const;

  /// Whether nobody needs a key: there are none, and the server listens to this machine alone.
  bool is_open() const;
  /// @throws HttpError 401 when no key or session is given or none fits, 429 after many that did not
  Client identify(const HttpRequest& request);

  /// A session for whoever has the key. @return the value of Set-Cookie. @throws HttpError as identify
  std::string begin_session(const HttpRequest& request, const std::string& key);
  std::string end_session(const HttpRequest& request);

 private:
  struct Failures {
    int count = 0;
    std::chrono::steady_clock::time_point since;
  };
  std::vector<KeyEntry> keys();
  std::optional<KeyEntry> find_key(std::string_view key);
  std::optional<KeyEntry> find_session(const std::string& token);
  Client client_of(const std::optional<KeyEntry>& key, const HttpRequest& request);
  void check_throttle(const std::string& peer);
  void count_failure(const std::string& peer);

  const Settings& settings_;
  Database& database_;
  Log& log_;
  std::vector<std::string> hosts_, origins_;
  std::mutex mutex_;
  std::vector<KeyEntry> keys_;
  std::filesystem::file_time_type keys_time_{};
  std::chrono::steady_clock::time_point keys_checked_{};
  std::map<std::string, Failures> failures_;
};

/// Refuses to start where anybody could come in. @throws Error{Refused} that says what to do
void check_exposure(const Settings& settings);

/// POST and DELETE /api/v1/session, by which the page logs in and out.
std::vector<Route> session_routes();
std::vector<NamedSchema> session_schemas();

}  // namespace limn::server
