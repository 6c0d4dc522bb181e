// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/plan.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <ATen/Parallel.h>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/engine/described.h"
#include "limn/engine/resolve.h"
#include "limn/engine/torch_errors.h"
#include "limn/models/activations.h"
#include "limn/models/vae_file.h"
#include "limn/nn/fast_path.h"
#include "limn/weights/tensor.h"

namespace limn::engine {
namespace {

namespace fs = std::filesystem;
using models::Arithmetic;
using models::MapSize;

constexpr int64_t kMebi = int64_t{1} << 20;
/// Resident set of a run of a model of 1 MiB, less its tensors: limn, LibTorch's libraries, what they set up (tools/memory.py).
constexpr int64_t kProgram = 135 * kMebi;
constexpr int64_t kTokenizerBytesPerToken = 500;
/// Freed blocks that malloc keeps: those under its largest mmap threshold, 32 MiB, up to twice that at the heap's end.
constexpr int64_t kMostKept = 64 * kMebi;
constexpr int64_t kTokens = 77;
constexpr int64_t kFloatBytes = 4;

/// Bytes of a part's tensors.
struct PartWeights {
  int64_t mapped = 0;      // that stay as they lie in the file: touched at the first use
  int64_t loaded = 0;      // touched while loading, in the file and as converted copies
  int64_t parameters = 0;  // of layers, all of them
  bool narrow = false;     // some are 16 bits wide and stay so
};

bool starts_with_any(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

/// What nn::load_parameters makes of a part's tensors whose names `counts` takes.
template <typename Counts>
PartWeights weights_of(const models::Part& part, at::ScalarType dtype, nn::Widening widening,
                       const Counts& counts) {
  PartWeights out;
  for (const auto& [name, entry] : part.tensors.tensors) {
    if (!counts(name)) continue;
    const auto stored = static_cast<int64_t>(entry.bytes.size());
    const bool is_table = name.find("embedding.weight") != std::string::npos &&
                          name.find("time_embedding") == std::string::npos &&
                          name.find("add_embedding") == std::string::npos;
    const bool is_layer = entry.shape.size() >= 2 && !is_table;
    if (is_layer) out.parameters += entry.elements();
    const bool is_narrow = weights::info_of(entry.dtype).bytes == 2;
    const bool is_same = weights::scalar_type_of(entry.dtype) == dtype;
    const bool stays = is_narrow && is_layer && widening == nn::Widening::AtUse;
    if (stays && !is_same) out.narrow = true;
    if (!is_same && !stays)
      out.loaded += stored + entry.elements() * static_cast<int64_t>(c10::elementSize(dtype));
    else if (!is_table)  // of a table that is not converted, some rows are read
      out.mapped += stored;
  }
  return out;
}

int64_t parameters_of(const models::Part& part) {
  int64_t count = 0;
  for (const auto& [name, entry] : part.tensors.tensors) count += entry.elements();
  return count;
}

/// Bytes of the layers that a LoRA changes: each gets a weight of its own.
int64_t lora_bytes(const fs::path& file, at::ScalarType dtype) {
  const weights::Index index = weights::open_tensor_file(file);
  constexpr std::array<std::array<std::string_view, 2>, 3> kPairs{{{"lora_down.weight", "lora_up.weight"},
                                                                   {"lora_A.weight", "lora_B.weight"},
                                                                   {".down.weight", ".up.weight"}}};
  int64_t elements = 0;
  for (const auto& [name, entry] : index.tensors)
    for (const auto& [down, up] : kPairs) {
      if (!name.ends_with(down) || entry.shape.empty() || entry.shape[0] == 0) continue;
      const std::string other = name.substr(0, name.size() - down.size()) + std::string(up);
      const std::vector<int64_t> shape = index.shape_of(other);
      if (!shape.empty()) elements += entry.elements() / entry.shape[0] * shape[0];
    }
  return elements * static_cast<int64_t>(c10::elementSize(dtype));
}

/// Weights of all models of a request, by the stage in which they are first touched.
struct Weights {
  int64_t load = 0, encode = 0, denoise = 0, decode = 0;
  bool narrow_unet = false, narrow_vae = false;

  void add(const Described& model, const GenerateRequest& request, const models::LoadOptions& options,
           bool encodes_pictures) {
    const auto all = [](const std::string&) { return true; };
    int64_t parameters = 0;
    for (const auto& [name, part] : model.checkpoint.parts) parameters += parameters_of(part);
    const nn::Widening widening = models::widening_of(parameters, options.dtype, options);
    for (const auto& [name, part] : model.checkpoint.parts) {
      if (name == "vae") {
        add_vae(part, options, encodes_pictures);
        continue;
      }
      PartWeights found = weights_of(part, options.dtype, widening, all);
      const bool is_unet = name == "unet";
      if (is_unet && find_named(quantizations(), request.quantize, "quantize").int8) {
        load += found.mapped + found.parameters;
        found.mapped = 0;
      }
      load += found.loaded;
      (is_unet ? denoise : encode) += found.mapped;
      if (is_unet) narrow_unet |= found.narrow;
    }
  }

  void add_vae(const models::Part& part, const models::LoadOptions& options, bool encodes_pictures) {
    const at::ScalarType dtype = vae_type(part, options);
    const nn::Widening widening = models::widening_of(parameters_of(part), dtype, options);
    const auto is_encoders = [](const std::string& name) {
      return starts_with_any(name, {"encoder.", "quant_conv."});
    };
    const PartWeights encoder = weights_of(part, dtype, widening, is_encoders);
    const PartWeights decoder =
        weights_of(part, dtype, widening, [&](const std::string& name) { return !is_encoders(name); });
    load += encoder.loaded + decoder.loaded;
    if (encodes_pictures) encode += encoder.mapped;
    decode += decoder.mapped;
    narrow_vae |= decoder.narrow;
  }

  static at::ScalarType vae_type(const models::Part& part, const models::LoadOptions& options) {
    return Fields(part.config, part.tensors.origin + ": config").boolean("force_upcast", false)
               ? at::kFloat
               : options.dtype;
  }
};

/// A request with what its memory depends on.
class Job {
 public:
  Job(const GenerateRequest& request, int threads)
      : request_(request),
        options_(load_options_of(request)),
        model_(describe_model(request.model, request.vae)) {
    if (!options_.device.is_cpu())
      throw Error(ErrorCode::Unsupported, "device", "memory is predicted for the CPU only",
                  "use --device cpu");
    threads_ = threads > 0 ? threads : at::get_num_threads();
    find_sizes();
    weights_.add(model_, request, options_, encodes_pictures());
    if (!request.refiner.empty()) weights_.add(describe_model(request.refiner), request, options_, false);
    if (!request.preview_vae.empty())
      weights_.add_vae(models::open_vae(model_.checkpoint, request.preview_vae), options_, false);
    for (const LoraChoice& lora : request.loras) weights_.load += lora_bytes(lora.file, options_.dtype);
  }

  MemoryPlan as_asked() const {
    MemoryPlan plan;
    plan.model = model_.name;
    plan.dtype = dtype_name(options_.dtype);
    plan.width = last_width_;
    plan.height = last_height_;
    plan.threads = threads_;
    plan.branches = branches();
    const schedulers::SchedulerEntry* entry = try_find_named(schedulers::all(), request_.scheduler);
    plan.pictures_at_once = entry && entry->one_picture_a_batch ? 1 : std::min(request_.count, kMostPictures);
    plan.vae_tile = request_.vae_tile;
    predict(plan);
    return plan;
  }

  /// Fills in the stages of a plan.
  void predict(MemoryPlan& plan) const {
    int64_t program = kProgram;
    for (const auto& [name, config] : model_.texts) program += config.vocab_size * kTokenizerBytesPerToken;
    const int64_t text = text_bytes(), encode = std::max(text, picture_encoding_bytes()),
                  denoise = denoise_bytes(plan), decode = decode_bytes(plan.vae_tile);
    const Weights& w = weights_;
    const auto kept = [](int64_t earlier) { return std::min(earlier, kMostKept); };
    plan.stages = {{"load", program, w.load, 0},
                   {"encode", program, w.load + w.encode, encode},
                   {"denoise", program + kept(encode), w.load + w.encode + w.denoise, denoise},
                   {"decode", program + kept(std::max(encode, denoise)),
                    w.load + w.encode + w.denoise + w.decode, decode}};
  }

  bool can_turn() const { return branches() > 1 && !uses_attention_guidance(); }
  int64_t longest_side() const { return std::max(last_width_, last_height_); }

 private:
  bool encodes_pictures() const {
    return !request_.init_image.empty() ||
           (request_.hires_scale > 1 && request_.hires_upscaler.find("latent") == std::string::npos);
  }
  bool uses_attention_guidance() const {
    return request_.pag_scale > 0 || request_.pag_adaptive_scale > 0 || request_.sag_scale > 0;
  }

  void find_sizes() {
    const int64_t factor = model_.factor(), native = model_.unet.sample_size * factor;
    int64_t width = native, height = native;
    if (!request_.init_image.empty() && request_.inpaint_area != "masked") {
      const Image picture = read_image(request_.init_image);
      width = picture.width;
      height = picture.height;
      if (!request_.outpaint.empty()) {
        width += request_.outpaint[0] + request_.outpaint[2];
        height += request_.outpaint[1] + request_.outpaint[3];
      }
      width = std::max(width / factor, int64_t{1}) * factor;
      height = std::max(height / factor, int64_t{1}) * factor;
    }
    width_ = side_of(request_.width, width, factor, "width");
    height_ = side_of(request_.height, height, factor, "height");
    const auto enlarged = [&](int64_t side) {
      const double wanted = static_cast<double>(side) * request_.hires_scale / static_cast<double>(factor);
      return std::max(side, static_cast<int64_t>(std::lround(wanted)) * factor);
    };
    last_width_ = enlarged(width_);
    last_height_ = enlarged(height_);
  }

  int64_t branches() const {
    const bool guided = request_.guidance_scale.value_or(model_.defaults.guidance_scale) > 1 &&
                        !model_.unet.time_cond_proj_dim;
    const bool perturbed = request_.pag_scale > 0 || request_.pag_adaptive_scale > 0;
    return (!guided ? 1 : model_.edits() ? 3 : 2) + (perturbed ? 1 : 0);
  }

  Arithmetic arithmetic(at::ScalarType dtype, bool narrow) const {
    const bool has_type = dtype == at::kFloat || dtype == at::kBFloat16;
    return {.dtype = dtype,
            .fast = has_type && !request_.plain && nn::has_kernels(),
            .converts_weights = narrow,
            .threads = threads_};
  }

  int64_t text_bytes() const {
    int64_t most = 0;
    for (const auto& [name, config] : model_.texts)
      most = std::max(most, models::text_activations(config, arithmetic(options_.dtype, true), 1).total());
    return most;
  }

  Arithmetic vae_arithmetic() const {
    return arithmetic(Weights::vae_type(model_.checkpoint.parts.at("vae"), options_), weights_.narrow_vae);
  }

  int64_t picture_encoding_bytes() const {
    if (!encodes_pictures()) return 0;
    const MapSize size{1, last_height_, last_width_};
    const int64_t picture = 3 * last_height_ * last_width_ * 2 * kFloatBytes;
    return picture + (model_.vae ? models::encoder_activations(*model_.vae, vae_arithmetic(), size)
                                 : models::encoder_activations(*model_.tiny_vae, vae_arithmetic(), size))
                         .total();
  }

  int64_t denoise_bytes(const MemoryPlan& plan) const {
    const Arithmetic how = arithmetic(options_.dtype, weights_.narrow_unet);
    const int64_t factor = model_.factor(), at_once = plan.in_turn ? 1 : plan.branches;
    const int64_t height = last_height_ / factor, width = last_width_ / factor;
    const int64_t window = request_.tile > 0 ? request_.tile / factor : std::max(height, width);
    const MapSize size{at_once * plan.pictures_at_once, std::min(height, window), std::min(width, window)};
    constexpr int64_t kCopies = 8;  // of the latents, in samplers and guidance
    const int64_t latents =
        kCopies * plan.pictures_at_once * model_.latent_channels() * height * width * kFloatBytes;
    return latents + models::unet_activations(model_.unet, how, size, kTokens).total() +
           models::cross_attention_bytes(model_.unet, how, plan.branches, kTokens);
  }

  int64_t decode_bytes(int64_t vae_tile) const {
    const int64_t factor = model_.factor(), height = last_height_ / factor, width = last_width_ / factor;
    const pipelines::Tiling usual;
    const int64_t tile = vae_tile > 0                                      ? vae_tile / factor
                         : std::max(height, width) > usual.largest_untiled ? usual.tile
                                                                           : std::max(height, width);
    const MapSize size{1, std::min(height, tile), std::min(width, tile)};
    const int64_t network =
        (model_.vae ? models::decoder_activations(*model_.vae, vae_arithmetic(), size)
                    : models::decoder_activations(*model_.tiny_vae, vae_arithmetic(), size))
            .total();
    constexpr int64_t kTiledFloats = 4,
                      kPictureFloats = 10;  // a pixel: sum and weights; on the way to 8 bits
    const int64_t pixels = last_height_ * last_width_ * kFloatBytes;
    const bool is_tiled = std::max(height, width) > tile;
    return std::max(network + (is_tiled ? kTiledFloats * pixels : 0), kPictureFloats * pixels);
  }

  const GenerateRequest& request_;
  models::LoadOptions options_;
  Described model_;
  Weights weights_;
  int threads_ = 1;
  int64_t width_ = 0, height_ = 0, last_width_ = 0,
          last_height_ = 0;  // of the first and the last pass, pixels
};

std::string mebibytes(int64_t bytes) { return std::to_string((bytes + kMebi - 1) / kMebi) + " MiB"; }

/// The plan decoded in the largest tiles that fit, or in the smallest that help.
void fit_decoding(const Job& job, int64_t limit, MemoryPlan& plan) {
  const auto total = [](const MemoryPlan& p) { return p.stages.back().total(); };
  for (const int64_t tile : {512, 384, 256, 128}) {
    if (total(plan) <= limit) return;
    MemoryPlan tiled = plan;
    tiled.vae_tile = tile;
    job.predict(tiled);
    if (tile < job.longest_side() && total(tiled) < total(plan)) plan = tiled;
  }
}

/// Changes a plan until it fits.
void fit(const Job& job, int64_t limit, MemoryPlan& plan) {
  const MemoryPlan asked = plan;
  const auto is_over = [&] { return plan.peak().total() > limit; };
  fit_decoding(job, limit, plan);
  if (is_over() && job.can_turn()) {
    plan.in_turn = true;
    job.predict(plan);
  }
  while (is_over() && plan.pictures_at_once > 1) {
    plan.pictures_at_once = (plan.pictures_at_once + 1) / 2;
    job.predict(plan);
  }
  if (is_over())
    throw Error(
        ErrorCode::OutOfMemory, "memory_limit",
        "is " + mebibytes(limit) + ", but the least that would do is " + mebibytes(plan.peak().total()),
        "make smaller pictures, or take a model with 16-bit weights");
  const auto chose = [&](const std::string& what) { plan.warnings.push_back("memory_limit: " + what); };
  if (plan.vae_tile != asked.vae_tile)
    chose("decodes in tiles of " + std::to_string(plan.vae_tile) + " pixels");
  if (plan.in_turn) chose("calls the U-Net for one half of guidance after the other");
  if (plan.pictures_at_once != asked.pictures_at_once)
    chose("makes " + std::to_string(plan.pictures_at_once) + " at once instead of " +
          std::to_string(asked.pictures_at_once));
}

}  // namespace

const MemoryStage& MemoryPlan::peak() const {
  return *std::ranges::max_element(stages, {}, &MemoryStage::total);
}

MemoryPlan plan_memory(const GenerateRequest& request, int threads) {
  try {
    const Job job(request, threads);
    MemoryPlan plan = job.as_asked();
    if (request.memory_limit > 0) fit(job, request.memory_limit, plan);
    return plan;
  } catch (...) {
    rethrow_as_error("plan");
  }
}

}  // namespace limn::engine
