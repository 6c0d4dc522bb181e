// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>
#include <random>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/cli/command.h"
#include "limn/cli/output.h"
#include "limn/cli/progress.h"
#include "limn/cli/request_options.h"
#include "limn/cli/stop_on_signal.h"
#include "limn/engine/repeat.h"
#include "limn/weights/safetensors.h"

namespace limn::cli {
namespace {

struct Options {
  RequestOptions fields;
  std::string output, save_latents;
  int threads = 0;
  bool preview = false, json = false, quiet = false, force = false;
  std::string from;
  std::vector<std::string> models;
};

void save_latents(const std::filesystem::path& path, const std::vector<engine::Picture>& pictures) {
  std::vector<float> all;
  for (const engine::Picture& picture : pictures)
    all.insert(all.end(), picture.latents.values.begin(), picture.latents.values.end());
  weights::TensorEntry entry;
  entry.shape = pictures.front().latents.shape;
  entry.shape.insert(entry.shape.begin(), static_cast<int64_t>(pictures.size()));
  entry.bytes = std::as_bytes(std::span(all));
  weights::write_safetensors(path, {{"latents", entry}});
}

void write_text(const std::filesystem::path& path, const std::string& bytes) {
  write_file_atomically(path, std::as_bytes(std::span(bytes)));
}

/// NAME-preview.png beside the picture in work, gone when the pictures are done or given up.
class PreviewFile {
 public:
  ~PreviewFile() { remove(); }
  void show(const std::filesystem::path& picture, const Image& image) {
    const auto path = picture.parent_path() / (picture.stem().string() + "-preview.png");
    if (path != path_) remove();
    write_text(path_ = path, encode_image(image, "png", {}));
  }

 private:
  void remove() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
  }
  std::filesystem::path path_;
};

json::object report_of(const engine::Picture& picture, const std::filesystem::path& file) {
  const engine::Timings& t = picture.timings;
  json::array warnings(picture.record.warnings.begin(), picture.record.warnings.end());
  return {{"file", file.string()},
          {"seed", picture.record.seed},
          {"width", picture.record.width},
          {"height", picture.record.height},
          {"timings", {{"load", t.load}, {"encode", t.encode}, {"denoise", t.denoise}, {"decode", t.decode}}},
          {"settings", provenance::to_json(picture.record)},
          {"warnings", warnings}};
}

/// The request that makes a picture again, said field by field on the error stream.
engine::GenerateRequest request_from(const Options& options) {
  const std::vector<std::filesystem::path> folders(options.models.begin(), options.models.end());
  engine::GenerateRequest typed;
  options.fields.apply(typed);
  const engine::Repeat repeat = engine::repeat_picture(options.from, folders, typed.given);
  if (!options.quiet) {
    std::cerr << "limn: " << options.from << " was made by " << repeat.recipe.program << " "
              << repeat.recipe.version << "; made again under --compat " << repeat.recipe.compat << "\n";
    for (const std::string& line : repeat.honoured) std::cerr << "  as it was    " << line << "\n";
    for (const std::string& line : repeat.changed) std::cerr << "  changed      " << line << "\n";
    for (const std::string& line : repeat.problems) std::cerr << "  not, or near " << line << "\n";
  }
  if (!repeat.model_found && repeat.request.model.empty() && !options.fields.given("model"))
    throw Error(ErrorCode::NotFound, options.from, "its model was not found",
                "give it with --model, or the folder it lies in with --models");
  return repeat.request;
}

int generate(const Options& options) {
  engine::GenerateRequest request;
  if (!options.from.empty())
    request = request_from(options);
  else if (!options.fields.given("prompt"))
    throw Error(ErrorCode::InvalidArgument, "prompt", "is missing", "say what to draw, or --from PICTURE");
  options.fields.apply(request);
  if (!request.seed) request.seed = std::random_device{}();
  const auto files = output_paths(options.output, *request.seed, request.count, options.force);
  if (!options.save_latents.empty()) check_writable("save_latents", options.save_latents, options.force);

  std::vector<engine::Picture> pictures;
  {
    const StopOnSignal stop;
    ProgressBar bar(options.quiet);
    PreviewFile preview;
    engine::Engine engine(options.threads);
    pictures = engine.generate(request, stop.token(), [&](const engine::Progress& progress) {
      bar.show(progress);
      if (options.preview && progress.preview)
        preview.show(files[static_cast<size_t>(progress.first_picture)].path, progress.preview(0));
    });
  }
  for (size_t i = 0; i < pictures.size(); ++i) {
    write_text(files[i].path, pictures[i].encode(files[i].format));
    if (options.json)
      std::cout << json::value(report_of(pictures[i], files[i].path)) << "\n";
    else if (!options.quiet)
      std::cout << files[i].path.string() << "\n";
  }
  if (!options.save_latents.empty()) save_latents(options.save_latents, pictures);
  if (!options.quiet && !options.json)
    for (const std::string& warning : pictures.front().record.warnings)
      std::cerr << "limn: warning: " << warning << "\n";
  return 0;
}

}  // namespace

std::function<int()> add_generate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  for (const engine::RequestField& field : engine::request_fields()) options->fields.add(app, field);
  app.add_option(
      "-o,--output", options->output,
      "file, folder or template with {seed} and {index}; .png, .jpg or .webp (default: limn-{seed}.png)");
  app.add_option("--save-latents", options->save_latents, "write the final latents here, as safetensors");
  app.add_option("--threads", options->threads, "for arithmetic (default: all cores)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--from", options->from,
                 "make this picture again from the settings inside; other options change them");
  app.add_option("--models", options->models,
                 "with --from: a folder to look for its model and LoRAs in; may be given again")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--preview", options->preview, "keep NAME-preview.png up to date while drawing");
  app.add_flag("--force", options->force, "overwrite existing files");
  app.add_flag("--json", options->json, "print one JSON object a picture");
  app.add_flag("--quiet", options->quiet, "print nothing but errors");
  return [options] { return generate(*options); };
}

}  // namespace limn::cli
