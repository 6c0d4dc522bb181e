// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace limn::server {

/// Header fields or parameters, in the order in which they came. Names of header fields are lower case.
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// The first value of a name, or nothing.
std::optional<std::string> find_value(const Pairs& pairs, std::string_view name);

/// One request, read whole. A plain value.
struct HttpRequest {
  std::string method;  // "GET"
  std::string
      target;  // the path as it came, still encoded: "/api/v1/models/xl%2Fbase"; empty: path is all there is
  std::string path;  // percent-decoded, without the query: "/api/v1/jobs"
  Pairs query;       // decoded
  Pairs headers;
  std::string body;      // within the limits of the transport
  std::string peer;      // the client's address, or what a declared proxy says it is
  bool secure = false;   // came by TLS, as far as the transport or a declared proxy knows
  bool proxied = false;  // by a declared proxy
  std::stop_token gone;  // requested once the client has closed its connection

  std::string header(std::string_view name) const;  // empty: absent
};

/// Where a response without an end known beforehand goes. One thread at a time.
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  /// Sends bytes, waiting until they are handed to the system. @return false: the client has gone
  virtual bool write(std::string_view bytes) = 0;
};

/// A WebSocket connection that only tells; what the client sends is read and dropped.
class MessageStream {
 public:
  virtual ~MessageStream() = default;
  virtual bool send(std::string_view text) = 0;
};

/// The answer to one request. At most one of body, bytes, stream and messages is what follows the head.
struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  Pairs headers;  // besides Content-Type, Content-Length and those that the transport puts on every response
  std::string body;
  std::string_view bytes;  // of the program itself, which needs no copy: used where body is empty
  std::function<void(BodyStream&)> stream;  // called once the head is sent; returns at the end of the body
  std::function<void(MessageStream&)> messages;  // for a request to upgrade to WebSocket
};

/// What answers requests. Called from many threads at once; must not throw.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  /// Looks at a request whose body has not been read yet.
  /// @return how many bytes it may have, or the answer that refuses it
  virtual std::variant<int64_t, HttpResponse> admit(const HttpRequest& head) const = 0;
  virtual HttpResponse handle(const HttpRequest& request) const = 0;
  /// Whether this request, which has no body, may be answered in the thread that reads from the network.
  virtual bool is_instant(const HttpRequest& request) const = 0;
};

/// What went wrong with a call, before it has a form.
struct Problem {
  std::string
      code;  // a name of all_statuses(), or "unauthorized", "method_not_allowed", "payload_too_large", …
  std::string where, message, hint;
};

/// An answer that is an error with a status of HTTP's own, where limn::Error has none.
class HttpError : public std::exception {
 public:
  HttpError(int status, Problem problem, Pairs headers = {})
      : status_(status), problem_(std::move(problem)), headers_(std::move(headers)) {}
  const char* what() const noexcept override { return problem_.message.c_str(); }
  int status() const { return status_; }
  const Problem& problem() const { return problem_; }
  const Pairs& headers() const { return headers_; }

 private:
  int status_;
  Problem problem_;
  Pairs headers_;
};

/// The native form of an error: {"error":{"code","where","message","hint"}}.
HttpResponse error_response(int status, const Problem& problem);

/// "Not Found"; empty for statuses that nothing here gives.
std::string_view reason_of(int status);

/// Bytes of a percent-encoded text, or nothing where it is not well-formed UTF-8 without control characters.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
/// The pairs of "a=1&b=2", or nothing as above.
std::optional<Pairs> parse_query(std::string_view text);

/// "multipart/form-data" of "Multipart/Form-Data; boundary=x".
std::string media_type(std::string_view content_type);
/// The value of a parameter of a header field: "x" of "multipart/form-data; boundary=x"; nothing where it is absent.
std::optional<std::string> parameter_of(std::string_view field, std::string_view name);

std::string lower_case(std::string_view text);
/// Whether the text is well-formed UTF-8.
bool is_utf8(std::string_view text);
/// Whether an address is this machine's own: 127.0.0.0/8 or ::1.
bool is_loopback(std::string_view address);

}  // namespace limn::server
