// SPDX-License-Identifier: Apache-2.0
#include "limn/server/auth.h"

#include <algorithm>
#include <sstream>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/json.h"
#include "limn/server/base64.h"
#include "limn/server/log.h"
#include "limn/server/services.h"
#include "limn/server/settings.h"

namespace limn::server {
namespace fs = std::filesystem;
using namespace std::chrono_literals;
namespace {

constexpr size_t kMostKeyBytes = size_t{1} << 20;  // of the file
constexpr size_t kMostName = 64;
constexpr auto kKeysRead = 2s;  // how old what was read of the file may be
constexpr auto kSession = 30 * 24h;
constexpr int kMostFailures = 10;
constexpr auto kFailureWindow = 60s;
constexpr size_t kMostAddresses = 10'000;  // whose failures are remembered

struct RoleName {
  Role role;
  std::string_view name;
};
constexpr RoleName kRoles[] = {
    {Role::Generate, "generate"}, {Role::Manage, "manage"}, {Role::Admin, "admin"}};

std::string random_text() {
  unsigned char bytes[32];
  LIMN_CHECK(RAND_bytes(bytes, sizeof bytes) == 1, "there are no random numbers");
  return encode_base64url({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

std::string hash_of(std::string_view text) { return sha256(std::as_bytes(std::span(text))); }

/// In a time that does not tell where they differ.
bool are_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void check_name(const std::string& name) {
  const bool plain = std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
  if (name.empty() || name.size() > kMostName || !plain)
    throw Error(
        ErrorCode::InvalidArgument, "name",
        "must have 1 to " + std::to_string(kMostName) + " letters, digits, dots, dashes and underscores");
  if (name == Client{}.owner)
    throw Error(ErrorCode::InvalidArgument, "name", "'" + name + "' is whoever needs no key",
                "choose another");
}

KeyEntry parse_key(std::string_view line, const std::string& where) {
  const json::value value = parse_json(line, where);
  if (!value.is_object()) throw Error(ErrorCode::BadFile, where, "expected a JSON object");
  const Fields fields(value.get_object(), where);
  KeyEntry entry;
  entry.name = fields.string("name", "");
  entry.sha256 = fields.string("sha256", "");
  const std::optional<Role> role = role_of(fields.string("role", ""));
  if (entry.name.empty() || !role || entry.sha256.size() != 64)
    throw Error(ErrorCode::BadFile, where, "expected name, role and sha256 of a key",
                "limn keys add writes such lines");
  entry.role = *role;
  return entry;
}

void write_keys(const fs::path& file, const std::vector<KeyEntry>& keys) {
  write_file_atomically(file, [&](std::ostream& out) {
    for (const KeyEntry& key : keys)
      out << to_text(json::object{{"name", key.name}, {"role", name_of(key.role)}, {"sha256", key.sha256}})
          << "\n";
  });
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
}

bool changes_state(const HttpRequest& request) {
  return request.method != "GET" && request.method != "HEAD" && request.method != "OPTIONS";
}

/// Browsers never add such a field by themselves, and ask us first when another site's page wants to.
bool has_key_header(const HttpRequest& request) {
  return lower_case(request.header("authorization")).starts_with("bearer ");
}

/// The name in "name:7860" or "[::1]:7860".
std::string host_name(std::string_view host) {
  const size_t end = host.starts_with('[') ? host.find(']') + 1 : host.find(':');
  return lower_case(host.substr(0, end));
}

/// As it stands in addresses: "[::1]" of "::1".
std::string as_host(const std::string& address) {
  return lower_case(address.find(':') != std::string::npos && !address.starts_with('[') ? "[" + address + "]"
                                                                                        : address);
}

std::string own_origin(const HttpRequest& request) {
  return (request.secure ? "https://" : "http://") + lower_case(request.header("host"));
}

std::string cookie_name(const HttpRequest& request) { return request.secure ? "__Host-limn" : "limn"; }

std::string cookie(const HttpRequest& request, const std::string& value, std::chrono::seconds age) {
  return cookie_name(request) + "=" + value +
         "; Path=/; HttpOnly; SameSite=Strict; Max-Age=" + std::to_string(age.count()) +
         (request.secure ? "; Secure" : "");
}

std::optional<std::string> find_cookie(const HttpRequest& request) {
  const std::string start = cookie_name(request) + "=";
  std::istringstream cookies(request.header("cookie"));
  for (std::string one; std::getline(cookies, one, ';');) {
    one.erase(0, std::min(one.find_first_not_of(' '), one.size()));
    if (one.starts_with(start)) return one.substr(start.size());
  }
  return std::nullopt;
}

/// The key in an Authorization field: of Bearer, or the password of Basic, whose user is nobody's business.
std::optional<std::string> key_in(const std::string& authorization) {
  const size_t space = authorization.find(' ');
  if (space == std::string::npos) return std::nullopt;
  const std::string scheme = lower_case(authorization.substr(0, space));
  const std::string rest =
      authorization.substr(std::min(authorization.find_first_not_of(' ', space), authorization.size()));
  if (scheme == "bearer") return rest;
  if (scheme != "basic") return std::nullopt;
  try {
    const std::string pair = decode_base64(rest, "authorization");
    const size_t colon = pair.find(':');
    return colon == std::string::npos ? std::nullopt : std::optional(pair.substr(colon + 1));
  } catch (const Error&) {
    return std::nullopt;
  }
}

HttpError unauthorized(const HttpRequest& request, const std::string& message) {
  Pairs headers{{"WWW-Authenticate", "Bearer realm=\"limn\""}};
  // A browser would ask for name and password in a window of its own, over the page that asks better.
  if (request.header("sec-fetch-site").empty())
    headers.emplace_back("WWW-Authenticate", "Basic realm=\"limn\"");
  return {
      401,
      {"unauthorized", "authorization", message, "send Authorization: Bearer KEY; limn keys add makes a key"},
      headers};
}

HttpError refused(const std::string& where, const std::string& message, const std::string& hint) {
  return {403, {"refused", where, message, hint}};
}

HttpResponse start_session(Services& services, const Call& call) {
  HttpResponse out;
  out.status = 204;
  const std::string key(call.json.at("key").as_string());
  out.headers.emplace_back("Set-Cookie", services.auth.begin_session(call.http, key));
  return out;
}

HttpResponse stop_session(Services& services, const Call& call) {
  HttpResponse out;
  out.status = 204;
  out.headers.emplace_back("Set-Cookie", services.auth.end_session(call.http));
  return out;
}

json::object new_session_schema() {
  return {{"type", "object"},
          {"properties",
           {{"key", {{"type", "string"}, {"maxLength", 256}, {"description", "of limn keys add"}}}}},
          {"required", {"key"}},
          {"additionalProperties", false}};
}

}  // namespace

std::string_view name_of(Role role) {
  for (const RoleName& row : kRoles)
    if (row.role == role) return row.name;
  return "anyone";
}

std::optional<Role> role_of(std::string_view name) {
  for (const RoleName& row : kRoles)
    if (row.name == name) return row.role;
  return std::nullopt;
}

std::vector<KeyEntry> read_keys(const fs::path& file) {
  std::vector<KeyEntry> keys;
  if (!fs::exists(file)) return keys;
  std::istringstream lines(read_file(file, kMostKeyBytes));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty()) keys.push_back(parse_key(line, file.string() + ":" + std::to_string(number)));
  }
  return keys;
}

std::string add_key(const fs::path& file, const std::string& name, Role role) {
  check_name(name);
  std::vector<KeyEntry> keys = read_keys(file);
  for (const KeyEntry& key : keys)
    if (key.name == name)
      throw Error(ErrorCode::InvalidArgument, "name", "'" + name + "' has a key already",
                  "limn keys remove takes it away");
  const std::string key = std::string(kKeyPrefix) + random_text();
  keys.push_back({name, role, hash_of(key)});
  write_keys(file, keys);
  return key;
}

void remove_key(const fs::path& file, std::string_view name) {
  std::vector<KeyEntry> keys = read_keys(file);
  if (std::erase_if(keys, [&](const KeyEntry& key) { return key.name == name; }) == 0)
    throw Error(ErrorCode::NotFound, "name", "there is no key of '" + std::string(name) + "'",
                "limn keys list shows them");
  write_keys(file, keys);
}

Auth::Auth(const Settings& settings, Database& database, Log& log)
    : settings_(settings), database_(database), log_(log), hosts_{"localhost", "127.0.0.1", "[::1]"} {
  hosts_.push_back(as_host(settings.host));
  for (const std::string& host : settings.allow_host) hosts_.push_back(as_host(host));
  for (const std::string& origin : settings.allow_origin)
    origins_.push_back(lower_case(origin.ends_with('/') ? origin.substr(0, origin.size() - 1) : origin));
  if (!is_open()) keys_ = read_keys(settings.keys);
  database_.transact([](Database::Transaction& transaction) {
    transaction.run("DELETE FROM sessions WHERE ends < limn_now()");
  });
}

bool Auth::is_open() const { return settings_.keys.empty(); }

bool Auth::is_listed_origin(const HttpRequest& request) const {
  return std::ranges::find(origins_, lower_case(request.header("origin"))) != origins_.end();
}

void Auth::check_origin(const HttpRequest& request) const {
  const std::string host = request.header("host"), origin = request.header("origin");
  if (std::ranges::find(hosts_, host_name(host)) == hosts_.end())
    throw refused("host", "this server is not called '" + host + "'", "--allow-host names it");
  const bool listed = is_listed_origin(request);
  if (!origin.empty() && !listed && lower_case(origin) != own_origin(request))
    throw refused("origin", "pages of '" + origin + "' may not use this server", "--allow-origin lets them");
  if (!changes_state(request) || has_key_header(request)) return;
  const std::string site = request.header("sec-fetch-site");
  if (!site.empty() && site != "same-origin" && site != "none" && !listed)
    throw refused("sec-fetch-site", "pages of other sites may not change anything here",
                  "--allow-origin lets them");
  // What any page may send to any site without being asked: neither JSON nor a picture is among it.
  const std::string type = media_type(request.header("content-type"));
  if (type == "text/plain" || type == "application/x-www-form-urlencoded")
    throw HttpError(415,
                    {"unsupported_media_type", "content-type", "'" + type + "' is what any page could send",
                     "send application/json, or a key in Authorization: Bearer"});
}

std::vector<KeyEntry> Auth::keys() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - keys_checked_ < kKeysRead) return keys_;
  keys_checked_ = now;
  std::error_code missing;
  const fs::file_time_type time = fs::last_write_time(settings_.keys, missing);
  if (!missing && time == keys_time_) return keys_;
  try {
    keys_ = read_keys(settings_.keys);
    keys_time_ = time;
  } catch (const Error& error) {  // those that were read before stay
    log_.error("keys_not_read", {{"problem", error.what()}});
  }
  return keys_;
}

