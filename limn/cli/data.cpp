// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>

#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/cli/command.h"
#include "limn/datasets/build.h"
#include "limn/datasets/dataset.h"

namespace limn::cli {
namespace {
namespace fs = std::filesystem;

struct Options {
  std::string folder, wanted, croissant, summary;
  datasets::CroissantAbout about;
  std::vector<std::string> sources;
  datasets::AddOptions add;
  datasets::BuildOptions build;
  std::string fit = "crop";
  bool strict = false, json = false, quiet = false;
};

/// A count that is written over on a terminal.
class Counter {
 public:
  explicit Counter(const char* what, bool quiet) : what_(what), active_(!quiet && ::isatty(STDERR_FILENO)) {}
  ~Counter() {
    if (active_) std::fputs("\r\033[K", stderr);
  }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;
  void show(const datasets::Progress& p) const {
    if (!active_ || (p.done % 16 != 0 && p.done != p.total)) return;
    std::fprintf(stderr, "\r\033[K%s %lld", what_, static_cast<long long>(p.done));
    if (p.total > 0) std::fprintf(stderr, " of %lld", static_cast<long long>(p.total));
    std::fflush(stderr);
  }

 private:
  const char* what_;
  bool active_;
};

int add(const Options& o) {
  datasets::AddResult result;
  {
    const Counter counter("taking in picture", o.quiet);
    result = datasets::add_pictures(o.folder, {o.sources.begin(), o.sources.end()}, o.add,
                                    [&](const datasets::Progress& p) { counter.show(p); });
  }
  for (const std::string& problem : result.problems) std::cerr << "limn: warning: " << problem << "\n";
  if (!o.quiet)
    std::cout << result.added << " added, " << result.excluded << " excluded, " << result.known
              << " already there, " << result.broken << " broken\n";
  if (o.strict && !result.problems.empty())
    throw Error(ErrorCode::BadFile, o.folder,
                std::to_string(result.problems.size()) + " problems in the sources");
  return 0;
}

int build(const Options& o) {
  datasets::BuildOptions options = o.build;
  options.pad = o.fit == "pad";
  json::object description;
  {
    const Counter counter("building, picture", o.quiet);
    description =
        datasets::build_shards(o.folder, options, [&](const datasets::Progress& p) { counter.show(p); });
  }
  if (!o.quiet)
    std::cout << to_text(description.at("pictures")) << " in " << (fs::path(o.folder) / "shards").string()
              << "\n";
  return 0;
}

std::vector<datasets::Row> rows_of(const Options& o) {
  return datasets::read_manifest(fs::path(o.folder) / "manifest.jsonl");
}

int stats(const Options& o) {
  const json::object found = datasets::statistics(rows_of(o));
  if (o.json) {
    std::cout << to_text(found) << "\n";
    return 0;
  }
  for (const auto& [key, value] : found) {
    std::cout << key;
    if (value.is_object())
      for (const auto& [name, count] : value.as_object())
        std::cout << "\n  " << name << "  " << to_text(count);
    else if (value.is_array())
      for (const json::value& item : value.as_array()) std::cout << "\n  " << std::string(item.as_string());
    else
      std::cout << "  " << to_text(value);
    std::cout << "\n";
  }
  return 0;
}

int check(const Options& o) {
  std::vector<std::string> problems;
  {
    const Counter counter("checking picture", o.quiet);
    problems = datasets::check_data_set(o.folder, [&](const datasets::Progress& p) { counter.show(p); });
  }
  for (const std::string& problem : problems) std::cerr << "limn: " << problem << "\n";
  if (!problems.empty())
    throw Error(ErrorCode::BadFile, o.folder, std::to_string(problems.size()) + " problems");
  if (!o.quiet) std::cout << o.folder << ": as its manifest says\n";
  return 0;
}

/// A row's number, the start of its hash (8 digits or more), or a word of its caption or name.
std::vector<size_t> rows_wanted(const std::vector<datasets::Row>& rows, const std::string& wanted) {
  const auto all_of = [&](const char* set) { return wanted.find_first_not_of(set) == std::string::npos; };
  if (wanted.size() < 8 && all_of("0123456789") && !wanted.empty() && std::stoul(wanted) < rows.size())
    return {std::stoul(wanted)};
  const bool hash = wanted.size() >= 8 && all_of("0123456789abcdef");
  std::vector<size_t> out;
  for (size_t i = 0; i < rows.size(); ++i)
    if ((hash && rows[i].sha256.starts_with(wanted)) || rows[i].caption.find(wanted) != std::string::npos ||
        rows[i].name.find(wanted) != std::string::npos)
      out.push_back(i);
  return out;
}

int show(const Options& o) {
  const auto rows = rows_of(o);
  const auto wanted = rows_wanted(rows, o.wanted);
  if (wanted.empty())
    throw Error(ErrorCode::NotFound, o.folder,
                "no row, hash, caption or name is or holds '" + o.wanted + "'");
  std::map<std::string, datasets::Dataset> built;
  if (fs::exists(fs::path(o.folder) / "dataset.json"))
    for (const char* split : {"train", "validation"})
      built.emplace(split, datasets::Dataset::open(o.folder, split));
  for (const size_t i : wanted) {
    json::object object = datasets::to_json(rows[i]);
    object["row"] = i;
    if (const auto data = built.find(rows[i].split); data != built.end())
      if (const auto place = data->second.find(static_cast<int64_t>(i))) {
        object["shard"] = place->shard.filename().string();
        object["index"] = place->index;
      }
    std::cout << (o.json ? to_text(object) : to_pretty_text(object)) << "\n";
  }
  return 0;
}

int export_(const Options& o) {
  const auto rows = rows_of(o);
  datasets::CroissantAbout about = o.about;
  about.name = (fs::absolute(o.folder) / "").lexically_normal().parent_path().filename().string();
  about.manifest_sha256 = sha256_of_file(fs::path(o.folder) / "manifest.jsonl");
  const auto write = [](const std::string& file, const std::string& text) {
    write_file_atomically(file, std::as_bytes(std::span(text)));
  };
  if (o.croissant.empty() && o.summary.empty())
    throw Error(ErrorCode::InvalidArgument, "export", "says not what to write",
                "--croissant FILE or --summary FILE");
  if (!o.croissant.empty()) write(o.croissant, to_pretty_text(datasets::croissant(rows, about)) + "\n");
  if (!o.summary.empty()) write(o.summary, datasets::summary_markdown(rows, about.name));
  return 0;
}

}  // namespace

std::function<int()> add_data(CLI::App& app) {
  auto o = std::make_shared<Options>();
  auto action = std::make_shared<int (*)(const Options&)>(nullptr);
  app.require_subcommand(1);
  const auto command = [&](const char* name, const char* help, int (*run)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option("dir", o->folder, "the data set's folder")->required();
    sub->add_flag("--quiet", o->quiet, "print nothing but errors and warnings");
    sub->callback([action, run] { *action = run; });
    return sub;
  };
  CLI::App* sub = command("add", "take in pictures with captions and licences", add);
  sub->add_option("sources", o->sources, "folders, WebDataset .tar files, manifests .jsonl")->required();
  sub->add_option("--licence,--license", o->add.licence, "SPDX licence of pictures that do not say theirs");
  sub->add_option("--attribution", o->add.attribution, "whom to name, where a picture does not say");
  sub->add_option("--source", o->add.source, "where they come from, where a picture does not say");
  sub->add_option("--people", o->add.people, "whether people are shown, where a picture does not say")
      ->check(CLI::IsMember({"none", "consented", "unknown"}));
  sub->add_option("--consent", o->add.consent, "evidence of consent");
  sub->add_option("--split", o->add.split, "train, validation, or auto: by the picture's hash")
      ->check(CLI::IsMember({"train", "validation", "auto"}));
  sub->add_option("--validation-share", o->add.validation_share, "of auto (default: 0.02)")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_flag("--allow-unlicensed", o->add.allow_unlicensed, "take pictures without a licence too");
  sub->add_flag("--strict", o->strict, "exit with 4 when anything was wrong");

  sub = command("build", "make the shards that training reads", build);
  sub->add_option("--resolution", o->build.resolution, "pixels a side of a square (default: 128)")
      ->check(CLI::Range(8, 4096));
  sub->add_option("--buckets", o->build.buckets, "aspect ratios, an odd number (default: 1, squares)")
      ->check(CLI::Range(1, 31));
  sub->add_option("--min-side", o->build.min_side,
                  "leave out pictures with a shorter side than this, in pixels")
      ->check(CLI::Range(0, 1 << 16));
  sub->add_option("--near-duplicates", o->build.near_duplicates,
                  "bits of the perceptual hash that near duplicates may differ in; -1 keeps all (default: 4)")
      ->check(CLI::Range(-1, 16));
  sub->add_option("--fit", o->fit, "crop or pad (default: crop)")->check(CLI::IsMember({"crop", "pad"}));
  sub->add_flag("--force", o->build.force, "build anew what is built already");

  command("stats", "count licences, sources, splits, exclusions; list attributions", stats)
      ->add_flag("--json", o->json, "as one JSON object");
  command("check", "compare files and shards with the manifest", check);
  sub = command("show", "print rows", show);
  sub->add_option("row", o->wanted,
                  "a row's number, 8 or more digits of a hash, or a word of caption or name")
      ->required();
  sub->add_flag("--json", o->json, "one JSON object a line");
  sub = command("export", "describe the data set for others", export_);
  sub->add_option("--croissant", o->croissant, "write Croissant JSON-LD here, best beside manifest.jsonl");
  sub->add_option("--url", o->about.url, "Croissant: the page it is published at");
  sub->add_option("--published", o->about.published, "Croissant: the date it was published, 2026-01-31");
  sub->add_option("--summary", o->summary, "write a readable summary here");
  return [o, action] { return (*action)(*o); };
}

}  // namespace limn::cli
