// SPDX-License-Identifier: Apache-2.0
#include "limn/training/run_log.h"

#include <chrono>
#include <cstdio>
#include <fstream>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/training/event_file.h"
#include "limn/training/report.h"
#include "limn/training/sheet.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostLog = size_t{1} << 30;
using Clock = std::chrono::steady_clock;

std::string sheet_name(int64_t samples) {
  char name[32];
  std::snprintf(name, sizeof name, "%012lld.png", static_cast<long long>(samples));
  return name;
}

/// The lines of a log up to `samples`; a torn last line is left out.
std::vector<json::object> kept_lines(const fs::path& file, int64_t samples) {
  std::vector<json::object> out;
  if (!fs::exists(file)) return out;
  const std::string text = read_file(file, kMostLog);
  for (size_t from = 0; from < text.size();) {
    const size_t end = text.find('\n', from);
    if (end == std::string::npos) break;
    try {
      const json::value value = parse_json(std::string_view(text).substr(from, end - from), file.string());
      if (value.is_object() && Fields(value.as_object(), file.string()).integer("samples", 0) <= samples)
        out.push_back(value.as_object());
    } catch (const Error&) {  // torn by a kill in the middle of the file system's writing
    }
    from = end + 1;
  }
  return out;
}

}  // namespace

struct RunLog::State {
  fs::path folder;
  json::object settings;
  std::vector<json::object> lines;
  std::ofstream log;
  std::unique_ptr<EventFile> events;
  double seconds_before = 0;
  Clock::time_point started = Clock::now();
};

RunLog::RunLog(const fs::path& folder, int64_t samples, const json::object& settings)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.folder = folder;
  s.settings = settings;
  const fs::path file = folder / "log.jsonl";
  s.lines = kept_lines(file, samples);
  write_file_atomically(file, [&](std::ostream& out) {
    for (const json::object& line : s.lines) out << to_text(line) << '\n';
  });
  if (!s.lines.empty()) s.seconds_before = Fields(s.lines.back(), file.string()).number("seconds", 0);
  s.log.open(file, std::ios::app);
  s.events = std::make_unique<EventFile>(folder, samples);
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder / "samples", none))
    if (entry.path().filename().string() > sheet_name(samples)) fs::remove(entry.path(), none);
}

RunLog::~RunLog() = default;

double RunLog::seconds() const {
  return state_->seconds_before + std::chrono::duration<double>(Clock::now() - state_->started).count();
}

void RunLog::add(int64_t samples, int64_t step, std::span<const Scalar> scalars) {
  json::object line{{"samples", samples}, {"step", step}, {"seconds", seconds()}};
  for (const Scalar& scalar : scalars) {
    line[scalar.name] = scalar.value;
    state_->events->add_scalar(samples, scalar.name, scalar.value);
  }
  state_->events->flush();
  state_->log << to_text(line) << std::endl;
  state_->lines.push_back(std::move(line));
}

void RunLog::add_pictures(int64_t samples, int64_t step, std::span<const SamplePicture> pictures) {
  const Image sheet = make_sheet(pictures);
  json::array prompts;
  for (const SamplePicture& picture : pictures) prompts.emplace_back(picture.prompt);
  const std::vector<TextEntry> texts{{"prompts", to_text(prompts)}, {"samples", std::to_string(samples)}};
  const std::string png = encode_image(sheet, "png", texts);
  write_file_atomically(state_->folder / "samples" / sheet_name(samples), std::as_bytes(std::span(png)));
  state_->events->add_image(samples, "samples", sheet.width, sheet.height, png);
  state_->events->flush();
}

void RunLog::write_report() const {
  const std::string html = make_report(state_->folder, state_->settings, state_->lines, seconds());
  write_file_atomically(state_->folder / "report.html", std::as_bytes(std::span(html)));
}

}  // namespace limn::training
