// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <exception>
#include <utility>

#include <ATen/core/Tensor.h>

namespace limn::schedulers {

/// What a sampler asks its model: the clean picture that lies behind `sample` at level `sigma`.
struct Question {
  at::Tensor sample;  // x₀ + σ·noise
  double sigma = 0;
};

/// The model's answer.
struct Answer {
  at::Tensor sample;  // as it was shown to the model: what was asked, or what repainting made of it
  at::Tensor denoised;
  at::Tensor unconditional;  // without the prompt; for CFG++ alone
};

/// A sampler written as its paper has it: a function that is suspended at each question to the model and returns the
/// final sample. One thread at a time.
class SamplerRun {
 public:
  struct promise_type {
    Question question;
    Answer answer;
    at::Tensor result;
    std::exception_ptr error;

    SamplerRun get_return_object() {
      return SamplerRun(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_value(at::Tensor sample) { result = std::move(sample); }
    void unhandled_exception() { error = std::current_exception(); }

    struct Awaiter {
      promise_type& promise;
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) noexcept {}
      Answer await_resume() { return std::move(promise.answer); }
    };
    /// co_await of a Question with a name gives the Answer. (GCC 12 destroys temporaries in there twice.)
    Awaiter await_transform(const Question& asked) {
      question = asked;
      return {*this};
    }
  };

  SamplerRun() = default;
  explicit SamplerRun(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  SamplerRun(SamplerRun&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  SamplerRun& operator=(SamplerRun&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~SamplerRun() {
    if (handle_) handle_.destroy();
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }

  /// Runs to the next question; false when the sampler is done.
  bool start() { return go_on(); }
  bool answer(Answer answer) {
    handle_.promise().answer = std::move(answer);
    return go_on();
  }
  const Question& question() const { return handle_.promise().question; }
  const at::Tensor& result() const { return handle_.promise().result; }

 private:
  bool go_on() {
    handle_.resume();
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    return !handle_.done();
  }

  std::coroutine_handle<promise_type> handle_;
};

}  // namespace limn::schedulers