std::optional<KeyEntry> Auth::find_key(std::string_view key) {
  const std::string hash = hash_of(key);
  std::optional<KeyEntry> found;
  for (const KeyEntry& entry : keys())
    if (are_equal(entry.sha256, hash)) found = entry;
  return found;
}

std::optional<KeyEntry> Auth::find_session(const std::string& token) {
  const auto rows = database_.read("SELECT key_sha256 FROM sessions WHERE token = ?1 AND ends >= limn_now()",
                                   {hash_of(token)});
  if (rows.empty()) return std::nullopt;
  const std::string& hash = std::get<std::string>(rows.front().front());
  for (const KeyEntry& entry : keys())
    if (are_equal(entry.sha256, hash)) return entry;
  return std::nullopt;
}

Client Auth::client_of(const std::optional<KeyEntry>& key, const HttpRequest& request) {
  if (!key) {
    count_failure(request.peer);
    log_.warning("wrong_key", {{"peer", request.peer}});
    throw unauthorized(request, "there is no such key");
  }
  return {key->name, key->role};
}

Client Auth::identify(const HttpRequest& request) {
  if (is_open()) return {};
  if (const std::string authorization = request.header("authorization"); !authorization.empty()) {
    check_throttle(request.peer);
    const std::optional<std::string> key = key_in(authorization);
    return client_of(key ? find_key(*key) : std::nullopt, request);
  }
  if (const auto token = find_cookie(request))
    if (const auto key = find_session(*token)) return {key->name, key->role};
  throw unauthorized(request, "a key is needed");
}

