// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "limn/text/prompt.h"

namespace limn::text {

/// The chunk with start, end and padding, as the tokenizer's models were trained.
TokenChunk finished(const CLIPTokenizer& tokenizer, TokenChunk chunk);

/// int64 [chunks, tokens].
at::Tensor ids_of(std::span<const TokenChunk> chunks);

bool has_weights(const TokenChunk& chunk);

/// Away from the state that the empty prompt has at the same place: ComfyUI and Compel.
/// @param states, empty  [tokens, dim]
at::Tensor drawn_apart(const at::Tensor& states, const TokenChunk& chunk, const at::Tensor& empty);

/// encode_weighted in Compel's language.
TextEncoding encode_compel(const std::string& text, const CLIPTokenizer& tokenizer, const EncodeIds& encode);

}  // namespace limn::text
