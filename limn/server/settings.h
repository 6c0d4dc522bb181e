// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace limn::server {

/// How a server or worker is set up. A plain value; serve_settings() says what each member means.
struct Settings {
  std::string host = "127.0.0.1";
  int64_t port = 7860;
  std::string data;  // a folder
  std::vector<std::string> models;
  std::string database = "sqlite", blobs;  // blobs empty: the folder "blobs" in data
  int64_t workers = 1, threads = 0;
  int64_t model_memory = int64_t{8} << 30;
  std::string styles_file, wildcards;
  std::string keys, tls_certificate, tls_key;
  bool behind_proxy = false;
  std::vector<std::string> proxy = {"127.0.0.1", "::1"};
  std::vector<std::string> allow_origin, allow_host;
  int64_t most_pixels = 2048 * 2048, most_count = 100, most_steps = 1000;
  int64_t queue_limit = 10'000, queue_limit_per_client = 1'000;  // jobs that wait
  int64_t lease = 30;                                            // seconds
  int64_t bin_days = 30;
  int64_t body_limit = int64_t{64} << 20;
  int64_t connections = 1024, connections_per_address = 512;
  int64_t drain_seconds = 30;
  std::string log = "text";
  std::string web_root;  // empty: the page that is built in
};

/// One setting: how it is named, said and checked. On the command line "--model-memory", in the environment
/// LIMN_SERVE_MODEL_MEMORY, in the file model_memory.
struct Setting {
  using Member = std::variant<std::string Settings::*, std::vector<std::string> Settings::*,
                              int64_t Settings::*, bool Settings::*>;
  enum class Of { Server, Both };  // limn worker has those of both
  std::string_view name;           // "model_memory"
  Of of;
  Member member;
  std::string_view type;          // of the value, for the help: "DIR", "N", "BYTES"
  std::string_view help;          // with the default
  double least = 0, most = 0;     // of a number
  std::string_view choices = {};  // of a text: "json, text"
};
std::span<const Setting> serve_settings();

/// What was set at one place, by name; several texts only of lists.
using SettingTexts = std::map<std::string, std::vector<std::string>, std::less<>>;

/// Flags win over the environment, which wins over the file; what none of them sets has its default.
/// @param flags        by name
/// @param environment  the value of a variable, or nothing
/// @param file         a TOML file; empty: none
/// @throws Error{InvalidArgument} that says where the wrong value stands; also for names that the file should not have
Settings read_settings(
    const SettingTexts& flags,
    const std::function<std::optional<std::string>(const std::string& variable)>& environment,
    const std::string& file);

bool is_list(const Setting& setting);
/// "--model-memory" and "LIMN_SERVE_MODEL_MEMORY" of "model_memory".
std::string flag_of(const Setting& setting);
std::string variable_of(const Setting& setting);

}  // namespace limn::server
