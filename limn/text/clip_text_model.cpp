// SPDX-License-Identifier: Apache-2.0
#include "limn/text/clip_text_model.h"

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/ones.h>

#include "limn/base/error.h"

namespace limn::text {

CLIPTextConfig CLIPTextConfig::from_json(const json::object& object, const std::string& where) {
  const Fields fields(object, where);
  CLIPTextConfig c;
  c.vocab_size = fields.integer("vocab_size", 49408, 1, 1 << 24);
  c.hidden_size = fields.integer("hidden_size", 512, 1, 1 << 16);
  c.intermediate_size = fields.integer("intermediate_size", 2048, 1, 1 << 18);
  c.num_hidden_layers = fields.integer("num_hidden_layers", 12, 1, 256);
  c.num_attention_heads = fields.integer("num_attention_heads", 8, 1, 1 << 12);
  c.max_position_embeddings = fields.integer("max_position_embeddings", 77, 3, 1 << 16);
  c.layer_norm_eps = fields.number("layer_norm_eps", 1e-5);
  c.hidden_act = fields.string("hidden_act", "quick_gelu");
  c.projection_dim = fields.integer("projection_dim", 512, 1, 1 << 16);
  c.eos_token_id = fields.integer("eos_token_id", 49407);
  nn::find_activation(c.hidden_act, where + ": hidden_act");
  if (c.hidden_size % c.num_attention_heads != 0)
    throw Error(ErrorCode::BadFile, where + ": hidden_size",
                std::to_string(c.hidden_size) + " is not divisible by num_attention_heads, " +
                    std::to_string(c.num_attention_heads));
  return c;
}

CLIPTextModel::Embeddings::Embeddings(const CLIPTextConfig& c)
    : token_embedding(c.vocab_size, c.hidden_size),
      position_embedding(c.max_position_embeddings, c.hidden_size) {
  register_module("token_embedding", token_embedding);
  register_module("position_embedding", position_embedding);
}

CLIPTextModel::SelfAttention::SelfAttention(const CLIPTextConfig& c)
    : heads(c.num_attention_heads),
      k_proj(c.hidden_size, c.hidden_size),
      v_proj(c.hidden_size, c.hidden_size),
      q_proj(c.hidden_size, c.hidden_size),
      out_proj(c.hidden_size, c.hidden_size) {
  register_module("k_proj", k_proj);
  register_module("v_proj", v_proj);
  register_module("q_proj", q_proj);
  register_module("out_proj", out_proj);
}

at::Tensor CLIPTextModel::SelfAttention::forward(const at::Tensor& x, const at::Tensor& seen) const {
  return out_proj.forward(
      nn::attention(q_proj.forward(x), k_proj.forward(x), v_proj.forward(x), heads, /*causal=*/true, seen));
}

CLIPTextModel::MLP::MLP(const CLIPTextConfig& c)
    : activation(nn::find_activation(c.hidden_act, "hidden_act")),
      fc1(c.hidden_size, c.intermediate_size),
      fc2(c.intermediate_size, c.hidden_size) {
  register_module("fc1", fc1);
  register_module("fc2", fc2);
}

at::Tensor CLIPTextModel::MLP::forward(const at::Tensor& x) const {
  return fc2.forward(activation(fc1.forward(x)));
}

CLIPTextModel::EncoderLayer::EncoderLayer(const CLIPTextConfig& c)
    : self_attn(c),
      layer_norm1(c.hidden_size, c.layer_norm_eps),
      mlp(c),
      layer_norm2(c.hidden_size, c.layer_norm_eps) {
  register_module("self_attn", self_attn);
  register_module("layer_norm1", layer_norm1);
  register_module("mlp", mlp);
  register_module("layer_norm2", layer_norm2);
}

at::Tensor CLIPTextModel::EncoderLayer::forward(at::Tensor x, const at::Tensor& seen) const {
  x = x + self_attn.forward(layer_norm1.forward(x), seen);
  return x + mlp.forward(layer_norm2.forward(x));
}

CLIPTextModel::TextModel::TextModel(const CLIPTextConfig& c)
    : embeddings(c), final_layer_norm(c.hidden_size, c.layer_norm_eps) {
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) encoder.layers.emplace(c);
  encoder.register_module("layers", encoder.layers);
  register_module("embeddings", embeddings);
  register_module("encoder", encoder);
  register_module("final_layer_norm", final_layer_norm);
}

CLIPTextModel::CLIPTextModel(const CLIPTextConfig& c) : config_(c), text_model_(c) {
  register_module("text_model", text_model_);
  if (c.with_projection)
    register_module("text_projection", text_projection_.emplace(c.hidden_size, c.projection_dim, false));
}

at::Tensor CLIPTextModel::embed(const at::Tensor& input_ids) const {
  const at::Tensor positions =
      text_model_.embeddings.position_embedding.weight.slice(0, 0, input_ids.size(1));
  return text_model_.embeddings.token_embedding.forward(input_ids) + positions;
}

at::Tensor CLIPTextModel::run_layers(at::Tensor x, int64_t first, int64_t last,
                                     const at::Tensor& mask) const {
  at::Tensor seen;  // [batch, 1, tokens, tokens]: what comes before, less what is masked
  if (mask.defined())
    seen =
        mask.unsqueeze(1).unsqueeze(1).logical_and(at::ones({x.size(1), x.size(1)}, mask.options()).tril());
  for (int64_t i = first; i < last; ++i)
    x = text_model_.encoder.layers[static_cast<size_t>(i)].forward(x, seen);
  return x;
}

at::Tensor CLIPTextModel::forward(const at::Tensor& input_ids, int64_t clip_skip,
                                  const at::Tensor& mask) const {
  return text_model_.final_layer_norm.forward(hidden_states(input_ids, clip_skip, mask));
}

at::Tensor CLIPTextModel::hidden_states(const at::Tensor& input_ids, int64_t left_out,
                                        const at::Tensor& mask) const {
  const int64_t layers = config_.num_hidden_layers;
  LIMN_CHECK(left_out >= 0 && left_out <= layers, "more layers left out than there are");
  return run_layers(embed(input_ids), 0, layers - left_out, mask);
}

CLIPTextModel::States CLIPTextModel::states(const at::Tensor& input_ids, int64_t left_out,
                                            const at::Tensor& mask) const {
  LIMN_CHECK(text_projection_, "the text model has no projection");
  const int64_t layers = config_.num_hidden_layers;
  const at::Tensor wanted = hidden_states(input_ids, left_out, mask);
  const at::Tensor last =
      text_model_.final_layer_norm.forward(run_layers(wanted, layers - left_out, layers, mask));
  return {wanted, text_projection_->forward(at_end_token(last, input_ids))};
}

at::Tensor CLIPTextModel::at_end_token(const at::Tensor& x, const at::Tensor& input_ids) const {
  // Configurations from before 2023-06 say 2, whatever the tokenizer: the greatest id is the end token's.
  constexpr int64_t kOldEosTokenId = 2;
  const at::Tensor marks =
      config_.eos_token_id == kOldEosTokenId ? input_ids : input_ids.eq(config_.eos_token_id).to(at::kInt);
  const at::Tensor places = marks.argmax(-1);  // the first of equals
  return x.index({at::arange(x.size(0), places.options()), places});
}

}  // namespace limn::text
