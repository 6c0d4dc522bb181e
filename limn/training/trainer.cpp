// SPDX-License-Identifier: Apache-2.0
#include "limn/training/trainer.h"

#include <chrono>
#include <cmath>
#include <fstream>
#include <future>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/datasets/training_record.h"
#include "limn/training/checkpoint.h"
#include "limn/training/distributed.h"
#include "limn/training/model_card.h"
#include "limn/training/plan.h"
#include "limn/training/task.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  int64_t all = 0, resident = 0;
  statm >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

/// Whether a multiple of `every` lies in (before, after].
bool passed(int64_t every, int64_t before, int64_t after) {
  return every > 0 && before / every != after / every;
}

/// The run's optimizers, one a group, with the adversary's last.
struct Players {
  std::vector<Task::Group> groups;
  std::vector<std::unique_ptr<Optimizer>> optimizers;
};

class Run {
 public:
  Run(const TrainConfig& config, const TrainOptions& options);
  TrainResult go();

 private:
  void resume();
  void step();
  void log();
  void validate();
  void preview();
  void save();
  fs::path finish();
  TrainState state() const;
  at::Tensor loss_of_next_batch();
  void report(const std::string& stage);
  bool is_writer() const { return processes_->rank() == 0; }

  TrainConfig config_;
  TrainOptions options_;
  std::unique_ptr<Distributed> processes_;
  std::unique_ptr<Task> task_;
  datasets::Dataset train_, held_out_;
  BatchOrder order_;
  std::vector<Trainable> parameters_;  // of the main groups
  Players players_;
  Ema ema_;
  std::unique_ptr<Distributed::GradientAverager> averager_, adversary_averager_;
  std::unique_ptr<RunLog> log_;
  std::future<Batch> next_batch_;

  int64_t samples_ = 0, step_ = 0, started_at_ = 0, total_steps_, samples_per_step_;
  double seconds_before_ = 0, loss_sum_ = 0, gradient_norm_ = 0, learning_rate_ = 0, last_rate_ = 0,
         last_loss_ = 0;
  double loading_seconds_ = 0;
  int64_t losses_ = 0;
  Clock::time_point started_ = Clock::now(), logged_ = Clock::now();
  int64_t logged_samples_ = 0;
};

std::unique_ptr<Task> make_task(const TrainConfig& config, const fs::path& output) {
  return config.task == "autoencoder" ? make_autoencoder_task(config, output)
                                      : make_denoising_task(config, output);
}

std::vector<Trainable> main_parameters(const Task& task) {
  std::vector<Trainable> out;
  for (const Task::Group& group : task.groups())
    out.insert(out.end(), group.parameters.begin(), group.parameters.end());
  return out;
}

std::vector<at::Tensor> tensors_of(const std::vector<Trainable>& parameters) {
  std::vector<at::Tensor> out;
  for (const Trainable& p : parameters) out.push_back(p.tensor);
  return out;
}

Run::Run(const TrainConfig& config, const TrainOptions& options)
    : config_(config),
      options_(options),
      processes_(Distributed::from_environment(!device_of(config).is_cpu())),
      task_(make_task(config, options.output)),
      train_(datasets::Dataset::open(config.resolve(config.data), "train")),
      held_out_(datasets::Dataset::open(config.resolve(config.data), "validation")),
      order_(train_.buckets(), static_cast<uint64_t>(config.seed),
             config.batch_size * processes_->world_size()),
      parameters_(main_parameters(*task_)),
      ema_({.kind = config.ema, .decay = config.ema_decay, .sigma_rel = config.ema_sigma_rel}, parameters_) {
  samples_per_step_ = config_.batch_size * config_.accumulation * processes_->world_size();
  total_steps_ = (config_.samples + samples_per_step_ - 1) / samples_per_step_;
  players_.groups = task_->groups();
  if (task_->adversary()) players_.groups.push_back(*task_->adversary());
  const OptimizerConfig optimizer{config_.optimizer, config_.beta1, config_.beta2, config_.eps,
                                  config_.weight_decay};
  for (const Task::Group& group : players_.groups)
    players_.optimizers.push_back(
        find_named(optimizers(), config_.optimizer, "optimizer.name").make(optimizer, group.parameters));
  check_room(config_, options_.output, parameters_, train_);
  processes_->broadcast(tensors_of(parameters_));
  averager_ = processes_->average_gradients(tensors_of(parameters_));
  if (task_->adversary()) {
    processes_->broadcast(tensors_of(task_->adversary()->parameters));
    adversary_averager_ = processes_->average_gradients(tensors_of(task_->adversary()->parameters));
  }
  resume();
  if (is_writer()) log_ = std::make_unique<RunLog>(options_.output, samples_, to_json(config_));
}

