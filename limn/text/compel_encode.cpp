// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>

#include "limn/base/error.h"
#include "limn/text/chunks.h"

namespace limn::text {
namespace {

/// Where a chunk that is too long ends: after the last full stop, else the last other punctuation, else the last word.
size_t split_point(const CLIPTokenizer& tokenizer, const std::vector<int64_t>& ids, size_t length) {
  if (ids.size() <= length) return ids.size();
  const auto after_last = [&](auto ends) -> std::optional<size_t> {
    for (size_t i = length; i > 0; --i)
      if (ends(tokenizer.token(ids[i - 1]))) return i;
    return {};
  };
  if (const auto i = after_last([](std::string_view t) { return t == ".</w>"; })) return *i;
  if (const auto i =
          after_last([](std::string_view t) { return t == ",</w>" || t == ";</w>" || t == ":</w>"; }))
    return *i;
  return after_last([](std::string_view t) { return t.ends_with("</w>"); }).value_or(length);
}

/// Encodes prompts through one encoder.
class Encoder {
 public:
  Encoder(const CLIPTokenizer& tokenizer, const EncodeIds& encode) : tokenizer_(tokenizer), encode_(encode) {}

  /// [tokens, dim]
  const at::Tensor& empty() {
    if (!empty_.defined()) empty_ = encode_empty(tokenizer_, encode_).hidden_states[0];
    return empty_;
  }

  at::Tensor padded(at::Tensor states, int64_t tokens) {
    while (states.size(0) < tokens) states = at::cat({states, empty()}, 0);
    return states;
  }

  /// A prompt of weighted pieces. What counts less than 1 is mixed with what is left when nothing looks at it: none of
  /// it at 1, as much at 0.5, alone at 0.
  at::Tensor prompt(const std::vector<WeightedText>& parts) {
    TokenChunk tokens;
    struct Piece {
      size_t first, last;
      double weight;
    };
    std::vector<Piece> weak;
    for (const WeightedText& part : parts) {
      const std::vector<int64_t> ids = tokenizer_.encode(part.text);
      if (part.weight < 1 && !ids.empty())
        weak.push_back({tokens.ids.size(), tokens.ids.size() + ids.size() - 1, part.weight});
      tokens.ids.insert(tokens.ids.end(), ids.begin(), ids.end());
      tokens.weights.resize(tokens.ids.size(), static_cast<float>(part.weight));
    }
    const std::vector<TokenChunk> chunks = compel_chunks(tokenizer_, tokens);
    const std::vector<size_t> places = places_of(chunks, tokens.ids);
    at::Tensor sum = states(chunks, {});
    double total = 1;
    for (const Piece& piece : weak) {
      constexpr double kLeast = 1e-5;  // of a weight: its tangent stays finite
      const double share = std::tan((1 - std::max(piece.weight, kLeast)) * std::numbers::pi / 2);
      sum =
          sum + states(chunks, mask_without(chunks.size(), places[piece.first], places[piece.last])) * share;
      total += share;
    }
    return sum / total;
  }

 private:
  int64_t length() const { return tokenizer_.max_length(); }

  /// The chunks one behind the other, [chunks * tokens, dim].
  at::Tensor states(const std::vector<TokenChunk>& chunks, const at::Tensor& mask) {
    const at::Tensor made = encode_(ids_of(chunks), mask).hidden_states;
    std::vector<at::Tensor> out;
    for (size_t i = 0; i < chunks.size(); ++i) {
      const at::Tensor own = made[static_cast<int64_t>(i)];
      out.push_back(has_weights(chunks[i]) ? drawn_apart(own, chunks[i], empty()) : own);
    }
    return at::cat(out, 0);
  }

  /// Where each token of the text lies in the chunks.
  std::vector<size_t> places_of(const std::vector<TokenChunk>& chunks,
                                const std::vector<int64_t>& ids) const {
    std::vector<size_t> out;
    for (size_t chunk = 0; chunk < chunks.size(); ++chunk)
      for (size_t i = 0; i < chunks[chunk].tokens; ++i)
        out.push_back(chunk * static_cast<size_t>(length()) + 1 + i);
    LIMN_CHECK(out.size() == ids.size(), "chunks lost a token");
    return out;
  }

  /// Nobody looks at first … last; the first and the last of each chunk are always seen.
  at::Tensor mask_without(size_t chunks, size_t first, size_t last) const {
    at::Tensor mask = at::ones({static_cast<int64_t>(chunks) * length()}, at::kBool);
    mask.slice(0, static_cast<int64_t>(first), static_cast<int64_t>(last) + 1).fill_(false);
    mask = mask.view({-1, length()});
    mask.select(1, 0).fill_(true);
    mask.select(1, length() - 1).fill_(true);
    return mask;
  }

  const CLIPTokenizer& tokenizer_;
  const EncodeIds& encode_;
  at::Tensor empty_;
};

}  // namespace

std::vector<TokenChunk> compel_chunks(const CLIPTokenizer& tokenizer, TokenChunk tokens) {
  const auto length = static_cast<size_t>(tokenizer.max_length()) - 2;
  std::vector<TokenChunk> out;
  do {
    const auto end = static_cast<ptrdiff_t>(split_point(tokenizer, tokens.ids, length));
    TokenChunk chunk{{tokens.ids.begin(), tokens.ids.begin() + end},
                     {tokens.weights.begin(), tokens.weights.begin() + end}};
    tokens.ids.erase(tokens.ids.begin(), tokens.ids.begin() + end);
    tokens.weights.erase(tokens.weights.begin(), tokens.weights.begin() + end);
    out.push_back(finished(tokenizer, std::move(chunk)));
  } while (!tokens.ids.empty());
  return out;
}

TextEncoding encode_compel(const std::string& text, const CLIPTokenizer& tokenizer, const EncodeIds& encode) {
  Encoder encoder(tokenizer, encode);
  std::vector<at::Tensor> joined;
  for (const CompelText& part : parse_compel(text)) {
    std::vector<at::Tensor> prompts;
    int64_t tokens = 0;
    double total = 0;
    for (size_t i = 0; i < part.prompts.size(); ++i) {
      prompts.push_back(encoder.prompt(part.prompts[i]));
      tokens = std::max(tokens, prompts.back().size(0));
      total += part.blend[i];
    }
    at::Tensor blend;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const at::Tensor term =
          encoder.padded(prompts[i], tokens) * (part.normalizes ? part.blend[i] / total : part.blend[i]);
      blend = blend.defined() ? blend + term : term;
    }
    if (part.weight != 1) {
      const at::Tensor empty = encoder.padded(encoder.empty(), tokens);
      blend = empty + (blend - empty) * part.weight;
    }
    joined.push_back(blend);
  }
  TextEncoding out{at::cat(joined, 0).unsqueeze(0), {}};
  // The one vector is that of the letters as they were written.
  const TokenChunk letters{tokenizer.encode_padded(text).ids, {}};
  out.text_embeds = encode(ids_of({&letters, 1}), {}).text_embeds;
  return out;
}

}  // namespace limn::text