std::string Auth::begin_session(const HttpRequest& request, const std::string& key) {
  if (is_open()) throw refused("key", "there are no keys here", "no session is needed");
  if (!request.secure && !is_loopback(request.peer))
    throw refused("key", "a session needs TLS", "the proxy must send X-Forwarded-Proto: https");
  check_throttle(request.peer);
  const std::optional<KeyEntry> found = find_key(key);
  client_of(found, request);
  const std::string token = random_text();
  database_.transact([&](Database::Transaction& transaction) {
    transaction.run("INSERT INTO sessions (token, key_sha256, ends) VALUES (?1, ?2, limn_now() + ?3)",
                    {hash_of(token), found->sha256, int64_t{std::chrono::milliseconds(kSession).count()}});
  });
  return cookie(request, token, kSession);
}

std::string Auth::end_session(const HttpRequest& request) {
  if (const auto token = find_cookie(request))
    database_.transact([&](Database::Transaction& transaction) {
      transaction.run("DELETE FROM sessions WHERE token = ?1", {hash_of(*token)});
    });
  return cookie(request, "", 0s);
}

void Auth::check_throttle(const std::string& peer) {
  const std::lock_guard lock(mutex_);
  const auto found = failures_.find(peer);
  if (found == failures_.end() || found->second.count < kMostFailures) return;
  const auto left = found->second.since + kFailureWindow - std::chrono::steady_clock::now();
  if (left <= 0s) {
    failures_.erase(found);
    return;
  }
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(left).count();
  throw HttpError(429, {"busy", "authorization", "too many wrong keys came from this address", "wait"},
                  {{"Retry-After", std::to_string(seconds)}});
}

