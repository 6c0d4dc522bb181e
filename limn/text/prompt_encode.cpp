// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "limn/base/error.h"
#include "limn/text/chunks.h"

namespace limn::text {
namespace {

constexpr PromptSyntaxEntry kSyntaxes[] = {
    {"plain", "words alone, at most 75 tokens: diffusers", PromptSyntax::Plain},
    {"a1111", "(x:1.3), [x], [from:to:when], [a|b], AND, BREAK, any length: AUTOMATIC1111's web UI",
     PromptSyntax::A1111},
    {"comfy", "(x:1.3), any length: ComfyUI", PromptSyntax::Comfy},
    {"compel", "x++, (x)1.3, .blend(), .and(), any length: Compel, InvokeAI", PromptSyntax::Compel},
};
constexpr EmphasisEntry kEmphases[] = {
    {"original", "Original", "weights, then the mean as it was", Emphasis::Original},
    {"no_norm", "No norm", "weights alone", Emphasis::NoNorm},
    {"ignore", "Ignore", "the language without its weights", Emphasis::Ignore},
    {"none", "None", "brackets are letters", Emphasis::None},
};

}  // namespace

TokenChunk finished(const CLIPTokenizer& tokenizer, TokenChunk chunk) {
  const auto length = static_cast<size_t>(tokenizer.max_length());
  chunk.tokens = chunk.ids.size();
  chunk.ids.insert(chunk.ids.begin(), tokenizer.bos());
  chunk.weights.insert(chunk.weights.begin(), 1);
  chunk.ids.push_back(tokenizer.eos());
  chunk.ids.resize(length, tokenizer.pad());
  chunk.weights.resize(length, 1);
  return chunk;
}

at::Tensor ids_of(std::span<const TokenChunk> chunks) {
  std::vector<at::Tensor> rows;
  for (const TokenChunk& chunk : chunks) rows.push_back(at::tensor(chunk.ids, at::kLong).unsqueeze(0));
  return at::cat(rows, 0);
}

TextEncoding encode_empty(const CLIPTokenizer& tokenizer, const EncodeIds& encode) {
  const TokenChunk chunk = finished(tokenizer, {});
  return encode(ids_of({&chunk, 1}), {});
}

bool has_weights(const TokenChunk& chunk) {
  return std::ranges::any_of(chunk.weights, [](float weight) { return weight != 1; });
}

at::Tensor drawn_apart(const at::Tensor& states, const TokenChunk& chunk, const at::Tensor& empty) {
  const at::Tensor weights = at::tensor(chunk.weights).to(states.options()).unsqueeze(-1);
  return at::where(weights == 1, states, empty + (states - empty) * weights);
}

namespace {

std::vector<WeightedText> a1111_parts(const std::string& text, Emphasis emphasis) {
  return emphasis == Emphasis::None ? std::vector<WeightedText>{{text, 1}} : parse_a1111_weights(text);
}

}  // namespace

std::span<const PromptSyntaxEntry> prompt_syntaxes() { return kSyntaxes; }
std::span<const EmphasisEntry> emphases() { return kEmphases; }

std::vector<TokenChunk> a1111_chunks(const CLIPTokenizer& tokenizer, std::span<const WeightedText> parts,
                                     int64_t backtrack) {
  const auto length = static_cast<size_t>(tokenizer.max_length()) - 2;
  const std::vector<int64_t> commas = tokenizer.encode(",");
  std::vector<TokenChunk> out;
  TokenChunk chunk;
  std::optional<size_t> comma;  // the last one's place in the chunk
  const auto next = [&] {
    out.push_back(finished(tokenizer, std::exchange(chunk, {})));
    comma.reset();
  };
  for (const WeightedText& part : parts) {
    if (part.text == "BREAK" && part.weight == kBreakWeight) {
      next();
      continue;
    }
    for (const int64_t id : tokenizer.encode(part.text)) {
      if (commas.size() == 1 && id == commas.front()) {
        comma = chunk.ids.size();
      } else if (chunk.ids.size() == length && comma && static_cast<int64_t>(length - *comma) <= backtrack) {
        const auto cut = static_cast<ptrdiff_t>(*comma) + 1;
        TokenChunk rest{{chunk.ids.begin() + cut, chunk.ids.end()},
                        {chunk.weights.begin() + cut, chunk.weights.end()}};
        chunk.ids.resize(static_cast<size_t>(cut));
        chunk.weights.resize(static_cast<size_t>(cut));
        next();
        chunk = std::move(rest);
      }
      if (chunk.ids.size() == length) next();
      chunk.ids.push_back(id);
      chunk.weights.push_back(static_cast<float>(part.weight));
    }
  }
  if (!chunk.ids.empty() || out.empty()) next();
  return out;
}

std::vector<TokenChunk> comfy_chunks(const CLIPTokenizer& tokenizer, std::span<const WeightedText> parts) {
  constexpr size_t kLongWord = 8;  // tokens
  const auto length = static_cast<size_t>(tokenizer.max_length()) - 2;
  std::vector<TokenChunk> out(1);
  for (const WeightedText& part : parts)
    for (size_t start = 0, end; start < part.text.size(); start = end + 1) {
      end = std::min(part.text.find_first_of(" \n", start), part.text.size());
      const std::vector<int64_t> word = tokenizer.encode(part.text.substr(start, end - start));
      for (size_t taken = 0; taken < word.size();) {
        const size_t room = length - out.back().ids.size(), left = word.size() - taken;
        const bool tears = word.size() >= kLongWord || out.back().ids.empty();  // a word longer than a chunk
        const size_t now = left <= room ? left : tears ? room : 0;
        out.back().ids.insert(out.back().ids.end(), word.begin() + static_cast<ptrdiff_t>(taken),
                              word.begin() + static_cast<ptrdiff_t>(taken + now));
        out.back().weights.resize(out.back().ids.size(), static_cast<float>(part.weight));
        taken += now;
        if (taken < word.size()) out.emplace_back();
      }
    }
  for (TokenChunk& chunk : out) chunk = finished(tokenizer, std::move(chunk));
  return out;
}

namespace {

/// A1111: every token's state times its weight; "Original" keeps the mean over a schedule's texts, chunk by chunk.
std::vector<TextEncoding> encode_a1111(std::span<const std::string> texts, Emphasis emphasis,
                                       const CLIPTokenizer& tokenizer, const EncodeIds& encode) {
  struct Text {
    std::vector<TokenChunk> chunks;
    double count = 0;  // in the schedule
    TextEncoding made;
  };
  std::map<std::string, Text> different;
  size_t longest = 0;
  for (const std::string& text : texts) {
    Text& own = different[text];
    if (own.count++ == 0) own.chunks = a1111_chunks(tokenizer, a1111_parts(text, emphasis));
    longest = std::max(longest, own.chunks.size());
  }
  for (auto& [name, text] : different) {
    text.chunks.resize(longest, finished(tokenizer, {}));
    text.made = encode(ids_of(text.chunks), {});
  }
  const bool weighs = emphasis != Emphasis::Ignore && emphasis != Emphasis::None;
  for (size_t i = 0; i < longest && weighs; ++i) {
    at::Tensor before = at::zeros({}), after = at::zeros({});
    for (auto& [name, text] : different) {
      const at::Tensor states = text.made.hidden_states[static_cast<int64_t>(i)];
      before = before + text.count * states.mean().to(before.options());
      states.mul_(at::tensor(text.chunks[i].weights).to(states.options()).unsqueeze(-1));
      after = after + text.count * states.mean().to(after.options());
    }
    for (auto& [name, text] : different)
      if (emphasis == Emphasis::Original) {
        const at::Tensor states = text.made.hidden_states[static_cast<int64_t>(i)];
        states.mul_((before / after).to(states.options()));
      }
  }
  std::vector<TextEncoding> out;
  for (const std::string& text : texts) {
    const TextEncoding& made = different[text].made;
    out.push_back({made.hidden_states.flatten(0, 1).unsqueeze(0),
                   made.text_embeds.defined() ? made.text_embeds.slice(0, 0, 1) : at::Tensor()});
  }
  return out;
}

/// ComfyUI: away from the empty prompt.
TextEncoding encode_comfy(const std::string& text, const CLIPTokenizer& tokenizer, const EncodeIds& encode) {
  std::vector<TokenChunk> chunks = comfy_chunks(tokenizer, parse_comfy_weights(text));
  const size_t count = chunks.size();
  if (std::ranges::any_of(chunks, has_weights)) chunks.push_back(finished(tokenizer, {}));
  const TextEncoding made = encode(ids_of(chunks), {});
  std::vector<at::Tensor> states;
  for (size_t i = 0; i < count; ++i) {
    const at::Tensor own = made.hidden_states[static_cast<int64_t>(i)];
    states.push_back(has_weights(chunks[i])
                         ? drawn_apart(own, chunks[i], made.hidden_states[static_cast<int64_t>(count)])
                         : own);
  }
  return {at::cat(states, 0).unsqueeze(0),
          made.text_embeds.defined() ? made.text_embeds.slice(0, 0, 1) : at::Tensor()};
}

}  // namespace

std::vector<TextEncoding> encode_weighted(std::span<const std::string> texts, PromptSyntax syntax,
                                          Emphasis emphasis, const CLIPTokenizer& tokenizer,
                                          const EncodeIds& encode) {
  LIMN_CHECK(syntax != PromptSyntax::Plain, "plain prompts have no weights");
  if (syntax == PromptSyntax::A1111) return encode_a1111(texts, emphasis, tokenizer, encode);
  std::vector<TextEncoding> out;
  for (const std::string& text : texts)
    out.push_back(syntax == PromptSyntax::Compel ? encode_compel(text, tokenizer, encode)
                                                 : encode_comfy(text, tokenizer, encode));
  return out;
}

}  // namespace limn::text
