// SPDX-License-Identifier: Apache-2.0
#include "limn/server/catalogue.h"

#include <algorithm>
#include <cctype>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include <sys/resource.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/json.h"
#include "limn/engine/catalog.h"
#include "limn/engine/engine.h"

namespace limn::server {
namespace fs = std::filesystem;
namespace {

constexpr size_t kShortestHash = 8;  // hexadecimal digits that are taken for a SHA-256's beginning
constexpr size_t kMostNamed = 20;    // in a hint
constexpr std::string_view kCheckpoint = "checkpoint";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// Without folders and ending, in lower case.
std::string stem_of(std::string_view name) {
  std::string out = lower(name.substr(name.rfind('/') + 1));
  for (const std::string_view ending : {".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin"})
    if (out.ends_with(ending)) return out.substr(0, out.size() - ending.size());
  return out;
}

CatalogueEntry entry_of(const engine::CatalogEntry& found) {
  return {.name = found.name,
          .kind = found.kind,
          .family = found.family,
          .title = found.title,
          .path = found.path,
          .bytes = found.bytes,
          .licence = found.licence.value_or(""),
          .default_width = found.default_size,
          .default_height = found.default_size,
          .default_steps = found.default_steps,
          .default_guidance_scale = found.default_guidance_scale,
          .can_run = found.kind == kCheckpoint && found.why_not.empty(),
          .why_not = found.why_not};
}

/// Changes when a file or one in the folder does.
std::string stamp_of(const engine::CatalogEntry& entry) {
  const fs::path place = entry.path.empty() ? data_folder() / "embedded" : entry.path;
  std::error_code error;
  std::string out;
  const auto add = [&](const fs::path& file) {
    out += std::to_string(fs::file_size(file, error)) + "@" +
           std::to_string(fs::last_write_time(file, error).time_since_epoch().count()) + " ";
  };
  if (!fs::is_directory(place, error)) {
    add(place);
    return out;
  }
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator it(place, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file(error)) files.push_back(it->path());
  std::ranges::sort(files);
  for (const fs::path& file : files) add(file);
  return sha256(std::as_bytes(std::span(out)));
}

}  // namespace

struct Catalogue::State {
  State(std::vector<fs::path> folders, fs::path cache, std::shared_ptr<engine::Models> models)
      : folders(std::move(folders)), cache(std::move(cache)), models(std::move(models)) {}

  const std::vector<fs::path> folders;
  const fs::path cache;
  const std::shared_ptr<engine::Models> models;

  std::mutex looking;  // through the folders
  mutable std::mutex mutex;
  std::vector<engine::CatalogEntry> found;
  std::vector<CatalogueEntry> entries;  // as found, with hashes
  int64_t round = 0;                    // of looking
  std::condition_variable_any changed;
  std::jthread hasher;  // the last: ends first

  void look() {
    const std::scoped_lock one_at_a_time(looking);
    engine::Catalog catalog = engine::catalog_of(folders);
    const std::scoped_lock lock(mutex);
    entries.clear();
    for (const engine::CatalogEntry& entry : catalog.entries) entries.push_back(entry_of(entry));
    found = std::move(catalog.entries);
    ++round;
    changed.notify_all();
  }

  /// Hashes what was found, each time that somebody has looked.
  void hash(const std::stop_token& stop) {
    setpriority(PRIO_PROCESS, 0, 19);  // of this thread, with Linux
    json::object known = read_cache();
    int64_t done = 0;
    while (!stop.stop_requested()) {
      std::vector<engine::CatalogEntry> work;
      {
        std::unique_lock lock(mutex);
        if (!changed.wait(lock, stop, [&] { return round != done; })) return;
        done = round;
        work = found;
      }
      for (const engine::CatalogEntry& entry : work) {
        if (stop.stop_requested()) return;
        if (const std::string sha256 = hash_of(entry, known, stop); !sha256.empty())
          set_hash(entry, sha256, done);
      }
    }
  }

