// SPDX-License-Identifier: Apache-2.0
#include "limn/models/config_diff.h"

#include <algorithm>
#include <set>

namespace limn::models {
namespace {

/// What diffusers 0.42.1 and transformers 5 take for a field that config.json does not hold.
struct Defaults {
  std::string_view class_name, config;
};
constexpr Defaults kDefaults[] = {
    {"UNet2DConditionModel",
     R"({"sample_size": null, "in_channels": 4, "out_channels": 4, "center_input_sample": false,
     "flip_sin_to_cos": true, "freq_shift": 0, "mid_block_type": "UNetMidBlock2DCrossAttn",
     "only_cross_attention": false, "layers_per_block": 2, "downsample_padding": 1, "mid_block_scale_factor": 1,
     "dropout": 0.0, "act_fn": "silu", "norm_num_groups": 32, "norm_eps": 1e-05, "cross_attention_dim": 1280,
     "transformer_layers_per_block": 1, "attention_head_dim": 8, "dual_cross_attention": false,
     "use_linear_projection": false, "upcast_attention": false, "resnet_time_scale_shift": "default",
     "resnet_skip_time_act": false, "resnet_out_scale_factor": 1.0, "time_embedding_type": "positional",
     "conv_in_kernel": 3, "conv_out_kernel": 3, "attention_type": "default", "class_embeddings_concat": false,
     "addition_embed_type_num_heads": 64})"},
    {"AutoencoderKL",
     R"({"in_channels": 3, "out_channels": 3, "layers_per_block": 1, "act_fn": "silu", "latent_channels": 4,
     "norm_num_groups": 32, "sample_size": 32, "scaling_factor": 0.18215, "force_upcast": true,
     "use_quant_conv": true, "use_post_quant_conv": true, "mid_block_add_attention": true})"},
    {"CLIPTextModel",
     R"({"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "projection_dim": 512,
     "num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
     "layer_norm_eps": 1e-05, "attention_dropout": 0.0, "dropout": 0.0, "initializer_range": 0.02,
     "initializer_factor": 1.0, "pad_token_id": 1, "bos_token_id": 49406, "eos_token_id": 49407,
     "model_type": "clip_text_model", "use_cache": true})"},
    {"PNDMScheduler",
     R"({"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
     "skip_prk_steps": false, "set_alpha_to_one": false, "prediction_type": "epsilon",
     "timestep_spacing": "leading", "steps_offset": 0, "clip_sample": false})"},
};

/// Fields that say where a configuration comes from, not what it makes.
constexpr std::string_view kOrigin[] = {"architectures", "dtype", "torch_dtype", "transformers_version"};

json::object defaults_of(std::string_view class_name) {
  for (const Defaults& row : kDefaults)
    if (row.class_name == class_name) return parse_json(row.config, std::string(class_name)).as_object();
  return {};
}

/// A list of equal items stands for the item.
const json::value& unlisted(const json::value& value) {
  const json::array* list = value.if_array();
  if (!list || list->empty() || !list->front().is_number()) return value;
  const bool same =
      std::ranges::all_of(*list, [&](const json::value& item) { return item == list->front(); });
  return same ? list->front() : value;
}

bool equal(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) return a.to_number<double>() == b.to_number<double>();
  return a == b;
}

/// The field's value, its default, or null.
json::value value_of(const json::object& config, const json::object& defaults, std::string_view key,
                     bool listed) {
  const json::value* value = config.if_contains(key);
  if (!value) value = defaults.if_contains(key);
  if (!value) return nullptr;
  return listed ? *value : unlisted(*value);
}

}  // namespace

std::vector<std::string> differing_fields(const std::string& class_name, const json::object& a,
                                          const json::object& b) {
  const json::object defaults = defaults_of(class_name);
  std::set<std::string> keys, differing;
  for (const json::object* config : {&a, &b})
    for (const auto& [key, value] : *config) keys.emplace(key);
  for (const std::string& key : keys) {
    const bool listed = key == "block_out_channels";  // its length counts
    const bool origin =
        std::ranges::find(kOrigin, key) != std::end(kOrigin) || (key[0] == '_' && key != "_class_name");
    if (!origin && !equal(value_of(a, defaults, key, listed), value_of(b, defaults, key, listed)))
      differing.insert(key);
  }
  return {differing.begin(), differing.end()};
}

}  // namespace limn::models
