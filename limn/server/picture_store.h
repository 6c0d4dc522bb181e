// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "limn/server/database.h"
#include "limn/server/event_bus.h"
#include "limn/server/job.h"

namespace limn::server {

struct NewPicture;

/// A picture of the gallery. A plain value.
struct GalleryPicture {
  std::string id;  // SHA-256 of its file
  std::string job, owner, format, thumbnail;
  int64_t index = 0, width = 0, height = 0, bytes = 0;
  json::object record;            // provenance::to_json
  std::vector<std::string> tags;  // sorted
  int64_t rating = 0;             // 0: none; 1 to 5
  Time created{};
  std::optional<Time> deleted;  // in the bin since then
};

/// What was made, and what people say of it. The bytes are in the blob store. Safe to share.
/// An owner has the same bytes once: a job that makes them again takes them out of the bin, and is the `job` that the
/// picture names; tags, rating and time of creation stay. Two owners with the same bytes have a picture each; the blob
/// stays until neither needs it.
class PictureStore {
 public:
  PictureStore(Database& database, EventBus& bus) : database_(database), bus_(bus) {}

  /// In the bin or not. @param owner  empty: anyone's, and of several the one made last, those in the bin after the others
  std::optional<GalleryPicture> find(std::string_view id, const std::string& owner = {}) const;
  struct Query {
    std::string owner;  // empty: of all
    std::string
        text;  // words that prompt, negative prompt, model or tags hold, each as a beginning; empty: any
    std::vector<std::string> tags;
    int64_t least_rating = 0;
    std::string job;
    bool deleted = false;  // the bin instead of the gallery
    std::string before;    // the id of the last picture of the page before
    int64_t limit = 60;    // at most 1000
  };
  struct Page {
    std::vector<GalleryPicture> pictures;  // newest first
    int64_t total = 0;                     // of the whole answer
  };
  Page search(const Query& query) const;
  /// Of the gallery without the bin, with how often; most used first.
  std::vector<std::pair<std::string, int64_t>> tags(const std::string& owner) const;

  struct Change {
    std::optional<std::vector<std::string>> set_tags;
    std::vector<std::string> add_tags, remove_tags;
    std::optional<int64_t> rating;
    std::optional<bool> deleted;
  };
  /// All or none. Ids that are not there are passed over.
  /// @return how many of the owner's pictures were there (owner empty: anyone's)
  /// @throws Error{InvalidArgument}: a rating outside 0 to 5, a tag that is empty or over 64 characters, over 64 tags
  int64_t change(const std::string& owner, std::span<const std::string> ids, const Change& change);

  /// Notes that a client sends a picture to start from. To be called before it is put, so that no purge comes between.
  void note_input(const std::string& blob);

  /// Forgets pictures that are in the bin since before `time`, and pictures to start from ("input:SHA256") that since then
  /// nobody has sent or named, no job had that had not ended, and no picture here was made from. To be called now and then.
  /// @return the blobs of these and of ended jobs' checkpoints, where no picture, checkpoint or request needs them any more,
  ///         nor did for `grace`: somebody may be about to, having put the same bytes a moment ago
  std::vector<std::string> purge(Time time, std::chrono::milliseconds grace = std::chrono::hours(1));

 private:
  Database& database_;
  EventBus& bus_;
};

/// Puts a picture of a finished job into the gallery, in the transaction that ends the job.
void add_picture(Database::Transaction& transaction, const Job& job, int64_t index,
                 const NewPicture& picture);

}  // namespace limn::server