TrainState Run::state() const {
  TrainState state{.samples = samples_,
                   .step = step_,
                   .world_size = processes_->world_size(),
                   .seconds = seconds_before_ + seconds_since(started_),
                   .config = to_json(config_)};
  for (size_t i = 0; i < players_.groups.size(); ++i) {
    for (const Trainable& p : players_.groups[i].parameters) state.tensors["parameters." + p.name] = p.tensor;
    for (const auto& [name, tensor] : players_.optimizers[i]->state())
      state.tensors["optimizer." + players_.groups[i].name + "." + name] = tensor;
  }
  for (const auto& [name, tensor] : ema_.state()) state.tensors["ema." + name] = tensor;
  return state;
}

void Run::resume() {
  const fs::path folder = options_.output / "checkpoints";
  std::vector<std::string> damaged;
  auto found = newest_checkpoint(folder, damaged);
  if ((found || !damaged.empty()) && !options_.resume)
    throw Error(ErrorCode::InvalidArgument, options_.output.string(), "holds a run that was begun",
                "use --resume to go on with it, or another --output");
  for (const std::string& message : damaged)
    options_.on_message("passed over a damaged checkpoint: " + message);
  if (!found) {
    if (!damaged.empty())
      throw Error(ErrorCode::BadFile, folder.string(), "holds no whole checkpoint",
                  "start anew in another folder");
    return;
  }
  check_resumable(config_, found->config);
  if (found->world_size != processes_->world_size())
    throw Error(ErrorCode::InvalidArgument, options_.output.string(),
                "was trained by " + std::to_string(found->world_size) + " processes, not " +
                    std::to_string(processes_->world_size()),
                "the order of the data depends on it: use as many again");
  restore(found->tensors, "", state().tensors);
  samples_ = started_at_ = logged_samples_ = found->samples;
  step_ = found->step;
  seconds_before_ = found->seconds;
}

at::Tensor Run::loss_of_next_batch() {
  const auto load = [this](int64_t samples_before) {
    const int64_t global = config_.batch_size * processes_->world_size();
    const int64_t number = samples_before / global, offset = processes_->rank() * config_.batch_size;
    const auto all = order_.at(number);
    std::vector<int64_t> mine(all.begin() + offset, all.begin() + offset + config_.batch_size);
    return load_batch(train_, std::move(mine), static_cast<uint64_t>(samples_before + offset), global,
                      task_->captions(), task_->load_options(samples_before));
  };
  const auto waited = Clock::now();
  const Batch batch = next_batch_.valid() ? next_batch_.get() : load(samples_);
  loading_seconds_ += seconds_since(waited);
  samples_ += config_.batch_size * processes_->world_size();
  next_batch_ = std::async(std::launch::async, load, samples_);
  return task_->loss(batch, step_);
}

void Run::step() {
  double loss_now = 0;
  for (int64_t micro = 0; micro < config_.accumulation; ++micro) {
    if (micro + 1 == config_.accumulation) averager_->arm();
    const at::Tensor loss = loss_of_next_batch();
    (loss / static_cast<double>(config_.accumulation)).backward();
    loss_now += loss.item<double>() / static_cast<double>(config_.accumulation);
  }
  averager_->finish();
  if (!std::isfinite(loss_now))
    throw Error(
        ErrorCode::BadFile, "step " + std::to_string(step_ + 1), "the loss is no longer a finite number",
        "resume from the last checkpoint with a lower optimizer.learning_rate in a new run, or float32");
  gradient_norm_ = config_.clip_norm > 0 ? clip_gradients(parameters_, config_.clip_norm) : 0;
  const double factor =
      learning_rate_factor(find_named(learning_rate_schedules(), config_.schedule, "optimizer.schedule"),
                           step_, config_.warmup_steps, total_steps_, config_.last_factor);
  const size_t main_groups = task_->groups().size();
  for (size_t i = 0; i < main_groups; ++i)
    players_.optimizers[i]->step(players_.groups[i].learning_rate * factor);
  learning_rate_ = players_.groups[0].learning_rate * factor;
  if (const Task::Group* adversary = task_->adversary()) {
    for (const Trainable& p : adversary->parameters)
      p.tensor.mutable_grad().reset();  // of the generator's loss
    adversary_averager_->arm();
    const at::Tensor loss = task_->adversary_loss();
    if (loss.defined()) loss.backward();
    adversary_averager_->finish();
    if (loss.defined()) players_.optimizers.back()->step(adversary->learning_rate * factor);
  }
  for (const Task::Group& group : players_.groups)
    for (const Trainable& p : group.parameters) p.tensor.mutable_grad().reset();
  ema_.update(++step_);
  loss_sum_ += loss_now;
  ++losses_;
}

