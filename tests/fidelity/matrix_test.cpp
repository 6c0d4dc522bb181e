// SPDX-License-Identifier: Apache-2.0
// Every sampler on the tiny models from text, from a picture and repainting, against tools/goldens/matrix.py; and the table
// of docs/fidelity.md, which this program makes:
//   LIMN_WRITE_DOCS=1 fidelity_test --gtest_filter='Matrix*'
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "limn/base/file.h"
#include "limn/engine/engine.h"
#include "limn/schedulers/scheduler.h"
#include "tests/fidelity/goldens.h"
#include "tests/fidelity/variants.h"

namespace limn {
namespace {

namespace fs = std::filesystem;

constexpr double kLatents = 1e-4;  // as in families_test.cpp

// Models are the tiny ones' folders; modes as cases name them.
const char* const kModels[] = {"sd1",          "sd2",       "sdxl",       "sdxl_refiner",
                               "ssd",          "koala",     "inpaint",    "instruct_pix2pix",
                               "lcm",          "cosxl",     "playground", "sdxl_v",
                               "sdxl_inpaint", "sdxl_edit", "cosxl_edit"};
const char* const kModes[] = {"text to image", "image to image", "inpainting"};
const char* const kBegin = "<!-- made by fidelity_test -->\n";
const char* const kEnd = "<!-- end -->\n";

fs::path families() { return goldens() / "families"; }
fs::path document() { return fs::path(LIMN_SOURCE_DIR) / "docs" / "fidelity.md"; }

struct Cell {
  double error = -1;  // the worst of its runs
  std::string mark;
};
using Key = std::tuple<std::string, std::string, std::string>;  // mode, sampler, model

struct Outcome {
  std::string name, sampler;
  double error;
};

engine::Engine& shared_engine() {
  static engine::Engine engine;
  return engine;
}

Outcome run(json::object request, const std::string& name, const at::Tensor& expected) {
  for (const char* file : {"model", "refiner", "vae", "init_image", "mask"})
    if (json::value* path = request.if_contains(file))
      *path = model_folder(std::string(path->as_string())).string();
  const auto pictures = shared_engine().generate(engine::request_from_json(request));
  std::vector<float> values;
  for (const auto& picture : pictures)
    values.insert(values.end(), picture.latents.values.begin(), picture.latents.values.end());
  return {name, pictures.front().record.scheduler,
          relative_l2(at::tensor(values).view(expected.sizes()), expected)};
}

json::array list(const char* name) {
  return parse_json(read_file(families() / name, 1 << 20), name).as_array();
}

std::string text(const json::value& value) { return std::string(value.as_string()); }

/// All runs there are references for, as cells of the table.
struct Results {
  std::map<Key, Cell> cells;
  std::vector<Outcome> outcomes;

  void add(const std::string& mode, const std::string& model, const std::string& mark, Outcome outcome) {
    Cell& cell = cells[{mode, outcome.sampler, model}];
    cell.error = std::max(cell.error, outcome.error);
    cell.mark = mark;
    outcomes.push_back(std::move(outcome));
  }

  /// Runs by diffusers, or where their names say "levels" by k-diffusion.
  void add_all(const json::array& cases, const char* file) {
    const auto expected = weights::load_tensors(families() / file);
    for (const json::value& value : cases) {
      json::object c = value.as_object();
      const std::string name = text(c.at("name")), model = text(c.at("model"));
      const std::string mode = kModes[c.contains("mask") ? 2 : c.contains("init_image") ? 1 : 0];
      c.erase("name");
      add(mode, model, name.find("_levels_") == std::string::npos ? "" : " k",
          run(c, name, expected.at(name)));
    }
  }
};

const Results& results() {
  static const Results all = [] {
    Results out;
    const auto matrix = weights::load_tensors(families() / "matrix.safetensors");
    for (const json::value& c : list("matrix.json")) {
      const std::string family = text(c.at("family")), sampler = text(c.at("sampler")),
                        mode = text(c.at("mode"));
      const std::string name = family + "/" + sampler + "/" + mode, reference = text(c.at("reference"));
      out.add(mode, family,
              reference == "diffusers" ? ""
              : reference == "paper"   ? " p"
                                       : " k",
              run(c.at("request").as_object(), name, matrix.at(name)));
    }
    out.add_all(list("cases.json"), "latents.safetensors");
    out.add_all(variants().at("cases").as_array(), "variants.safetensors");
    return out;
  }();
  return all;
}

std::string written(double error) {
  if (error == 0) return "0";
  char out[16];
  std::snprintf(out, sizeof out, "%.0e", error);
  return out;
}

std::string table() {
  std::string out;
  for (const char* mode : kModes) {
    out.append("\n| ").append(mode);
    for (const char* model : kModels) out.append(" | ").append(model);
    out.append(" |\n|---");
    for (size_t i = 0; i < std::size(kModels); ++i) out.append("|---");
    out += "|\n";
    for (const schedulers::SchedulerEntry& entry : schedulers::all()) {
      out.append("| ").append(entry.name);
      for (const char* model : kModels) {
        const auto found = results().cells.find({mode, std::string(entry.name), model});
        out.append(" | ").append(
            found == results().cells.end() ? "–" : written(found->second.error) + found->second.mark);
      }
      out += " |\n";
    }
  }
  return out + "\n";
}

TEST(Matrix, EndsInTheLatentsOfTheReferences) {
  EXPECT_GT(results().outcomes.size(), 150u);
  for (const Outcome& outcome : results().outcomes) EXPECT_LT(outcome.error, kLatents) << outcome.name;
}

/// The table with every number in the place of which only whether there is one matters.
std::string without_numbers(const std::string& text) {
  static const std::regex number(R"(\| \d(e-\d+)?(?=[ ][kp|]))");
  return std::regex_replace(text, number, "| #");
}

TEST(Matrix, IsTheTableOfTheDocumentation) {
  std::string page = read_file(document(), 1 << 20);
  const size_t begin = page.find(kBegin), end = page.find(kEnd);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos) << "docs/fidelity.md lost its marks";
  const size_t first = begin + std::string(kBegin).size();
  const std::string made = table();
  if (std::getenv("LIMN_WRITE_DOCS")) {
    page.replace(first, end - first, made);
    std::ofstream(document()) << page;
  }
  const std::string found = page.substr(first, page.find(kEnd) - first);
  EXPECT_EQ(without_numbers(found), without_numbers(made))
      << "make it again: LIMN_WRITE_DOCS=1 fidelity_test";
  // Numbers differ between machines, but not by more than this.
  static const std::regex number(R"(\| (\d(?:e-\d+)?)(?=[ ][kp|]))");
  auto theirs = std::sregex_iterator(found.begin(), found.end(), number);
  for (auto ours = std::sregex_iterator(made.begin(), made.end(), number); ours != std::sregex_iterator();
       ++ours, ++theirs) {
    ASSERT_NE(theirs, std::sregex_iterator());
    EXPECT_LT(std::stod((*ours)[1]), 10 * std::stod((*theirs)[1]) + 1e-5);
  }
}

}  // namespace
}  // namespace limn
