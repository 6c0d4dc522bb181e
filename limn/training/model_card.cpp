// SPDX-License-Identifier: Apache-2.0
#include "limn/training/model_card.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "limn/base/file.h"
#include "limn/base/named_table.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// Text inside a Markdown line: no line breaks, no markup that would start one.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '>' || c == '|' || c == '`' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

void write_text(const fs::path& path, const std::string& text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void list_data(std::ostream& out, const json::object& data) {
  out << "## Training data\n\n";
  for (const auto& [key, value] : data) {
    if (const json::object* counts = value.if_object()) {
      out << "- " << plain(key) << ":\n";
      for (const auto& [name, count] : *counts)
        out << "  - " << plain(name) << ": " << plain(to_text(count)) << "\n";
    } else if (const json::array* items = value.if_array()) {
      out << "- " << plain(key) << ":\n";
      for (const json::value& item : *items)
        out << "  - " << plain(item.is_string() ? std::string(item.as_string()) : to_text(item)) << "\n";
    } else {
      out << "- " << plain(key) << ": "
          << plain(value.is_string() ? std::string(value.as_string()) : to_text(value)) << "\n";
    }
  }
}

void list_memorisation(std::ostream& out, const json::object& m) {
  out << "\n## Memorisation\n\n";
  if (m.empty()) {
    out << "Not measured (preview.memorisation_samples was 0).\n";
    return;
  }
  const Fields fields(m, "memorisation");
  out << "Pictures drawn from training captions, and held-out pictures, each with its nearest training "
         "picture. Nearer "
         "than held-out pictures are means repetition.\n\n| | pictures | pixel distance (root mean square of "
         "16 × 16 "
         "thumbnails, 0 to 2) | similarity of embeddings (cosine) |\n|---|---|---|---|\n"
      << "| drawn | " << fields.integer("generated", 0) << " | "
      << fixed(fields.number("mean_pixel_distance", 0), 4) << " | "
      << fixed(fields.number("mean_embedding_similarity", 0), 4) << " |\n| held out | "
      << fields.integer("held_out", 0) << " | " << fixed(fields.number("held_out_mean_pixel_distance", 0), 4)
      << " | " << fixed(fields.number("held_out_mean_embedding_similarity", 0), 4)
      << " |\n\nEach picture with its nearest row is in memorisation.json.\n";
}

}  // namespace

void write_model_card(const fs::path& written, const TrainConfig& config, const json::object& data,
                      const TrainedFacts& facts) {
  const bool folder = fs::is_directory(written);
  const fs::path card = folder ? written / "README.md" : fs::path(written).replace_extension(".md");
  std::ostringstream out;
  out << "---\nlibrary_name: limn\ntags: [stable-diffusion, " << config.task << "]\n";
  if (!config.base.empty()) out << "base_model: " << plain(fs::path(config.base).filename().string()) << "\n";
  out << "---\n\n# " << plain(written.filename().string()) << "\n\n"
      << "Trained by limn: " << find_named(tasks(), config.task, "task").help << ".\n\n"
      << "- samples seen: " << facts.samples << " in " << facts.step << " steps\n"
      << "- time: " << fixed(facts.seconds / 3600, 2) << " h on " << processor() << ", "
      << std::thread::hardware_concurrency() << " threads, " << facts.processes << " process"
      << (facts.processes == 1 ? "" : "es") << "\n\n";
  list_data(out, data);
  out << "\n## Limits\n\nIt knows the subjects, styles and words of its training data and little else, and "
         "may repeat "
         "training pictures closely; who publishes its pictures should look at the section on memorisation "
         "and at the "
         "licences above.\n";
  list_memorisation(out, facts.memorisation);
  out << "\n## Settings\n\n| setting | value |\n|---|---|\n";
  for (const auto& [name, value] : to_json(config))
    out << "| " << plain(name) << " | " << plain(to_text(value)) << " |\n";
  write_text(card, out.str());
  if (!facts.memorisation.empty())
    write_text((folder ? written : written.parent_path()) / "memorisation.json",
               to_pretty_text(facts.memorisation) + "\n");
}

}  // namespace limn::training
