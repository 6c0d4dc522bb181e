// SPDX-License-Identifier: Apache-2.0
#include "limn/server/serve.h"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/engine/engine.h"
#include "limn/server/auth.h"
#include "limn/server/blob_store.h"
#include "limn/server/catalogue.h"
#include "limn/server/database.h"
#include "limn/server/event_bus.h"
#include "limn/server/job_store.h"
#include "limn/server/log.h"
#include "limn/server/metrics.h"
#include "limn/server/picture_store.h"
#include "limn/server/router.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/schemas.h"
#include "limn/server/services.h"
#include "limn/server/transport.h"
#include "limn/server/web_files.h"
#include "limn/server/worker.h"

namespace limn::server {
namespace fs = std::filesystem;
using namespace std::chrono_literals;
namespace {

constexpr auto kBetweenPurges = 10min;
constexpr std::string_view kSqlite = "sqlite";

bool is_shared(const Settings& settings) { return settings.database != kSqlite; }

/// The folder of jobs and pictures, which nobody else on this machine looks into.
fs::path data_folder_of(const Settings& settings) {
  const fs::path folder = fs::absolute(settings.data);
  std::error_code code;
  if (fs::create_directories(folder, code)) fs::permissions(folder, fs::perms::owner_all, code);
  if (code || ::access(folder.c_str(), W_OK) != 0)
    throw Error(ErrorCode::InvalidArgument, "--data", "cannot write into " + folder.string(),
                code ? code.message() : "no permission");
  return folder;
}

/// Keeps a second server out of a data folder; gone with the process, however that ends.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : file_(::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (file_ >= 0 && ::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
    if (file_ >= 0) ::close(file_);
    throw Error(ErrorCode::InvalidArgument, "--data", "another limn serve uses " + folder.string(),
                "stop that one, or give another folder");
  }
  ~FolderLock() { ::close(file_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int file_;
};

std::string database_of(const Settings& settings, const fs::path& folder) {
  return is_shared(settings) ? settings.database : (folder / "limn.db").string();
}

/// What servers and workers have in common, in the order in which one needs the other.
struct Parts {
  explicit Parts(const Settings& settings)
      : settings(settings),
        folder(data_folder_of(settings)),
        log(settings.log == "json" ? Log::Format::Json : Log::Format::Text),
        database(open_database(database_of(settings, folder))),
        blobs(open_blob_store(settings.blobs, folder / "cache")),
        jobs(*database, bus,
             {.waiting = settings.queue_limit, .waiting_of_owner = settings.queue_limit_per_client}),
        pictures(*database, bus),
        models(std::make_shared<engine::Models>(settings.model_memory)),
        catalogue({settings.models.begin(), settings.models.end()}, folder / "models.json", models),
        auth(settings, *database, log),
        services{settings, jobs, pictures, *blobs, bus, catalogue, auth, metrics, log, closing.get_token()} {
    join_by_database(bus, *database);
  }

  const Settings& settings;
  const fs::path folder;
  Log log;
  Metrics metrics;
  EventBus bus;
  std::unique_ptr<Database> database;
  std::unique_ptr<BlobStore> blobs;
  JobStore jobs;
  PictureStore pictures;
  std::shared_ptr<engine::Models> models;
  Catalogue catalogue;
  Auth auth;
  std::stop_source closing;
  Services services;
};

/// Threads that run jobs, until their end.
class Workers {
 public:
  explicit Workers(Parts& parts) {
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    const std::string process = std::string(host) + ":" + std::to_string(::getpid());
    for (int64_t i = 0; i < parts.settings.workers; ++i)
      threads_.emplace_back([&parts, name = process + "-" + std::to_string(i)](const std::stop_token& stop) {
        Worker(parts.services, parts.models, name).run(stop);
      });
  }
  void request_stop() {
    for (std::jthread& thread : threads_) thread.request_stop();
  }

 private:
  std::vector<std::jthread> threads_;
};

/// Waits. @return false: the stop was requested
bool wait_for(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

/// Empties the bin, and removes what nobody needs any more.
void purge(Parts& parts) {
  const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  try {
    const std::vector<std::string> unneeded =
        parts.pictures.purge(now - std::chrono::days(parts.settings.bin_days));
    for (const std::string& blob : unneeded) parts.blobs->remove(blob);
    if (!unneeded.empty()) parts.log.info("purged", {{"blobs", unneeded.size()}});
  } catch (const Error& error) {  // the next time is soon
    parts.log.warning("purge_failed", {{"problem", error.what()}});
  }
}

void tell_jobs(const JobStore& jobs, Metrics& metrics) {
  try {
    const JobStore::Counts counts = jobs.counts();
    for (const auto& [state, count] :
         {std::pair(JobState::Queued, counts.queued), std::pair(JobState::Running, counts.running),
          std::pair(JobState::Done, counts.done), std::pair(JobState::Failed, counts.failed),
          std::pair(JobState::Cancelled, counts.cancelled)})
      metrics.set("limn_jobs", {{"state", name_of(state)}}, static_cast<double>(count));
  } catch (const Error&) {  // a database that is away is when the other numbers are wanted most
  }
}

/// Many clients need many descriptors, and one that goes away must not end the server.
void prepare_process() {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

TransportOptions transport_options(const Settings& settings) {
  TransportOptions out;
  out.host = settings.host;
  out.port = static_cast<uint16_t>(settings.port);
  out.certificate = settings.tls_certificate;
  out.key = settings.tls_key;
  if (settings.behind_proxy) out.proxies = settings.proxy;
  out.limits.connections = static_cast<size_t>(settings.connections);
  out.limits.connections_per_address = static_cast<size_t>(settings.connections_per_address);
  return out;
}

WebPage page_of(const Settings& settings) {
  return settings.web_root.empty() ? serve_files(web_files()) : serve_folder(settings.web_root);
}

}  // namespace

void serve(const Settings& settings, const std::stop_token& stop,
           const std::function<void(const std::vector<std::string>& addresses)>& ready) {
  check_exposure(settings);
  prepare_process();
  const FolderLock lock(data_folder_of(settings));
  Parts parts(settings);
  // No other process can have a job of this database.
  if (!is_shared(settings)) parts.jobs.recover(true);
  std::vector<Route> routes = all_routes();
  std::ranges::move(session_routes(), std::back_inserter(routes));
  std::vector<NamedSchema> schemas(all_schemas().begin(), all_schemas().end());
  std::ranges::move(session_schemas(), std::back_inserter(schemas));
  const Router router(parts.services, routes, schemas, page_of(settings));
  parts.services.router = &router;
  parts.metrics.describe("limn_jobs", Metrics::Kind::Gauge, "Jobs, by state.");
  parts.metrics.before_text([&](Metrics& metrics) { tell_jobs(parts.jobs, metrics); });
  Transport transport(transport_options(settings), router, parts.log, parts.metrics);
  Workers workers(parts);
  const std::jthread housekeeper([&](const std::stop_token& end) {
    while (wait_for(kBetweenPurges, end)) purge(parts);
  });
  transport.start();
  const std::vector<std::string> addresses = transport.addresses();
  parts.log.info("started", {{"version", std::string(engine::version())},
                             {"addresses", json::array(addresses.begin(), addresses.end())},
                             {"workers", settings.workers},
                             {"keys", !settings.keys.empty()}});
  ready(addresses);
  while (wait_for(24h, stop)) continue;
  parts.log.info("draining");
  parts.closing.request_stop();
  workers.request_stop();
  if (!transport.stop(std::chrono::seconds(settings.drain_seconds))) {
    // Nothing is lost by this: what was accepted is on disk.
    parts.log.error("not_drained");
    std::_Exit(status_of(ErrorCode::Internal).exit_status);
  }
  parts.log.info("stopped");
}

void work(const Settings& settings, const std::stop_token& stop) {
  if (!is_shared(settings))
    throw Error(ErrorCode::InvalidArgument, "--database", "is sqlite, which one process has to itself",
                "give the postgresql://… of the servers; limn serve runs jobs, too");
  prepare_process();
  Parts parts(settings);
  Workers workers(parts);
  parts.log.info("started", {{"version", std::string(engine::version())}, {"workers", settings.workers}});
  while (wait_for(24h, stop)) continue;
  parts.log.info("stopped");
}

}  // namespace limn::server
