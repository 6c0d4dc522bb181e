// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/server/dialects.h"

namespace limn::server {

/// A PostgreSQL server for the tests of one program, without flushing to disk: started on first use, listening on a socket
/// in a temporary folder, gone with the program even when that is killed. One thread at a time.
class PostgresForTests {
 public:
  static PostgresForTests& get() {
    static PostgresForTests server;
    return server;
  }
  ~PostgresForTests() {
    if (server_ > 0) stop(SIGQUIT);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  PostgresForTests(const PostgresForTests&) = delete;

  /// The URL of a new and empty database.
  std::string new_database() {
    const std::string name = "limn" + std::to_string(++databases_);
    open_postgres(url_of("postgres"))->read("CREATE DATABASE " + name);
    return url_of(name);
  }

  /// SIGINT cuts the connections and saves, SIGQUIT is like a crash.
  void stop(int signal = SIGINT) {
    ::kill(server_, signal);
    ::waitpid(std::exchange(server_, 0), nullptr, 0);
  }
  void start() {
    server_ = launch({"postgres", "-D", folder_ + "/data", "-k", folder_, "-c", "listen_addresses=", "-F",
                      "-c", "max_connections=200", "-c", "shared_buffers=32MB"});
    for (int i = 0; i < 300; ++i) {
      if (::waitpid(server_, nullptr, WNOHANG) == server_) break;
      try {
        open_postgres(url_of("postgres"));
        return;
      } catch (const Error&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
    }
    fail("PostgreSQL does not start");
  }

 private:
  static constexpr const char* kPrograms = "/usr/lib/postgresql/15/bin/";

  PostgresForTests() {
    if (::access((std::string(kPrograms) + "initdb").c_str(), X_OK) != 0)
      throw Error(ErrorCode::NotFound, kPrograms, "PostgreSQL is missing, which these tests need",
                  "run tools/setup.sh, which installs it");
    if (::geteuid() == 0) user_ = ::getpwnam("postgres");  // the server refuses to run as root
    folder_ = "/tmp/limn_postgres_XXXXXX";  // short: the path of a socket has at most 107 bytes
    if (!::mkdtemp(folder_.data())) fail("no temporary folder");
    if (user_ && ::chown(folder_.c_str(), user_->pw_uid, user_->pw_gid) != 0) fail("chown");
    // A language whose order of text is not that of bytes.
    int status = 0;
    ::waitpid(launch({"initdb", "-D", folder_ + "/data", "-A", "trust", "-U", "limn", "-E", "UTF8",
                      "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US", "--no-sync"}),
              &status, 0);
    if (status != 0) fail("initdb fails");
    start();
  }

  std::string url_of(const std::string& database) const {
    return "postgresql:///" + database + "?user=limn&host=" + folder_;
  }

  [[noreturn]] void fail(const std::string& problem) const {
    std::ifstream log(folder_ + "/log");
    throw Error(ErrorCode::Internal, folder_,
                problem + ": " + std::string(std::istreambuf_iterator<char>(log), {}));
  }

  /// Starts a program of PostgreSQL's as its user; it ends with this one.
  pid_t launch(std::vector<std::string> arguments) const {
    const std::string program = kPrograms + arguments[0], log = folder_ + "/log";
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    const pid_t parent = ::getpid(), child = ::fork();
    if (child != 0) return child;
    if (user_ &&
        (::setgroups(0, nullptr) != 0 || ::setgid(user_->pw_gid) != 0 || ::setuid(user_->pw_uid) != 0))
      ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (::getppid() != parent) ::_exit(126);
    const int handle = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::dup2(handle, STDOUT_FILENO);
    ::dup2(handle, STDERR_FILENO);
    ::execv(program.c_str(), raw.data());
    ::_exit(127);
  }

  passwd* user_ = nullptr;
  std::string folder_;
  pid_t server_ = 0;
  int databases_ = 0;
};

}  // namespace limn::server