  std::string hash_of(const engine::CatalogEntry& entry, json::object& known, const std::stop_token& stop) {
    try {
      const std::string stamp = stamp_of(entry), key = entry.path.string();
      if (const json::value* before = known.if_contains(key);
          before && before->as_object().at("stamp").as_string() == stamp)
        return std::string(before->as_object().at("sha256").as_string());
      const std::string sha256 = engine::hash_of(entry, stop);
      known[key] = json::object{{"stamp", stamp}, {"sha256", sha256}};
      const std::string text = limn::to_text(known);
      write_file_atomically(cache, std::as_bytes(std::span(text)));
      return sha256;
    } catch (const std::exception&) {
      return {};  // gone in the meantime, not to be read, or stopped: it stays without a hash
    }
  }

  json::object read_cache() const {
    try {
      json::object known = read_json_object(cache);
      for (const auto& [key, value] : known)
        if (!value.as_object().at("stamp").is_string() || !value.as_object().at("sha256").is_string())
          return {};
      return known;
    } catch (const std::exception&) {
      return {};  // the first start, or a file that is not ours
    }
  }

  void set_hash(const engine::CatalogEntry& entry, const std::string& sha256, int64_t of_round) {
    const std::scoped_lock lock(mutex);
    if (of_round != round) return;
    const auto at = std::ranges::find(entries, entry.name, &CatalogueEntry::name);
    if (at != entries.end()) at->sha256 = sha256;
  }
};

Catalogue::Catalogue(std::vector<fs::path> folders, fs::path cache, std::shared_ptr<engine::Models> models)
    : state_(std::make_unique<State>(std::move(folders), std::move(cache), std::move(models))) {
  state_->look();
  state_->hasher = std::jthread([state = state_.get()](const std::stop_token& stop) { state->hash(stop); });
}

Catalogue::~Catalogue() = default;

std::vector<CatalogueEntry> Catalogue::list() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->entries;
}

void Catalogue::refresh() { state_->look(); }

std::optional<CatalogueEntry> Catalogue::find(std::string_view name, std::string_view kind) const {
  std::vector<CatalogueEntry> entries = list();
  std::erase_if(entries, [&](const CatalogueEntry& entry) { return !kind.empty() && entry.kind != kind; });
  const auto exact = std::ranges::find(entries, name, &CatalogueEntry::name);
  if (exact != entries.end()) return *exact;
  const std::string stem = stem_of(name), whole = lower(name);
  std::erase_if(entries, [&](const CatalogueEntry& entry) {
    return stem_of(entry.name) != stem ||
           (whole.find('/') != std::string::npos && !lower(entry.name).starts_with(whole));
  });
  if (entries.size() != 1) return {};
  return entries.front();
}

std::optional<CatalogueEntry> Catalogue::find_hash(std::string_view digits, std::string_view kind) const {
  if (digits.size() < kShortestHash) return {};
  const std::string wanted = lower(digits);
  for (const CatalogueEntry& entry : list())
    if ((kind.empty() || entry.kind == kind) && entry.sha256.starts_with(wanted)) return entry;
  return {};
}

CatalogueEntry Catalogue::get(std::string_view name, std::string_view kind, const std::string& field) const {
  const std::optional<CatalogueEntry> found =
      find(name.empty() && kind == kCheckpoint ? "embedded" : name, kind);
  if (found && kind == kCheckpoint && !found->can_run)
    throw Error(ErrorCode::Unsupported, field, "'" + found->name + "': " + found->why_not);
  if (found) return *found;
  if (const auto other = find(name))
    throw Error(ErrorCode::InvalidArgument, field,
                "'" + other->name + "' is a " + other->kind + ", expected a " + std::string(kind));
  std::string known;
  size_t count = 0;
  for (const CatalogueEntry& entry : list()) {
    if (entry.kind != kind || count++ >= kMostNamed) continue;
    known += (known.empty() ? "known: " : ", ") + entry.name;
  }
  throw Error(ErrorCode::NotFound, field, "no " + std::string(kind) + " '" + std::string(name) + "'",
              known.empty()        ? "the server has none"
              : count > kMostNamed ? known + ", …"
                                   : known);
}

bool Catalogue::is_resident(const CatalogueEntry& entry) const {
  const auto resident = state_->models->resident();
  return entry.kind == kCheckpoint &&
         std::ranges::find(resident, entry.path, &engine::ResidentModel::path) != resident.end();
}

void Catalogue::load(const CatalogueEntry& entry) { state_->models->load(entry.path); }

void Catalogue::unload(const CatalogueEntry& entry) { state_->models->unload(entry.path); }

}  // namespace limn::server
