// SPDX-License-Identifier: Apache-2.0
#include "limn/text/clip_tokenizer.h"

#include <array>
#include <queue>

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/base/json.h"

extern "C" const char limn_clip_merges[], limn_clip_merges_end[];

namespace limn::text {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostFile = 64u << 20;
constexpr std::string_view kEndOfWord = "</w>";
constexpr std::string_view kStart = "<|startoftext|>", kEnd = "<|endoftext|>";

std::string utf8(UChar32 code_point) {
  std::string out;
  icu::UnicodeString(code_point).toUTF8String(out);
  return out;
}

/// Bytes as printable characters: printable Latin-1 stands for itself, the rest for U+0100 onwards (Radford
/// 2019).
struct ByteAlphabet {
  std::array<std::string, 256> of_byte;
  std::vector<std::string> in_order;  // printable bytes first, as the vocabulary numbers them
  std::unordered_map<std::string, char> to_byte;

  ByteAlphabet() {
    const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
    for (int b = 0; b < 256; ++b)
      if (printable(b)) in_order.push_back(of_byte[b] = utf8(b));
    for (int b = 0, next = 256; b < 256; ++b)
      if (!printable(b)) in_order.push_back(of_byte[b] = utf8(next++));
    for (int b = 0; b < 256; ++b) to_byte[of_byte[b]] = static_cast<char>(b);
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

std::string_view built_in_merges() {
  return {limn_clip_merges, static_cast<size_t>(limn_clip_merges_end - limn_clip_merges)};
}

/// Lines of "a b", without the version comment and blank lines.
template <typename Visit>
void for_each_merge(std::string_view text, const std::string& where, Visit visit) {
  for (size_t line = 1, at = 0; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view row = text.substr(at, end - at);
    at = end + 1;
    if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
    if (row.empty() || row.starts_with("#version")) continue;
    const size_t space = row.find(' ');
    if (space == 0 || space == std::string_view::npos || row.find(' ', space + 1) != std::string_view::npos)
      throw Error(ErrorCode::BadFile, where + " line " + std::to_string(line),
                  "expected two tokens parted by a space");
    visit(std::string(row.substr(0, space)), std::string(row.substr(space + 1)),
          where + " line " + std::to_string(line));
  }
}

std::vector<std::string> built_in_vocabulary() {
  std::vector<std::string> tokens = byte_alphabet().in_order;
  for (const std::string& symbol : byte_alphabet().in_order)
    tokens.push_back(symbol + std::string(kEndOfWord));
  for_each_merge(
      built_in_merges(), "built-in merges",
      [&](const std::string& a, const std::string& b, const std::string&) { tokens.push_back(a + b); });
  tokens.emplace_back(kStart);
  tokens.emplace_back(kEnd);
  return tokens;
}

bool is_letter(UChar32 c) { return (U_GET_GC_MASK(c) & U_GC_L_MASK) != 0; }
bool is_number(UChar32 c) { return (U_GET_GC_MASK(c) & U_GC_N_MASK) != 0; }

/// NFC, then each character's lower case without context, as the reference's normaliser does it.
icu::UnicodeString normalise(std::string_view text) {
  UErrorCode code = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(code);
  LIMN_CHECK(U_SUCCESS(code), "ICU has no NFC data");
  const icu::UnicodeString composed = nfc->normalize(
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size()))), code);
  icu::UnicodeString out;
  for (int32_t i = 0; i < composed.length(); i = composed.moveIndex32(i, 1)) {
    const UChar32 c = composed.char32At(i);
    if (c == 0x130)
      out.append(UChar32{'i'}).append(UChar32{0x307});  // the one letter that becomes two
    else
      out.append(u_tolower(c));
  }
  return out;
}

/// Length of an English contraction ('s 't 're 've 'm 'll 'd) at position i, or 0.
int32_t contraction_at(const icu::UnicodeString& text, int32_t i) {
  for (const char16_t* suffix : {u"'s", u"'t", u"'re", u"'ve", u"'m", u"'ll", u"'d"}) {
    const icu::UnicodeString s(suffix);
    if (text.compare(i, s.length(), s) == 0) return s.length();
  }
  return 0;
}

