// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <span>
#include <string>
#include <string_view>

namespace limn {

/// Why something could not be done. One table, all_statuses(), gives each its exit and HTTP status.
enum class ErrorCode {
  InvalidArgument,  // the request asks for something impossible
  NotFound,         // a file, model or name does not exist
  BadFile,          // a file's bytes are not what its format promises
  Refused,          // policy forbids it
  Cancelled,        // the caller asked to stop
  OutOfMemory,      // it does not fit
  Unsupported,      // well-formed, but limn cannot do it (yet)
  Busy,             // too much is asked for at once; later it may go
  Internal,         // our own mistake
};

/// The one exception type of limn. what() is the whole message, fit to be shown to a user:
/// `where: what (hint)`. Immutable.
class Error : public std::exception {
 public:
  /// @param where  the field, file with byte offset ("model.safetensors @8"), or tensor key; may be empty
  /// @param what   what is wrong: expected and found
  /// @param hint   what to do about it; may be empty
  Error(ErrorCode code, std::string where, std::string what, std::string hint = {});

  const char* what() const noexcept override { return message_.c_str(); }
  ErrorCode code() const noexcept { return code_; }
  const std::string& where() const noexcept { return where_; }
  const std::string& problem() const noexcept { return problem_; }
  const std::string& hint() const noexcept { return hint_; }

 private:
  ErrorCode code_;
  std::string where_, problem_, hint_, message_;
};

struct Status {
  ErrorCode code;
  int exit_status;
  int http_status;
  std::string_view name;
};

/// Every error code with its exit status, HTTP status and name in JSON.
std::span<const Status> all_statuses();
const Status& status_of(ErrorCode code);

/// Checks what only a mistake in limn itself can break; never for input. Throws Error{Internal}.
#define LIMN_CHECK(condition, message)                                                                       \
  do {                                                                                                       \
    if (!(condition))                                                                                        \
      throw ::limn::Error(::limn::ErrorCode::Internal, std::string(__FILE__ ":") + std::to_string(__LINE__), \
                          message, "this is a defect in limn; please report it");                            \
  } while (false)

}  // namespace limn
