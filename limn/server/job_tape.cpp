// SPDX-License-Identifier: Apache-2.0
#include "limn/server/job_tape.h"

#include <numeric>

#include "limn/base/error.h"
#include "limn/base/json.h"

namespace limn::server {
namespace {

// A blob is one line of JSON, {"job", "attempt", "first", "sizes"}, and then the answers. With job and attempt inside, no
// other worker ever has the same one.
constexpr size_t kMostAnswers = 1'000'000;

}  // namespace

JobTape::JobTape(const BlobStore& blobs, const Job& job)
    : blobs_(blobs), job_(job.id), attempt_(job.attempt), names_(job.checkpoint), plays_(!names_.empty()) {}

/// Reads a blob of the checkpoint; nothing where it cannot be had.
std::optional<JobTape::Head> JobTape::open(const std::string& blob) {
  try {
    open_ = blobs_.get(blob);
    const size_t end = open_.find('\n');
    if (end == std::string::npos) return {};
    const json::value line = parse_json(std::string_view(open_).substr(0, end), "checkpoint");
    if (!line.is_object()) return {};
    const Fields fields(line.get_object(), "checkpoint");
    Head head{.first = fields.integer("first", 0, 0), .begin = end + 1};
    for (const int64_t size : fields.integers("sizes", {})) head.sizes.push_back(static_cast<size_t>(size));
    const size_t all = std::accumulate(head.sizes.begin(), head.sizes.end(), head.begin);
    if (fields.string("job", "") != job_ || head.sizes.size() > kMostAnswers || all != open_.size())
      return {};
    return head;
  } catch (const Error&) {
    return {};
  }
}

std::optional<std::string> JobTape::answer_in_open(int64_t call) const {
  if (!head_ || call < head_->first || call >= head_->first + static_cast<int64_t>(head_->sizes.size()))
    return {};
  const auto at = head_->sizes.begin() + (call - head_->first);
  return open_.substr(std::accumulate(head_->sizes.begin(), at, head_->begin), *at);
}

std::optional<std::string> JobTape::read(int64_t call) {
  if (!plays_) return {};
  std::optional<std::string> answer = answer_in_open(call);
  while (!answer && next_ < names_.size()) {
    head_ = open(names_[next_++]);
    answer = answer_in_open(call);
  }
  plays_ = answer.has_value();
  return answer;
}

void JobTape::write(int64_t call, std::string bytes) {
  const std::scoped_lock lock(mutex_);
  plays_ = false;
  if (pending_.empty()) first_ = call;
  pending_.push_back(std::move(bytes));
}

void JobTape::clear() {
  const std::scoped_lock lock(mutex_);
  plays_ = false;
  pending_.clear();
  starts_over_ = true;
  ++round_;
}

JobTape::Unsaved JobTape::unsaved() const {
  const std::scoped_lock lock(mutex_);
  if (pending_.empty()) return {.starts_over = starts_over_, .round = round_};
  json::array sizes;
  for (const std::string& answer : pending_) sizes.push_back(answer.size());
  const json::object head{{"job", job_}, {"attempt", attempt_}, {"first", first_}, {"sizes", sizes}};
  Unsaved out{limn::to_text(head) + "\n", pending_.size(), starts_over_, round_};
  for (const std::string& answer : pending_) out.bytes += answer;
  return out;
}

void JobTape::drop(const Unsaved& saved) {
  const std::scoped_lock lock(mutex_);
  if (saved.round != round_) return;  // cleared in the meantime
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(saved.answers));
  first_ += static_cast<int64_t>(saved.answers);
  starts_over_ = false;
}

}  // namespace limn::server
