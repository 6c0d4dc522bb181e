// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "limn/base/json.h"
#include "limn/nn/layers.h"

namespace limn::text {

/// Numbers of a text encoder's shape, named and defaulted as transformers' CLIPTextConfig. A plain value.
struct CLIPTextConfig {
  int64_t vocab_size = 49408, hidden_size = 512, intermediate_size = 2048, num_hidden_layers = 12;
  int64_t num_attention_heads = 8, max_position_embeddings = 77;
  double layer_norm_eps = 1e-5;
  std::string hidden_act = "quick_gelu";
  int64_t projection_dim = 512;
  int64_t eos_token_id = 49407;
  bool with_projection = false;  // transformers' CLIPTextModelWithProjection; not in config.json

  static CLIPTextConfig from_json(const json::object& config, const std::string& where);
};

/// CLIP's text encoder. Immutable after loading; safe to share between threads.
/// Source: Radford et al. 2021, §2.4; names of transformers' CLIPTextModel.
class CLIPTextModel : public nn::Module {
 public:
  explicit CLIPTextModel(const CLIPTextConfig& config);

  /// @param input_ids  int64 [batch, tokens], tokens ≤ max_position_embeddings
  /// @param clip_skip  layers left out at the end, as diffusers counts: 0 uses all; ≤ num_hidden_layers
  /// @param mask       bool [batch, tokens], false for tokens that no other sees; undefined: all are seen
  /// @return           [batch, tokens, hidden_size], after the final layer norm
  at::Tensor forward(const at::Tensor& input_ids, int64_t clip_skip = 0, const at::Tensor& mask = {}) const;

  /// The states after all but the last `left_out` layers, without the final layer norm: transformers'
  /// hidden_states[-(left_out + 1)], which Stable Diffusion XL reads.
  /// @return  [batch, tokens, hidden_size]
  at::Tensor hidden_states(const at::Tensor& input_ids, int64_t left_out, const at::Tensor& mask = {}) const;

  /// hidden_states(…, left_out) and the text's one vector in one pass: the last state at the end token, normalised
  /// and projected (transformers' text_embeds). Needs with_projection.
  struct States {
    at::Tensor hidden_states;  // [batch, tokens, hidden_size]
    at::Tensor text_embeds;    // [batch, projection_dim]
  };
  States states(const at::Tensor& input_ids, int64_t left_out, const at::Tensor& mask = {}) const;

  const CLIPTextConfig& config() const { return config_; }

 private:
  struct Embeddings : nn::Module {
    explicit Embeddings(const CLIPTextConfig& config);
    nn::Embedding token_embedding, position_embedding;
  };
  struct SelfAttention : nn::Module {
    explicit SelfAttention(const CLIPTextConfig& config);
    at::Tensor forward(const at::Tensor& x, const at::Tensor& seen) const;
    int64_t heads;
    nn::Linear k_proj, v_proj, q_proj, out_proj;
  };
  struct MLP : nn::Module {
    explicit MLP(const CLIPTextConfig& config);
    at::Tensor forward(const at::Tensor& x) const;
    nn::ActivationFunction activation;
    nn::Linear fc1, fc2;
  };
  struct EncoderLayer : nn::Module {
    explicit EncoderLayer(const CLIPTextConfig& config);
    at::Tensor forward(at::Tensor x, const at::Tensor& seen) const;
    SelfAttention self_attn;
    nn::LayerNorm layer_norm1;
    MLP mlp;
    nn::LayerNorm layer_norm2;
  };
  struct Encoder : nn::Module {
    nn::ModuleList<EncoderLayer> layers;
  };
  struct TextModel : nn::Module {
    explicit TextModel(const CLIPTextConfig& config);
    Embeddings embeddings;
    Encoder encoder;
    nn::LayerNorm final_layer_norm;
  };

  at::Tensor embed(const at::Tensor& input_ids) const;
  at::Tensor run_layers(at::Tensor hidden_states, int64_t first, int64_t last, const at::Tensor& mask) const;
  at::Tensor at_end_token(const at::Tensor& hidden_states, const at::Tensor& input_ids) const;

  CLIPTextConfig config_;
  TextModel text_model_;
  std::optional<nn::Linear> text_projection_;
};

}  // namespace limn::text
