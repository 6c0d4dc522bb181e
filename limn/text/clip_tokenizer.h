// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace limn::text {

/// What fills a text up: CLIP's own models were trained with the end token, OpenCLIP's with token 0, "!".
enum class Padding { EndToken, Zero };

/// CLIP's byte-pair encoding. Immutable; safe to share.
/// Source: Sennrich et al. 2016; Radford et al. 2021, §2.4. Ids equal those of transformers' CLIPTokenizer.
class CLIPTokenizer {
 public:
  /// Reads vocab.json and merges.txt, or tokenizer.json; and, where they are, tokenizer_config.json and
  /// special_tokens_map.json.
  /// @throws Error{NotFound}, Error{BadFile} with file and line or token
  static CLIPTokenizer from_folder(const std::filesystem::path& folder);
  /// The vocabulary of CLIP ViT-L/14 as OpenAI published it: 49,408 tokens.
  static CLIPTokenizer built_in(Padding padding = Padding::EndToken);

  /// Ids of a UTF-8 text (bytes that are not UTF-8 become U+FFFD), without start and end tokens, not cut.
  std::vector<int64_t> encode(std::string_view text) const;
  /// The text that ids stand for, lower-cased, words parted by one space.
  std::string decode(const std::vector<int64_t>& ids) const;

  /// A token's letters, such as "cat</w>" at the end of a word; empty when there is no such token.
  std::string_view token(int64_t id) const;

  struct Padded {
    std::vector<int64_t> ids;  // max_length(): start, text, end, padding
    std::string dropped;       // text that did not fit, or empty
  };
  Padded encode_padded(std::string_view text) const;

  int64_t bos() const { return bos_; }
  int64_t eos() const { return eos_; }
  int64_t pad() const { return pad_; }
  int64_t max_length() const { return max_length_; }  // tokens
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }

 private:
  CLIPTokenizer() = default;
  void add_token(const std::string& token, int64_t id, const std::string& where);
  void add_merges(std::string_view text, const std::string& where);
  int64_t id_of(const std::string& token, const std::string& where) const;
  void encode_words(std::string_view text, std::vector<int64_t>& ids) const;
  void encode_word(const std::string& word, std::vector<int64_t>& ids) const;

  struct Merge {
    int64_t rank, id;
  };
  std::unordered_map<std::string, int64_t> vocabulary_;
  std::unordered_map<int64_t, std::string> tokens_;
  std::unordered_map<uint64_t, Merge> merges_;  // by the two ids, 32 bits each
  int64_t bos_ = 0, eos_ = 0, pad_ = 0, unknown_ = 0, max_length_ = 77;
};

/// Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json of the built-in
/// vocabulary.
void write_built_in_tokenizer(const std::filesystem::path& folder, Padding padding = Padding::EndToken);

}  // namespace limn::text