/// End of the word that starts at i: a contraction, a run of letters, one number, or a run of other signs.
int32_t word_end(const icu::UnicodeString& text, int32_t i) {
  if (const int32_t length = contraction_at(text, i)) return i + length;
  const UChar32 first = text.char32At(i);
  int32_t end = text.moveIndex32(i, 1);
  if (is_number(first)) return end;
  const bool letters = is_letter(first);
  while (end < text.length()) {
    const UChar32 c = text.char32At(end);
    if (letters ? !is_letter(c) : is_letter(c) || is_number(c) || u_isUWhiteSpace(c)) break;
    end = text.moveIndex32(end, 1);
  }
  return end;
}

/// The content of a special token in tokenizer_config.json or special_tokens_map.json: text, or {"content":
/// text}.
void read_special(const json::object& config, std::string_view key, std::string& token) {
  const json::value* value = config.if_contains(json::string_view(key.data(), key.size()));
  if (value && value->is_object()) value = value->as_object().if_contains("content");
  if (value && value->is_string()) token = std::string(value->as_string());
}

struct Files {
  std::string where, merges_where;
  json::object vocabulary;
  std::string merges;  // lines of "a b"
};

/// vocab.json and merges.txt, or the tokenizer.json that newer programs write instead of them.
Files read_files(const fs::path& folder) {
  if (fs::exists(folder / "vocab.json") || !fs::exists(folder / "tokenizer.json"))
    return {(folder / "vocab.json").string(), (folder / "merges.txt").string(),
            read_json_object(folder / "vocab.json"), read_file(folder / "merges.txt", kMostFile)};
  const std::string where = (folder / "tokenizer.json").string();
  const json::object file = read_json_object(where);
  const Fields top(file, where);
  const json::value* model = top.find("model");
  if (!model || !model->is_object()) throw Error(ErrorCode::BadFile, where + ": model", "expected an object");
  const Fields fields(model->as_object(), where + ": model");
  fields.one_of("type", "BPE", {"BPE"});
  const json::value *vocabulary = fields.find("vocab"), *merges = fields.find("merges");
  if (!vocabulary || !vocabulary->is_object() || !merges || !merges->is_array())
    throw Error(ErrorCode::BadFile, where + ": model", "expected an object 'vocab' and a list 'merges'");
  Files files{where, where + ": merges", vocabulary->as_object(), ""};
  for (const json::value& merge : merges->as_array()) {
    if (merge.is_string()) {
      files.merges += merge.as_string();
    } else if (merge.is_array() && merge.as_array().size() == 2 && merge.at(0).is_string() &&
               merge.at(1).is_string()) {
      files.merges += merge.at(0).as_string();
      files.merges += ' ';
      files.merges += merge.at(1).as_string();
    } else {
      throw Error(ErrorCode::BadFile, files.merges_where, "expected pairs of tokens");
    }
    files.merges += '\n';
  }
  return files;
}

}  // namespace

void CLIPTokenizer::add_token(const std::string& token, int64_t id, const std::string& where) {
  if (id < 0 || id >= int64_t{1} << 31)
    throw Error(ErrorCode::BadFile, where, "id out of range for '" + token + "'");
  if (!tokens_.emplace(id, token).second)
    throw Error(ErrorCode::BadFile, where, "two tokens have id " + std::to_string(id));
  vocabulary_.emplace(token, id);
}

int64_t CLIPTokenizer::id_of(const std::string& token, const std::string& where) const {
  const auto found = vocabulary_.find(token);
  if (found == vocabulary_.end())
    throw Error(ErrorCode::BadFile, where, "token '" + token + "' is not in the vocabulary");
  return found->second;
}

void CLIPTokenizer::add_merges(std::string_view text, const std::string& where) {
  for_each_merge(text, where, [&](const std::string& a, const std::string& b, const std::string& line) {
    const uint64_t pair = static_cast<uint64_t>(id_of(a, line)) << 32 | static_cast<uint64_t>(id_of(b, line));
    merges_.emplace(pair, Merge{static_cast<int64_t>(merges_.size()), id_of(a + b, line)});
  });
}

