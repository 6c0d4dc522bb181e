// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "limn/text/clip_tokenizer.h"

namespace limn::text {

/// Languages of prompts.
enum class PromptSyntax { Plain, A1111, Comfy, Compel };
/// One row of the table that --prompt-syntax names.
struct PromptSyntaxEntry {
  std::string_view name, help;
  PromptSyntax syntax;
};
std::span<const PromptSyntaxEntry> prompt_syntaxes();

/// How A1111 applies weights.
enum class Emphasis { Original, NoNorm, Ignore, None };
struct EmphasisEntry {
  std::string_view name, label, help;  // the label is A1111's
  Emphasis emphasis;
};
std::span<const EmphasisEntry> emphases();

/// A piece of a prompt and how strongly it counts.
struct WeightedText {
  std::string text;
  double weight = 1;
  bool operator==(const WeightedText&) const = default;
};
/// A1111's marker between chunks: the text "BREAK" with this weight.
inline constexpr double kBreakWeight = -1;

/// A1111's attention language: (x) 1.1, [x] 1 / 1.1, (x:w), escapes by backslash, BREAK. Brackets that are not closed count
/// to the end. @throws Error{InvalidArgument} at "prompt" for a weight that is no number, such as "1.2.3"
std::vector<WeightedText> parse_a1111_weights(std::string_view text);

/// ComfyUI's: (x) 1.1, (x:w), escapes by backslash. A weight that is given replaces those around it.
std::vector<WeightedText> parse_comfy_weights(std::string_view text);

/// A prompt that changes over the steps: `text` holds up to and including step `until` (from 1).
struct ScheduledText {
  int64_t until;
  std::string text;
  bool operator==(const ScheduledText&) const = default;
};
/// A1111's prompt editing: [from:to:when], [to:when], [from::when], [a|b|c], nested. `when` with a point is a share of
/// the steps, without one a step. What is no grammar is taken as it stands, all of it.
struct ScheduleRules {
  int64_t steps;
  std::optional<int64_t> hires_steps = {};  // of a second pass, whose numbers follow those of the first
  bool old_rules = false;                   // before 1.6.0: numbers below 1 are shares
};
std::vector<ScheduledText> parse_a1111_schedule(const std::string& text, const ScheduleRules& rules);

/// A1111's AND: prompts that are composed, each with its weight ("a AND b:0.5").
std::vector<WeightedText> split_a1111_and(const std::string& text);

/// One of the texts that a prompt in Compel's language joins: a blend of prompts, or one alone.
struct CompelText {
  std::vector<std::vector<WeightedText>> prompts;
  std::vector<double> blend;  // a weight a prompt
  bool normalizes = true;     // the blend's weights
  double weight = 1;          // of this text: from the empty prompt
  bool operator==(const CompelText&) const = default;
};
/// Compel's: word+, word--, (words)1.3, "words"++, .attend(w); ("a", "b").blend(w, w[, no_normalize]) and
/// ("a", "b").and(w, w) as the whole prompt. Each + is 1.1, each - is 0.9; brackets inside one another multiply.
/// @throws Error{InvalidArgument} at "prompt" for weights that do not fit the texts, and text after .blend() or .and();
///         Error{Unsupported} for .swap() and withLora()
std::vector<CompelText> parse_compel(std::string_view text);

/// One run of the text encoder.
struct TokenChunk {
  std::vector<int64_t> ids;    // max_length() of the tokenizer
  std::vector<float> weights;  // as many
  size_t tokens = 0;           // of the text, after the start
};
/// Chunks of 75 tokens, split at a comma among the last `backtrack` where a word would be torn off, and at BREAK.
std::vector<TokenChunk> a1111_chunks(const CLIPTokenizer& tokenizer, std::span<const WeightedText> parts,
                                     int64_t backtrack = 20);
/// Chunks of 75 tokens, split after a full stop, else after other punctuation, else after a word.
/// @param tokens  ids and weights without start and end
std::vector<TokenChunk> compel_chunks(const CLIPTokenizer& tokenizer, TokenChunk tokens);
/// Chunks of 75 tokens; a word of fewer than 8 tokens is never torn apart.
std::vector<TokenChunk> comfy_chunks(const CLIPTokenizer& tokenizer, std::span<const WeightedText> parts);

/// A text encoded, whatever its length.
struct TextEncoding {
  at::Tensor hidden_states;  // [1, tokens, dim]; tokens a multiple of max_length()
  at::Tensor text_embeds;    // [1, dim] of the first chunk, or undefined
};
/// The model's part: int64 [chunks, tokens] → [chunks, tokens, dim] and, where it has them, [chunks, dim]. `mask` is bool
/// [chunks, tokens], false where no other token looks, or undefined.
using EncodeIds = std::function<TextEncoding(const at::Tensor& ids, const at::Tensor& mask)>;

/// Texts in one of the languages above through one encoder. Those of one A1111 schedule go together: there they all get as
/// many chunks as the longest, and "Original" keeps the mean of all, each as often as it is in the schedule.
/// @param syntax  not Plain
///
/// Sources: A1111 and ComfyUI by their behaviour; Compel 2.5 with CompelForSD's settings: nothing cut, what counts less is
/// masked.
std::vector<TextEncoding> encode_weighted(std::span<const std::string> texts, PromptSyntax syntax,
                                          Emphasis emphasis, const CLIPTokenizer& tokenizer,
                                          const EncodeIds& encode);

/// The empty prompt, one chunk.
TextEncoding encode_empty(const CLIPTokenizer& tokenizer, const EncodeIds& encode);

}  // namespace limn::text