void Run::report(const std::string& stage) {
  if (!options_.on_progress || !is_writer()) return;
  const double done = static_cast<double>(samples_ - started_at_);
  const double left =
      done > 0 ? seconds_since(started_) / done * static_cast<double>(config_.samples - samples_) : 0;
  options_.on_progress({stage, samples_, config_.samples, last_loss_, last_rate_, std::max(left, 0.0)});
}

void Run::log() {
  const double seconds = seconds_since(logged_);
  const at::Tensor mean =
      at::tensor({loss_sum_ / static_cast<double>(std::max<int64_t>(losses_, 1))}, at::kDouble);
  processes_->all_reduce_sum(mean);
  last_loss_ = mean.item<double>() / processes_->world_size();
  last_rate_ = static_cast<double>(samples_ - logged_samples_) / seconds;
  if (log_) {
    std::vector<Scalar> scalars{{"loss", last_loss_},
                                {"learning_rate", learning_rate_},
                                {"gradient_norm", gradient_norm_},
                                {"samples_per_second", last_rate_},
                                {"loading_share", loading_seconds_ / seconds},
                                {"memory_mib", resident_mib()}};
    for (const Scalar& term : task_->terms()) scalars.push_back(term);
    log_->add(samples_, step_, scalars);
  }
  loss_sum_ = loading_seconds_ = 0;
  losses_ = 0;
  logged_ = Clock::now();
  logged_samples_ = samples_;
  report("training");
}

void Run::validate() {
  if (!is_writer() || held_out_.size() == 0) return;
  report("validating");
  ema_.swap();
  const auto scalars = task_->validate(held_out_, config_.validation_samples);
  ema_.swap();
  log_->add(samples_, step_, scalars);
}

void Run::preview() {
  if (!is_writer()) return;
  report("drawing");
  ema_.swap();
  const auto pictures = task_->preview(held_out_);
  ema_.swap();
  if (!pictures.empty()) log_->add_pictures(samples_, step_, pictures);
}

void Run::save() {
  if (!is_writer()) return;
  report("saving");
  write_checkpoint(options_.output / "checkpoints", state(), config_.keep);
  log_->write_report();
}

fs::path Run::finish() {
  if (!is_writer()) return {};
  report("saving");
  ema_.swap();
  const fs::path written = task_->write(options_.output);
  const json::object memorisation = task_->memorisation(train_, held_out_);
  ema_.swap();
  write_model_card(written, config_, train_.summary(),
                   {.samples = samples_,
                    .step = step_,
                    .seconds = seconds_before_ + seconds_since(started_),
                    .processes = processes_->world_size(),
                    .memorisation = memorisation});
  if (fs::exists(written / "model_index.json")) datasets::write_training_record(written, train_.folder());
  log_->write_report();
  return written;
}

TrainResult Run::go() {
  const int64_t end =
      options_.max_samples > 0 ? std::min(options_.max_samples, config_.samples) : config_.samples;
  started_ = logged_ = Clock::now();
  if (samples_ == 0 && config_.preview_every > 0) preview();
  int64_t saved = samples_;
  while (samples_ < end) {
    const int64_t before = samples_;
    step();
    if (step_ % config_.log_every == 0) log();
    if (passed(config_.validation_every, before, samples_)) validate();
    if (passed(config_.preview_every, before, samples_)) preview();
    const bool stop = options_.stop.stop_requested();
    if (passed(config_.checkpoint_every, before, samples_) || stop || samples_ >= end) {
      save();
      saved = samples_;
    }
    if (stop) break;
  }
  if (saved != samples_) save();
  TrainResult result{.samples = samples_, .finished = samples_ >= config_.samples};
  if (samples_ >= end) result.written = finish();
  return result;
}

}  // namespace

TrainResult train(const TrainConfig& config, const TrainOptions& given) {
  TrainOptions options = given;
  if (!options.on_message) options.on_message = [](const std::string&) {};
  if (options.threads > 0) at::set_num_threads(options.threads);
  at::globalContext().setFlushDenormal(true);
  try {
    const std::string text = read_file(config.file, 1 << 20);
    Run run(config, options);
    write_file_atomically(options.output / "config.toml", std::as_bytes(std::span(text)));
    return run.go();
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    const bool memory =
        what.find("allocate memory") != std::string::npos || what.find("out of memory") != std::string::npos;
    throw Error(memory ? ErrorCode::OutOfMemory : ErrorCode::Internal, "train", what,
                memory
                    ? "lower data.batch_size (and raise data.accumulation), or set run.gradient_checkpointing"
                    : "please report it");
  }
}

}  // namespace limn::training