CLIPTokenizer CLIPTokenizer::built_in(Padding padding) {
  CLIPTokenizer out;
  int64_t id = 0;
  for (const std::string& token : built_in_vocabulary()) out.add_token(token, id++, "built-in vocabulary");
  out.add_merges(built_in_merges(), "built-in merges");
  out.bos_ = out.id_of(std::string(kStart), "built-in vocabulary");
  out.eos_ = out.pad_ = out.unknown_ = out.id_of(std::string(kEnd), "built-in vocabulary");
  if (padding == Padding::Zero) out.pad_ = 0;
  return out;
}

CLIPTokenizer CLIPTokenizer::from_folder(const fs::path& folder) {
  CLIPTokenizer out;
  const Files files = read_files(folder);
  const std::string& where = files.where;
  for (const auto& [token, id] : files.vocabulary) {
    if (!id.is_int64())
      throw Error(ErrorCode::BadFile, where, "expected an integer id for '" + std::string(token) + "'");
    out.add_token(std::string(token), id.as_int64(), where);
  }
  out.add_merges(files.merges, files.merges_where);

  std::string bos(kStart), eos(kEnd), pad(kEnd), unknown(kEnd);
  const auto read = [&](const char* name) {
    return fs::exists(folder / name) ? read_json_object(folder / name) : json::object{};
  };
  // As transformers: the map has the last word over configurations from before added_tokens_decoder.
  const char *map = "special_tokens_map.json", *settings = "tokenizer_config.json";
  const bool settings_win = read(settings).contains("added_tokens_decoder");
  for (const char* name : {settings_win ? map : settings, settings_win ? settings : map}) {
    const json::object config = read(name);
    read_special(config, "bos_token", bos);
    read_special(config, "eos_token", eos);
    read_special(config, "pad_token", pad);
    read_special(config, "unk_token", unknown);
    out.max_length_ =
        Fields(config, (folder / name).string()).integer("model_max_length", out.max_length_, 3, 1 << 16);
  }
  out.bos_ = out.id_of(bos, where);
  out.eos_ = out.id_of(eos, where);
  out.pad_ = out.id_of(pad, where);
  out.unknown_ = out.id_of(unknown, where);
  return out;
}

