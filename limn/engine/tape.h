// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <ATen/core/Tensor.h>

#include "limn/engine/engine.h"
#include "limn/pipelines/denoiser.h"

namespace limn::engine {

/// One answer of the model, as a tape holds it.
struct RecordedAnswer {
  std::string question;  // digest_of what was asked
  at::ScalarType dtype;  // that the model computed in
  pipelines::Prediction prediction;
};

/// A short digest of a float32 tensor's numbers and shape.
std::string digest_of(const at::Tensor& question);

std::string to_bytes(const RecordedAnswer& answer);
/// @throws Error{BadFile} at `where` for bytes that to_bytes did not make
RecordedAnswer answer_of_bytes(std::string_view bytes, const std::string& where);

/// A tape as the model's calls of one Engine::generate go along it: what it holds is played, and from there on what the
/// model answers is recorded. One thread at a time.
class TapeHead {
 public:
  explicit TapeHead(Tape* tape) : tape_(tape) {}  // null: none
  bool has_tape() const { return tape_ != nullptr; }

  /// Begins the next of the requests that Engine::generate makes of one. @return the type of its first answer, if it is there
  std::optional<at::ScalarType> begin_request();
  /// Begins the same request again in another type, which makes its answers worthless.
  void start_over();

  /// The answer to the next call, from the tape or from the model.
  /// @throws Error{BadFile} for an answer that is damaged, or was given to another question or in another type
  pipelines::Prediction answer(at::ScalarType dtype, const at::Tensor& question,
                               const std::function<pipelines::Prediction()>& ask);

 private:
  std::optional<RecordedAnswer> read() const;

  Tape* tape_;
  int64_t call_ = 0, first_call_ = 0;  // the next one; of the request
  bool plays_ = true;
};

}  // namespace limn::engine
