// SPDX-License-Identifier: Apache-2.0
#include "limn/models/blocks/transformer.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include "limn/models/blocks/repeat.h"
#include "limn/models/blocks/token_merging.h"

namespace limn::models {
namespace {

/// [contexts, tokens, dim] → [batch, tokens, dim], each for batch / contexts pictures in a row.
at::Tensor for_pictures(const at::Tensor& x, int64_t batch) {
  return x.size(0) == batch ? x : x.repeat_interleave(batch / x.size(0), 0);
}

}  // namespace

Attention::Attention(const Config& c)
    : heads_(c.heads),
      to_q_(c.query_dim, c.inner_dim, c.qkv_bias),
      to_k_(c.context_dim, c.inner_dim, c.qkv_bias),
      to_v_(c.context_dim, c.inner_dim, c.qkv_bias) {
  register_module("to_q", to_q_);
  register_module("to_k", to_k_);
  register_module("to_v", to_v_);
  to_out_.emplace(c.inner_dim, c.query_dim);
  register_module("to_out", to_out_);
}

at::Tensor Attention::forward(const at::Tensor& x, const at::Tensor& context, const at::Tensor& residual,
                              KeyValueCache* keys) const {
  const auto project = [&] {
    return KeyValueCache::KeyValue{to_k_.forward(context), to_v_.forward(context)};
  };
  const auto [key, value] =
      keys && !at::GradMode::is_enabled() ? keys->get(this, context, project) : project();
  return to_out_[0].forward(
      nn::attention(to_q_.forward(x), for_pictures(key, x.size(0)), for_pictures(value, x.size(0)), heads_),
      residual);
}

at::Tensor Attention::identity(const at::Tensor& x) const { return to_out_[0].forward(to_v_.forward(x)); }

at::Tensor Attention::probabilities(const at::Tensor& x) const {
  const auto split = [this](const at::Tensor& t) {
    return t.view({t.size(0), t.size(1), heads_, t.size(2) / heads_}).transpose(1, 2);
  };
  const at::Tensor q = split(to_q_.forward(x)), k = split(to_k_.forward(x));
  return at::softmax(at::matmul(q, k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(-1))), -1);
}

FeedForward::FeedForward(int64_t dim) : net_(dim) { register_module("net", net_); }

at::Tensor FeedForward::forward(const at::Tensor& x, const at::Tensor& residual) const {
  return net_.out.forward(net_.gated.proj.geglu(x), residual);
}

BasicTransformerBlock::BasicTransformerBlock(const TransformerConfig& c)
    : only_cross_attention_(c.only_cross_attention),
      norm1_(c.channels),
      norm2_(c.channels),
      norm3_(c.channels),
      attn1_({c.channels, c.only_cross_attention ? c.cross_attention_dim : c.channels, c.heads, c.channels}),
      attn2_({c.channels, c.cross_attention_dim, c.heads, c.channels}),
      ff_(c.channels) {
  register_module("norm1", norm1_);
  register_module("attn1", attn1_);
  register_module("norm2", norm2_);
  register_module("attn2", attn2_);
  register_module("norm3", norm3_);
  register_module("ff", ff_);
}

at::Tensor BasicTransformerBlock::attend(const at::Tensor& normed, const AttentionContext& context,
                                         const at::Tensor& residual) const {
  if (context.merging == 0) return attn1_.forward(normed, normed, residual);
  const TokenMerging merging(normed, context.height, context.width, context.merging);
  const at::Tensor merged = merging.merge(normed);
  const at::Tensor out = merging.unmerge(attn1_.forward(merged, merged));
  return residual.defined() ? out + residual : out;
}

at::Tensor BasicTransformerBlock::self_attention(const at::Tensor& normed, const AttentionContext& context,
                                                 const at::Tensor& residual) const {
  if (only_cross_attention_) return attn1_.forward(normed, context.hidden_states, residual, context.keys);
  if (context.probabilities) *context.probabilities = attn1_.probabilities(normed);
  if (!context.identity_from) return attend(normed, context, residual);
  const at::Tensor plain = normed.slice(0, 0, *context.identity_from);
  return at::cat({attend(plain, context), attn1_.identity(normed.slice(0, *context.identity_from))}, 0) +
         residual;
}

at::Tensor BasicTransformerBlock::forward(at::Tensor x, const AttentionContext& context) const {
  const int64_t batch = context.batch > 0 ? context.batch : x.size(0);
  if (only_cross_attention_) x = repeated(x, batch);
  x = repeated(self_attention(norm1_.forward(x), context, x), batch);
  x = attn2_.forward(norm2_.forward(x), context.hidden_states, x, context.keys);
  return ff_.forward(norm3_.forward(x), x);
}

Transformer2DModel::Transformer2DModel(const TransformerConfig& c) : norm_(c.groups, c.channels, 1e-6) {
  register_module("norm", norm_);
  if (c.use_linear_projection)
    register_module("proj_in", proj_in_linear_.emplace(c.channels, c.channels));
  else
    register_module("proj_in", proj_in_conv_.emplace(c.channels, c.channels, 1));
  for (int64_t i = 0; i < c.layers; ++i) transformer_blocks_.emplace(c);
  register_module("transformer_blocks", transformer_blocks_);
  if (c.use_linear_projection)
    register_module("proj_out", proj_out_linear_.emplace(c.channels, c.channels));
  else
    register_module("proj_out", proj_out_conv_.emplace(c.channels, c.channels, 1));
}

at::Tensor Transformer2DModel::forward(const at::Tensor& hidden_states,
                                       const AttentionContext& context) const {
  const auto to_tokens = [](const at::Tensor& map) {
    return map.flatten(2).transpose(1, 2);
  };  // [batch, h·w, channels]
  const auto to_map = [&](const at::Tensor& tokens) {
    return tokens.transpose(1, 2)
        .reshape({tokens.size(0), -1, hidden_states.size(2), hidden_states.size(3)})
        .contiguous(hidden_states.suggest_memory_format());
  };
  at::Tensor x = norm_.forward(hidden_states);
  x = proj_in_conv_ ? to_tokens(proj_in_conv_->forward(x)) : proj_in_linear_->forward(to_tokens(x));
  AttentionContext rest = context;
  rest.height = hidden_states.size(2);
  rest.width = hidden_states.size(3);
  for (const auto& block : transformer_blocks_) {
    x = block->forward(x, rest);
    rest.probabilities = nullptr;
  }
  const at::Tensor residual = repeated(hidden_states, x.size(0));
  if (proj_out_conv_) return proj_out_conv_->forward(to_map(x), {.residual = residual});
  return to_map(proj_out_linear_->forward(x)) + residual;
}

}  // namespace limn::models