void CLIPTokenizer::encode_word(const std::string& word, std::vector<int64_t>& ids) const {
  const auto id = [&](const std::string& token) {
    const auto found = vocabulary_.find(token);
    return found == vocabulary_.end() ? unknown_ : found->second;
  };
  struct Symbol {
    int64_t id;
    size_t previous, next;  // word.size() where there is none
  };
  const size_t none = word.size();
  std::vector<Symbol> symbols;
  for (size_t i = 0; i < word.size(); ++i) {
    const std::string& symbol = byte_alphabet().of_byte[static_cast<unsigned char>(word[i])];
    const bool last = i + 1 == word.size();
    symbols.push_back(
        {id(last ? symbol + std::string(kEndOfWord) : symbol), i == 0 ? none : i - 1, last ? none : i + 1});
  }

  struct Candidate {
    int64_t rank;
    size_t left;
    int64_t left_id, right_id;
    bool operator>(const Candidate& other) const {
      return std::pair(rank, left) > std::pair(other.rank, other.left);
    }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto find_merge = [&](int64_t a, int64_t b) {
    return merges_.find(static_cast<uint64_t>(a) << 32 | static_cast<uint64_t>(b));
  };
  const auto consider = [&](size_t left) {
    if (left == none || symbols[left].next == none) return;
    const int64_t a = symbols[left].id, b = symbols[symbols[left].next].id;
    if (const auto merge = find_merge(a, b); merge != merges_.end())
      queue.push({merge->second.rank, left, a, b});
  };
  constexpr int64_t kMerged = -1;
  for (size_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    const size_t right = symbols[best.left].next;
    if (symbols[best.left].id != best.left_id || right == none || symbols[right].id != best.right_id)
      continue;  // stale
    symbols[best.left].id = find_merge(best.left_id, best.right_id)->second.id;
    symbols[best.left].next = symbols[right].next;
    if (symbols[right].next != none) symbols[symbols[right].next].previous = best.left;
    symbols[right].id = kMerged;
    consider(symbols[best.left].previous);
    consider(best.left);
  }
  for (const Symbol& symbol : symbols)
    if (symbol.id != kMerged) ids.push_back(symbol.id);
}

void CLIPTokenizer::encode_words(std::string_view text, std::vector<int64_t>& ids) const {
  const icu::UnicodeString normalised = normalise(text);
  for (int32_t i = 0; i < normalised.length();) {
    if (u_isUWhiteSpace(normalised.char32At(i))) {
      i = normalised.moveIndex32(i, 1);
      continue;
    }
    const int32_t end = word_end(normalised, i);
    std::string word;
    normalised.tempSubStringBetween(i, end).toUTF8String(word);
    encode_word(word, ids);
    i = end;
  }
}

std::vector<int64_t> CLIPTokenizer::encode(std::string_view text) const {
  // Special tokens written out in a text count as themselves, before anything is normalised.
  std::vector<int64_t> ids;
  while (true) {
    const size_t at = std::min(text.find(kStart), text.find(kEnd));
    encode_words(text.substr(0, at), ids);
    if (at == std::string_view::npos) return ids;
    const bool start = text.substr(at).starts_with(kStart);
    ids.push_back(start ? bos_ : eos_);
    text.remove_prefix(at + (start ? kStart : kEnd).size());
  }
}

std::string_view CLIPTokenizer::token(int64_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? std::string_view() : found->second;
}

std::string CLIPTokenizer::decode(const std::vector<int64_t>& ids) const {
  std::string symbols;
  for (int64_t id : ids) {
    const auto token = tokens_.find(id);
    if (token == tokens_.end() || id == bos_ || id == eos_) continue;
    symbols += token->second;
  }
  std::string out;
  for (size_t i = 0; i < symbols.size();) {
    if (std::string_view(symbols).substr(i).starts_with(kEndOfWord)) {
      out += ' ';
      i += kEndOfWord.size();
      continue;
    }
    const size_t length = (symbols[i] & 0x80) ? 2 : 1;  // the byte alphabet lies below U+0800
    const auto byte = byte_alphabet().to_byte.find(symbols.substr(i, length));
    if (byte != byte_alphabet().to_byte.end()) out += byte->second;
    i += length;
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

CLIPTokenizer::Padded CLIPTokenizer::encode_padded(std::string_view text) const {
  Padded out;
  std::vector<int64_t> ids = encode(text);
  const size_t room = static_cast<size_t>(max_length_) - 2;
  if (ids.size() > room) {
    out.dropped = decode({ids.begin() + static_cast<std::ptrdiff_t>(room), ids.end()});
    ids.resize(room);
  }
  out.ids.push_back(bos_);
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  out.ids.push_back(eos_);
  out.ids.resize(static_cast<size_t>(max_length_), pad_);
  return out;
}

void write_built_in_tokenizer(const fs::path& folder, Padding padding) {
  const auto write = [&](const char* name, std::string_view text) {
    write_file_atomically(folder / name, std::as_bytes(std::span(text)));
  };
  json::object vocabulary;
  int64_t id = 0;
  for (const std::string& token : built_in_vocabulary()) vocabulary[token] = id++;
  const std::string_view pad = padding == Padding::Zero ? "!" : kEnd;
  json::object special{{"bos_token", kStart}, {"eos_token", kEnd}, {"unk_token", kEnd}, {"pad_token", pad}};
  write("vocab.json", to_text(vocabulary));
  write("merges.txt", built_in_merges());
  write("special_tokens_map.json", to_text(special));
  special["tokenizer_class"] = "CLIPTokenizer";
  special["model_max_length"] = 77;
  special["do_lower_case"] = true;
  write("tokenizer_config.json", to_text(special));
}

}  // namespace limn::text
