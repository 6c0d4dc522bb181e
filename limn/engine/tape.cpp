// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/tape.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <ATen/ops/empty.h>

#include "limn/base/error.h"
#include "limn/base/file.h"

namespace limn::engine {
namespace {

// Numbers lie as in memory, least byte first:
// magic, question, type, tensors, of each (order of its dimensions in memory, their sizes, numbers), digest of all before.
constexpr std::string_view kMagic = "limntap1";
constexpr size_t kDigestLength = 16;
constexpr size_t kDims = 4;
constexpr const char* kHint = "clear the tape, and the run begins anew";

std::string short_sha256(std::string_view bytes) {
  return sha256(std::as_bytes(std::span(bytes))).substr(0, kDigestLength);
}

std::string_view bytes_of(const at::Tensor& contiguous) {
  return {static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes()};
}

template <typename T>
void append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Takes a tape's bytes apart from the front.
class Reader {
 public:
  Reader(std::string_view bytes, std::string where) : rest_(bytes), where_(std::move(where)) {}

  std::string_view take(size_t count) {
    if (count > rest_.size()) fail("ends too early");
    const std::string_view out = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return out;
  }
  template <typename T>
  T number() {
    T out;
    std::memcpy(&out, take(sizeof out).data(), sizeof out);
    return out;
  }
  size_t left() const { return rest_.size(); }
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ErrorCode::BadFile, where_, problem, kHint);
  }

 private:
  std::string_view rest_;
  std::string where_;
};

/// Dimensions from the outermost in memory to the innermost: sums over a tensor may depend on it.
std::array<int64_t, kDims> order_of(const at::Tensor& x) {
  std::array<int64_t, kDims> order{0, 1, 2, 3};
  std::ranges::stable_sort(order, std::greater{}, [&](int64_t dim) { return x.stride(dim); });
  return order;
}

void append_tensor(std::string& bytes, const at::Tensor& x) {
  LIMN_CHECK(x.dim() == kDims && x.scalar_type() == at::kFloat && x.device().is_cpu(),
             "a prediction of another form");
  const auto order = order_of(x);
  const at::Tensor dense = x.permute(order).contiguous();
  for (const int64_t dim : order) append(bytes, static_cast<uint8_t>(dim));
  for (const int64_t size : dense.sizes()) append(bytes, size);
  bytes.append(bytes_of(dense));
}

at::Tensor read_tensor(Reader& reader) {
  std::array<int64_t, kDims> order, sizes, back{-1, -1, -1, -1};
  for (int64_t& dim : order) dim = reader.number<uint8_t>();
  for (size_t i = 0; i < kDims; ++i) {
    if (order[i] >= static_cast<int64_t>(kDims) || back[static_cast<size_t>(order[i])] >= 0)
      reader.fail("has no order of dimensions");
    back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  }
  size_t bytes = sizeof(float);
  for (int64_t& size : sizes) {
    size = reader.number<int64_t>();
    if (size < 1 || static_cast<size_t>(size) > reader.left() / bytes) reader.fail("ends too early");
    bytes *= static_cast<size_t>(size);
  }
  at::Tensor dense = at::empty(sizes, at::kFloat);
  std::memcpy(dense.mutable_data_ptr(), reader.take(bytes).data(), bytes);
  return dense.permute(back);
}

}  // namespace

std::string digest_of(const at::Tensor& question) {
  std::string bytes;
  for (const int64_t size : question.sizes()) append(bytes, size);
  return short_sha256(bytes.append(bytes_of(question.contiguous())));
}

std::string to_bytes(const RecordedAnswer& answer) {
  LIMN_CHECK(answer.question.size() == kDigestLength, "no digest of a question");
  std::string bytes(kMagic);
  bytes += answer.question;
  append(bytes, static_cast<int8_t>(answer.dtype));
  const bool both = answer.prediction.unconditional.defined();
  append(bytes, static_cast<uint8_t>(both ? 2 : 1));
  append_tensor(bytes, answer.prediction.guided);
  if (both) append_tensor(bytes, answer.prediction.unconditional);
  return bytes += short_sha256(bytes);
}

RecordedAnswer answer_of_bytes(std::string_view bytes, const std::string& where) {
  Reader whole(bytes, where);
  if (whole.left() < kDigestLength) whole.fail("ends too early");
  const std::string_view content = whole.take(bytes.size() - kDigestLength);
  if (short_sha256(content) != whole.take(kDigestLength)) whole.fail("is damaged");
  Reader reader(content, where);
  if (reader.take(kMagic.size()) != kMagic) reader.fail("is no answer of a model in this version's form");
  RecordedAnswer out;
  out.question = reader.take(kDigestLength);
  out.dtype = static_cast<at::ScalarType>(reader.number<int8_t>());
  if (out.dtype != at::kFloat && out.dtype != at::kBFloat16 && out.dtype != at::kHalf)
    reader.fail("has no type of a model");
  const auto tensors = reader.number<uint8_t>();
  if (tensors < 1 || tensors > 2) reader.fail("has " + std::to_string(tensors) + " predictions");
  out.prediction.guided = read_tensor(reader);
  if (tensors == 2) out.prediction.unconditional = read_tensor(reader);
  if (reader.left() > 0) reader.fail("goes on after its end");
  return out;
}

std::optional<RecordedAnswer> TapeHead::read() const {
  if (!tape_ || !plays_) return {};
  const std::optional<std::string> bytes = tape_->read(call_);
  if (!bytes) return {};
  return answer_of_bytes(*bytes, "tape, call " + std::to_string(call_));
}

std::optional<at::ScalarType> TapeHead::begin_request() {
  first_call_ = call_;
  const std::optional<RecordedAnswer> next = read();
  return next ? std::optional(next->dtype) : std::nullopt;
}

void TapeHead::start_over() {
  if (!tape_) return;
  tape_->clear();
  plays_ = false;
  call_ = 0;
  // Of several requests those before have lost their answers too, and a tape cannot begin in the middle.
  if (first_call_ > 0) tape_ = nullptr;
}

pipelines::Prediction TapeHead::answer(at::ScalarType dtype, const at::Tensor& question,
                                       const std::function<pipelines::Prediction()>& ask) {
  LIMN_CHECK(tape_, "no tape");
  const std::string digest = digest_of(question);
  if (std::optional<RecordedAnswer> recorded = read()) {
    if (recorded->question != digest || recorded->dtype != dtype ||
        recorded->prediction.guided.sizes() != question.sizes())
      throw Error(ErrorCode::BadFile, "tape, call " + std::to_string(call_),
                  "is the answer to another question", kHint);
    ++call_;
    return std::move(recorded->prediction);
  }
  plays_ = false;
  pipelines::Prediction made = ask();
  tape_->write(call_++, to_bytes({digest, dtype, made}));
  return made;
}

}  // namespace limn::engine