void Auth::count_failure(const std::string& peer) {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (failures_.size() >= kMostAddresses)
    std::erase_if(failures_, [&](const auto& one) { return now - one.second.since > kFailureWindow; });
  if (failures_.size() >= kMostAddresses && !failures_.contains(peer)) return;
  Failures& failures = failures_[peer];
  if (failures.count == 0 || now - failures.since > kFailureWindow) failures = {0, now};
  ++failures.count;
}

void check_exposure(const Settings& settings) {
  const bool local = is_loopback(settings.host) || settings.host == "localhost";
  if (local && !settings.behind_proxy) return;
  const std::string where = local ? "--behind-proxy" : "--host " + settings.host;
  const std::string who = "lets other machines in, ";
  if (settings.keys.empty() || read_keys(settings.keys).empty())
    throw Error(ErrorCode::Refused, where, who + "and there are no keys",
                "limn keys add NAME --role admin --keys FILE makes one; then start with --keys FILE");
  if (!settings.behind_proxy && settings.tls_certificate.empty())
    throw Error(ErrorCode::Refused, where,
                who + "and whoever listens on the way would read keys and pictures",
                "give --tls-certificate and --tls-key, or --behind-proxy where a proxy does TLS");
}

std::vector<Route> session_routes() {
  return {
      {.method = "POST",
       .path = "/api/v1/session",
       .name = "begin_session",
       .tag = "session",
       .help = "Logs a browser in: gives a cookie that stands for the key.",
       .role = Role::Anyone,
       .takes = "application/json",
       .takes_schema = "NewSession",
       .answers = {{204, "", "", "the cookie is set"}},
       .handle = start_session},
      {.method = "DELETE",
       .path = "/api/v1/session",
       .name = "end_session",
       .tag = "session",
       .help = "Logs a browser out: the cookie is worth nothing any more.",
       .role = Role::Anyone,
       .answers = {{204, "", "", "there is no session now"}},
       .handle = stop_session},
  };
}

std::vector<NamedSchema> session_schemas() { return {{"NewSession", new_session_schema}}; }

}  // namespace limn::server
