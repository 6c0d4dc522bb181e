// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "limn/models/blocks/key_value_cache.h"
#include "limn/nn/layers.h"

namespace limn::models {

/// What a transformer attends to besides its own tokens, and what guidance methods and shortcuts do to its self-attention.
struct AttentionContext {
  /// [contexts, context tokens, cross_attention_dim], each for batch / contexts pictures in a row
  at::Tensor hidden_states;
  /// Pictures that the contexts are for. Where a feature map has fewer, it is the same for all up to its first
  /// cross-attention, and is repeated there. 0: as many as the map has.
  int64_t batch = 0;
  KeyValueCache* keys = nullptr;  // keeps what cross-attentions make of the contexts; not used with gradients
  std::optional<int64_t> identity_from =
      {};  // pictures of the batch from here on: each token attends to itself alone
  at::Tensor* probabilities =
      nullptr;         // gets those of the first self-attention, [batch, heads, tokens, tokens]
  double merging = 0;  // share of the tokens that self-attention takes together with others: TokenMerging
  int64_t height = 0, width = 0;  // of the map that the tokens are of; Transformer2DModel sets them
};

/// Multi-head attention with projections, of the tokens to themselves or to a context.
/// Source: Vaswani et al. 2017, §3.2.2; names of diffusers' Attention.
class Attention : public nn::Module {
 public:
  struct Config {
    int64_t query_dim;
    int64_t context_dim;  // of what is attended to; query_dim for self-attention
    int64_t heads;
    int64_t inner_dim;  // heads × head size
    bool qkv_bias = false;
  };
  explicit Attention(const Config& config);

  /// @param hidden_states  [batch, tokens, query_dim]
  /// @param context        [contexts, context tokens, context_dim], each for batch / contexts pictures in a row
  /// @param residual       [batch, tokens, query_dim], added to the result; may be undefined
  /// @param keys           keeps what is made of the context from call to call; may be null
  /// @return               [batch, tokens, query_dim]
  at::Tensor forward(const at::Tensor& hidden_states, const at::Tensor& context,
                     const at::Tensor& residual = {}, KeyValueCache* keys = nullptr) const;

  /// Each token attends to itself alone.
  at::Tensor identity(const at::Tensor& hidden_states) const;
  /// softmax(QKᵀ/√d) of the tokens to themselves, [batch, heads, tokens, tokens].
  at::Tensor probabilities(const at::Tensor& hidden_states) const;

 private:
  int64_t heads_;
  nn::Linear to_q_, to_k_, to_v_;
  nn::ModuleList<nn::Linear> to_out_;
};

/// Feed-forward layer gated by GELU (Shazeer 2020, GEGLU).  [batch, tokens, dim] → same.
class FeedForward : public nn::Module {
 public:
  explicit FeedForward(int64_t dim);
  /// @param residual  added to the result
  at::Tensor forward(const at::Tensor& hidden_states, const at::Tensor& residual) const;

 private:
  struct Gated : nn::Module {
    Gated(int64_t dim, int64_t inner) : proj(dim, 2 * inner) { register_module("proj", proj); }
    nn::Linear proj;
  };
  struct Net : nn::Module {
    explicit Net(int64_t dim) : gated(dim, 4 * dim), out(4 * dim, dim) {
      register_module("0", gated);
      register_module("2", out);
    }
    Gated gated;
    nn::Linear out;
  };
  Net net_;
};

struct TransformerConfig {
  int64_t channels;
  int64_t heads;
  int64_t layers = 1;
  int64_t cross_attention_dim;
  int64_t groups = 32;
  bool use_linear_projection = false;
  bool only_cross_attention = false;  // the first attention looks at the context too
};

/// Self-attention, cross-attention to the context, feed-forward, each behind a layer norm.
class BasicTransformerBlock : public nn::Module {
 public:
  explicit BasicTransformerBlock(const TransformerConfig& config);
  /// @param hidden_states  [batch, tokens, channels], or of fewer pictures: see AttentionContext
  /// @return               [batch, tokens, channels]
  at::Tensor forward(at::Tensor hidden_states, const AttentionContext& context) const;

 private:
  at::Tensor attend(const at::Tensor& normed, const AttentionContext& context,
                    const at::Tensor& residual = {}) const;
  at::Tensor self_attention(const at::Tensor& normed, const AttentionContext& context,
                            const at::Tensor& residual) const;

  bool only_cross_attention_;
  nn::LayerNorm norm1_, norm2_, norm3_;
  Attention attn1_, attn2_;
  FeedForward ff_;
};

/// Transformer over the pixels of a feature map, with a residual around it (Rombach et al. 2022, §3.3).
class Transformer2DModel : public nn::Module {
 public:
  explicit Transformer2DModel(const TransformerConfig& config);
  /// @param hidden_states  [batch, channels, height, width], or of fewer pictures: see AttentionContext
  /// @return               [batch, channels, height, width]
  at::Tensor forward(const at::Tensor& hidden_states, const AttentionContext& context) const;

 private:
  nn::GroupNorm norm_;
  std::optional<nn::Linear> proj_in_linear_, proj_out_linear_;
  std::optional<nn::Conv2d> proj_in_conv_, proj_out_conv_;
  nn::ModuleList<BasicTransformerBlock> transformer_blocks_;
};

}  // namespace limn::models
