// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limn/engine/request.h"
#include "limn/image/image.h"
#include "limn/server/job.h"
#include "limn/server/router.h"
#include "limn/server/services.h"

namespace limn::server {

/// Bounds of a picture that a client sends.
inline constexpr int64_t kMostInputPixels = 64'000'000, kMostInputSide = 16'384;

/// A picture that a client sent, as it is kept: a PNG without texts.
struct Input {
  std::string id;  // "input:SHA256"
  int64_t width = 0, height = 0;
};

/// A turn at decoding and encoding pictures for a client. Few have one at a time: a small file may hold a picture that takes
/// hundreds of megabytes, and many clients may send one at once. Who has one must not wait for a second.
inline constexpr int kPictureTurns = 4;
class PictureTurn {
 public:
  PictureTurn();  // waits
  ~PictureTurn();
  PictureTurn(const PictureTurn&) = delete;
  PictureTurn& operator=(const PictureTurn&) = delete;
};

/// Decodes within the bounds, in a turn of the caller's.
/// @param where  the field, for errors
/// @throws Error{BadFile}; HttpError 415 for a format that limn does not read
Image decode_input(std::string_view bytes, const std::string& where);
/// Likewise its texts, for which no turn is needed.
std::vector<TextEntry> texts_of_input(std::string_view bytes, const std::string& where);
/// Keeps a picture.
Input store_input(Services& services, std::string_view bytes, const std::string& where);  // waits for a turn
Input store_input(Services& services, const Image& image);

/// What `read` makes of a call, without the pictures in it: they are kept, and its fields name them. All in one turn.
template <typename Read>
auto with_inputs_stored(Services& services, const Read& read) {
  const PictureTurn turn;
  auto request = read();
  for (auto& [field, picture] :
       {std::pair("init_image", &request.init_image), std::pair("mask", &request.mask)}) {
    if (*picture) request.fields[field] = store_input(services, **picture).id;
    picture->reset();
  }
  return request;
}

/// Whether bytes begin as a PNG does.
bool is_png(std::string_view bytes);

/// The blob that an id of an input stands for. @throws Error{InvalidArgument}, Error{NotFound} at `where`
std::string blob_of_input(const BlobStore& blobs, std::string_view id, const std::string& where);

/// What one call of any API asks for.
struct Submission {
  json::object fields;  // of engine::request_fields(), as GET /api/v1/capabilities explains them
  json::object origin;  // {"api": "native"}, and what only that API needs to answer
  int64_t priority = 0;
  std::string key;                    // idempotency key; empty: none
  std::vector<std::string> warnings;  // what was asked for in the API's own words and will not be done
};

/// The one way into the queue: checks the fields and the limits, looks models up, keeps pictures, draws the seed.
/// @throws Error{InvalidArgument}, Error{NotFound}, Error{Refused} at the field; as JobStore::submit
Job submit(Services& services, const Client& client, Submission submission);

/// The names that a field of a closed list takes.
std::vector<std::string> choices_of(const engine::RequestField& field);
/// What stands between "__" and "__" in a prompt for a line of one of the server's files.
std::vector<std::string> wildcard_names(const Settings& settings);

/// The fields of a stored job with paths in the place of names, for the engine. @throws Error{NotFound} at the field
json::object engine_fields(const Services& services, const json::object& request);

/// The owner whose jobs and pictures a client sees; empty: everyone's.
std::string visible_owner(const Client& client);
/// A job that the client may see. @throws Error{NotFound}
Job visible_job(const Services& services, const Client& client, const std::string& id);

}  // namespace limn::server
