// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "limn/engine/engine.h"
#include "limn/server/blob_store.h"
#include "limn/server/job.h"

namespace limn::server {

/// A job's checkpoint as the engine reads it, and what is to be added to it. A blob that is missing or damaged costs time
/// only: from there on the model is asked again. The engine's thread and one that saves may use it side by side.
class JobTape : public engine::Tape {
 public:
  JobTape(const BlobStore& blobs, const Job& job);

  std::optional<std::string> read(int64_t call) override;
  void write(int64_t call, std::string bytes) override;
  void clear() override;

  /// Whether answers of the checkpoint are still being played.
  bool plays() const { return plays_; }

  /// Answers that no blob has yet.
  struct Unsaved {
    std::string bytes;         // of a blob
    size_t answers = 0;        // in it; 0: there are none, and no blob
    bool starts_over = false;  // the checkpoint so far is to be dropped
    int64_t round = 0;
  };
  Unsaved unsaved() const;
  void drop(const Unsaved& saved);  // once they are in the checkpoint

 private:
  struct Head {
    int64_t first = 0;          // call
    std::vector<size_t> sizes;  // of its answers
    size_t begin = 0;           // of the first
  };
  std::optional<Head> open(const std::string& blob);
  std::optional<std::string> answer_in_open(int64_t call) const;

  const BlobStore& blobs_;
  const std::string job_;
  const int64_t attempt_;
  const std::vector<std::string> names_;  // of the checkpoint's blobs
  size_t next_ = 0;
  std::string open_;  // the blob that is read from
  std::optional<Head> head_;
  std::atomic<bool> plays_;

  mutable std::mutex mutex_;
  int64_t round_ = 0;         // how often it was cleared
  bool starts_over_ = false;  // since what is saved
  int64_t first_ = 0;         // call of pending_[0]
  std::vector<std::string> pending_;
};

}  // namespace limn::server
