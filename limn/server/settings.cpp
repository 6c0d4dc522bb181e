// SPDX-License-Identifier: Apache-2.0
#include "limn/server/settings.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <toml++/toml.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/engine/request.h"

namespace limn::server {
namespace fs = std::filesystem;
namespace {

using S = Settings;
using Environment = std::function<std::optional<std::string>(const std::string& variable)>;

constexpr size_t kMostConfigBytes = size_t{1} << 20;
constexpr double kMostBytes = 1e15;

constexpr Setting::Of kServer = Setting::Of::Server, kBoth = Setting::Of::Both;

const Setting kSettings[] = {
    {"host", kServer, &S::host, "ADDRESS",
     "address or name to listen on (default: 127.0.0.1); others than this machine's own need --keys, and "
     "TLS or --behind-proxy"},
    {"port", kServer, &S::port, "N", "port to listen on (default: 7860); 0 lets the system choose", 0, 65535},
    {"data", kBoth, &S::data, "DIR",
     "where jobs and pictures are kept (default: limn in $XDG_DATA_HOME or ~/.local/share)"},
    {"models", kBoth, &S::models, "DIR", "a folder of models that requests may name; may be repeated"},
    {"database", kBoth, &S::database, "PLACE",
     "sqlite, or postgresql://… to share the queue with other servers and workers (default: sqlite)"},
    {"blobs", kBoth, &S::blobs, "PLACE",
     "a folder, or s3://bucket/prefix, for pictures (default: blobs in the data folder)"},
    {"workers", kBoth, &S::workers, "N", "jobs to run at a time (default: 1); 0 leaves them to limn worker",
     0, 64},
    {"threads", kBoth, &S::threads, "N", "for arithmetic, of each worker (default: all cores)", 0, 1024},
    {"model_memory", kBoth, &S::model_memory, "BYTES", "for models that are kept in memory (default: 8GiB)",
     1, kMostBytes},
    {"styles_file", kBoth, &S::styles_file, "FILE", "named styles that requests may use, in A1111's CSV"},
    {"wildcards", kBoth, &S::wildcards, "DIR", "lists of words that prompts may draw from, one .txt a list"},
    {"keys", kServer, &S::keys, "FILE",
     "who may use the server, as limn keys add writes it (default: anyone on this machine)"},
    {"tls_certificate", kServer, &S::tls_certificate, "FILE", "certificate chain, PEM"},
    {"tls_key", kServer, &S::tls_key, "FILE", "private key of the certificate, PEM"},
    {"behind_proxy", kServer, &S::behind_proxy, "",
     "clients come through a proxy, which does TLS; needs --keys"},
    {"proxy", kServer, &S::proxy, "ADDRESS",
     "address of the proxy; may be repeated (default: this machine's own)"},
    {"allow_origin", kServer, &S::allow_origin, "ORIGIN",
     "another site whose pages may use the server, https://example.org; may be repeated"},
    {"allow_host", kServer, &S::allow_host, "NAME",
     "a name or address by which clients may call the server, besides --host and this machine's own; may be "
     "repeated"},
    {"most_pixels", kServer, &S::most_pixels, "N", "of one picture (default: 4194304)", 4096, 1 << 28},
    {"most_count", kServer, &S::most_count, "N", "pictures of one job (default: 100)", 1, 10'000},
    {"most_steps", kServer, &S::most_steps, "N", "of one picture (default: 1000)", 1, 10'000},
    {"queue_limit", kServer, &S::queue_limit, "N", "jobs that may wait (default: 10000)", 1, 1e9},
    {"queue_limit_per_client", kServer, &S::queue_limit_per_client, "N",
     "jobs of one client that may wait (default: 1000)", 1, 1e9},
    {"lease", kBoth, &S::lease, "SECONDS",
     "a job whose worker is not heard of for so long is given to another (default: 30)", 1, 3600},
    {"bin_days", kServer, &S::bin_days, "N", "how long deleted pictures stay in the bin (default: 30)", 0,
     36'500},
    {"body_limit", kServer, &S::body_limit, "BYTES", "of a request's body (default: 64MiB)", 1024, 1 << 30},
    {"connections", kServer, &S::connections, "N", "at a time (default: 1024)", 1, 100'000},
    {"connections_per_address", kServer, &S::connections_per_address, "N",
     "of one client at a time (default: 512)", 1, 100'000},
    {"drain_seconds", kServer, &S::drain_seconds, "N",
     "for requests to end when the server is stopped (default: 30)", 0, 86'400},
    {"log", kBoth, &S::log, "FORMAT", "form of the lines on standard error (default: text)", 0, 0,
     "text, json"},
    {"web_root", kServer, &S::web_root, "DIR",
     "serve the page from this folder instead of the one built in, for its development"},
};

[[noreturn]] void refuse(const std::string& where, const std::string& problem, const std::string& hint = {}) {
  throw Error(ErrorCode::InvalidArgument, where, problem, hint);
}

int64_t number_of(const Setting& setting, const std::string& text, const std::string& where) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  if (setting.type == "BYTES") {
    number = engine::bytes_of(text, where);
  } else if (const auto [last, code] = std::from_chars(text.data(), end, number);
             code != std::errc() || last != end) {
    refuse(where, "expected an integer, found '" + text + "'");
  }
  if (static_cast<double>(number) < setting.least || static_cast<double>(number) > setting.most)
    refuse(where, "expected a number from " + std::to_string(static_cast<int64_t>(setting.least)) + " to " +
                      std::to_string(static_cast<int64_t>(setting.most)) + ", found '" + text + "'");
  return number;
}

bool boolean_of(const std::string& text, const std::string& where) {
  if (text != "true" && text != "false") refuse(where, "expected true or false, found '" + text + "'");
  return text == "true";
}

bool lists(std::string_view names, std::string_view name) {
  for (size_t from = 0; from <= names.size();) {
    const size_t end = std::min(names.find(", ", from), names.size());
    if (names.substr(from, end - from) == name) return true;
    from = end + 2;
  }
  return false;
}

/// Paths are meant from where they are said: the file's folder, or the one that the program was started in.
std::string resolved(const Setting& setting, const std::string& text, const fs::path& folder) {
  const bool path = setting.type == "DIR" || setting.type == "FILE" ||
                    (setting.name == "blobs" && text.find("://") == std::string::npos);
  return path && !text.empty() && fs::path(text).is_relative() ? (folder / text).lexically_normal().string()
                                                               : text;
}

/// @param folder  from which paths are meant
/// @param where   "--port", "LIMN_SERVE_PORT" or "limn.toml:3: port"
void set(Settings& settings, const Setting& setting, std::vector<std::string> texts, const fs::path& folder,
         const std::string& where) {
  for (std::string& text : texts) text = resolved(setting, text, folder);
  if (const auto* list = std::get_if<std::vector<std::string> S::*>(&setting.member)) {
    settings.*(*list) = texts;
    return;
  }
  if (texts.size() != 1) refuse(where, "expected one value, found " + std::to_string(texts.size()));
  const std::string& text = texts.front();
  if (const auto* number = std::get_if<int64_t S::*>(&setting.member))
    settings.*(*number) = number_of(setting, text, where);
  if (const auto* boolean = std::get_if<bool S::*>(&setting.member))
    settings.*(*boolean) = boolean_of(text, where);
  if (const auto* member = std::get_if<std::string S::*>(&setting.member)) {
    if (!setting.choices.empty() && !lists(setting.choices, text))
      refuse(where, "no '" + text + "'", "known: " + std::string(setting.choices));
    settings.*(*member) = text;
  }
}

std::string text_of(const toml::node& node, const std::string& where) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (const auto boolean = node.value_exact<bool>()) return *boolean ? "true" : "false";
  refuse(where, "expected a text, an integer, true or false, or a list of texts");
}

std::vector<std::string> texts_of(const toml::node& node, const std::string& where) {
  if (!node.is_array()) return {text_of(node, where)};
  std::vector<std::string> out;
  for (const toml::node& item : *node.as_array()) out.push_back(text_of(item, where));
  return out;
}

void read_file_into(Settings& settings, const std::string& file) {
  const std::string text = read_file(file, kMostConfigBytes);
  try {
    const toml::table table = toml::parse(text, file);
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      const std::string where = file + ":" + std::to_string(node.source().begin.line) + ": " + name;
      const Setting* setting = try_find_named(serve_settings(), name);
      if (!setting) refuse(where, "no such setting", "known: " + names_of(serve_settings()));
      if (node.is_array() && !is_list(*setting)) refuse(where, "expected one value, found a list");
      set(settings, *setting, texts_of(node, where), fs::absolute(file).parent_path(), where);
    }
  } catch (const toml::parse_error& error) {
    refuse(file + ":" + std::to_string(error.source().begin.line),
           "is not valid TOML: " + std::string(error.description()));
  }
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find(',', from), text.size());
    if (end > from) out.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return out;
}

std::string default_data_folder(const Environment& environment) {
  if (const auto folder = environment("XDG_DATA_HOME"); folder && !folder->empty())
    return (fs::path(*folder) / "limn").string();
  if (const auto home = environment("HOME"); home && !home->empty())
    return (fs::path(*home) / ".local/share/limn").string();
  refuse("--data", "is missing, and neither XDG_DATA_HOME nor HOME is set", "a folder for jobs and pictures");
}

}  // namespace

std::span<const Setting> serve_settings() { return kSettings; }

bool is_list(const Setting& setting) {
  return std::holds_alternative<std::vector<std::string> S::*>(setting.member);
}

std::string flag_of(const Setting& setting) {
  std::string flag = "--" + std::string(setting.name);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::string variable_of(const Setting& setting) {
  std::string variable = "LIMN_SERVE_" + std::string(setting.name);
  for (char& c : variable)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return variable;
}

Settings read_settings(const SettingTexts& flags, const Environment& environment, const std::string& file) {
  Settings settings;
  if (!file.empty()) read_file_into(settings, file);
  const fs::path here = fs::current_path();
  for (const Setting& setting : serve_settings()) {
    if (const auto text = environment(variable_of(setting)))
      set(settings, setting, is_list(setting) ? split(*text) : std::vector{*text}, here,
          variable_of(setting));
    if (const auto texts = flags.find(setting.name); texts != flags.end())
      set(settings, setting, texts->second, here, flag_of(setting));
  }
  if (settings.data.empty()) settings.data = default_data_folder(environment);
  if (settings.host.starts_with('[') && settings.host.ends_with(']'))  // as it stands in addresses
    settings.host = settings.host.substr(1, settings.host.size() - 2);
  if (settings.blobs.empty()) settings.blobs = (fs::path(settings.data) / "blobs").string();
  if (settings.tls_certificate.empty() != settings.tls_key.empty())
    refuse(settings.tls_key.empty() ? "--tls-key" : "--tls-certificate", "is missing",
           "TLS needs both a certificate and its key");
  return settings;
}

}  // namespace limn::server
