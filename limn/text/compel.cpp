// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "limn/base/error.h"
#include "limn/text/prompt.h"

namespace limn::text {
namespace {

using Parts = std::vector<WeightedText>;

constexpr double kPlus = 1.1, kMinus = 0.9;
constexpr std::string_view kSpaces = " \t\r\n\f\v", kSyntax = "()\",.+-=", kDigits = "0123456789";
constexpr int kDeepest = 200;  // brackets inside one another

bool is_space(char c) { return kSpaces.find(c) != std::string_view::npos; }
bool is_syntax(char c) { return kSyntax.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

[[noreturn]] void refuse(const std::string& what, const std::string& hint = "") {
  throw Error(ErrorCode::InvalidArgument, "prompt", what, hint);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

/// The letters of a piece: escaped brackets and quotes are themselves.
WeightedText fragment(std::string_view text) {
  std::string out(text);
  replace_all(out, "\\(", "(");
  replace_all(out, "\\)", ")");
  replace_all(out, "\\\"", "\"");
  return {std::move(out), 1};
}

/// Neighbours of equal weight become one, a space between.
Parts fused(const Parts& parts) {
  Parts out;
  for (const WeightedText& part : parts) {
    if (!out.empty() && out.back().weight == part.weight)
      out.back().text += " " + part.text;
    else
      out.push_back(part);
  }
  return out;
}

/// Reads one text. Where a construct does not match, nothing is read.
class Reader {
 public:
  explicit Reader(std::string_view text, int depth = 0) : text_(text), depth_(depth) {
    if (depth > kDeepest) refuse("has more than 200 brackets inside one another");
  }

  bool at_end() {
    skip_spaces();
    return at_ == text_.size();
  }

  /// Everything: what is no construct is taken word by word, as it stands.
  Parts prompt() {
    Parts out;
    while (!at_end()) {
      const size_t start = at_;
      std::optional<Parts> part = construct();
      if (!part || was_word_) {
        at_ = start;
        part = Parts{fragment(taken(std::min(text_.find_first_of(kSpaces, at_), text_.size())))};
      }
      out.insert(out.end(), part->begin(), part->end());
    }
    return out;
  }

  /// ( target, target ) .operator ( options ), from the start.
  struct Operation {
    std::vector<Parts> targets;
    std::string name;
    std::vector<std::string> options;
  };
  std::optional<Operation> operation() {
    Operation out;
    if (!take('(')) return {};
    do {
      std::optional<Parts> target = joined_text();
      if (!target) return {};
      out.targets.push_back(std::move(*target));
    } while (take(','));
    if (!take(')')) return {};
    skip_spaces();
    for (const std::string_view name : {".and", ".add", ".blend"})
      if (text_.substr(at_).starts_with(name)) out.name = name;
    at_ += out.name.size();
    if (out.name.empty() || !take('(')) return {};
    if (take(')')) return out;
    do {
      skip_spaces();
      const size_t end = std::min(text_.find_first_of(",)", at_), text_.size());
      std::string option(taken(end));
      while (!option.empty() && is_space(option.back())) option.pop_back();
      out.options.push_back(std::move(option));
    } while (take(','));
    return take(')') ? std::optional(std::move(out)) : std::nullopt;
  }

 private:
  void skip_spaces() { at_ = std::min(text_.find_first_not_of(kSpaces, at_), text_.size()); }

  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string_view taken(size_t end) {
    const std::string_view out = text_.substr(at_, end - at_);
    at_ = end;
    return out;
  }

  /// What begins here: quoted, in brackets, or a word without syntax; with the weight that follows it.
  std::optional<Parts> construct() {
    refuse_unsupported();
    const char c = text_[at_];
    was_word_ = c != '"' && c != '(';
    std::optional<Parts> target = c == '"' ? quoted() : c == '(' ? bracketed() : word();
    if (!target) return {};
    if (const auto weight = weight_after(was_word_)) {
      was_word_ = false;
      for (WeightedText& part : *target) part.weight *= *weight;
    }
    return target;
  }

  std::optional<Parts> quoted(bool takes_everything = false) {
    std::string inside;
    size_t i = at_ + 1;
    for (; i < text_.size() && text_[i] != '"'; ++i) {
      if (text_[i] == '\n' || text_[i] == '\r') return {};
      const bool escapes = text_[i] == '\\' && i + 1 < text_.size() && text_[i + 1] == '"';
      inside += escapes ? "\\\"" : std::string(1, text_[i]);
      if (escapes) ++i;
    }
    if (i >= text_.size()) return {};
    Reader reader(inside, depth_ + 1);
    std::optional<Parts> out;
    if (reader.at_end())
      out = Parts{{"", 1}};
    else
      out = takes_everything ? reader.prompt() : reader.fragments();
    if (!out || !reader.at_end()) return {};
    at_ = i + 1;
    return out;
  }

  std::optional<Parts> bracketed() {
    const size_t start = at_++;
    Reader reader(text_.substr(at_), depth_ + 1);
    std::optional<Parts> out = reader.fragments();
    if (!out || !reader.take(')')) {
      at_ = start;
      return {};
    }
    at_ += reader.at_;
    return out;
  }

  /// Constructs, words, commas and full stops, as far as they go.
  Parts fragments() {
    Parts out;
    while (!at_end()) {
      const size_t start = at_;
      if (text_[at_] == ',' || text_[at_] == '.') {
        out.push_back(fragment(taken(at_ + 1)));
        continue;
      }
      const std::optional<Parts> part = construct();
      if (!part) {
        at_ = start;
        break;
      }
      out.insert(out.end(), part->begin(), part->end());
    }
    return out;
  }

  std::optional<Parts> word() {
    size_t i = at_;
    for (; i < text_.size(); ++i) {
      const char c = text_[i];
      const char next = i + 1 < text_.size() ? text_[i + 1] : ' ';
      if (c == '\\' && is_syntax(next)) {
        ++i;
      } else if (c == '+' || c == '-') {
        if (is_space(next) || is_syntax(next)) break;
      } else if (is_space(c) || is_syntax(c)) {
        break;
      }
    }
    if (i == at_) return {};
    return Parts{fragment(taken(i))};
  }

  /// +++, ---, a number after brackets and quotes, or .attend(…).
  std::optional<double> weight_after(bool after_word) {
    if (at_ < text_.size() && !is_space(text_[at_]))
      if (const auto weight = weight_here(!after_word)) return weight;
    const size_t start = at_;
    skip_spaces();
    constexpr std::string_view kAttend = ".attend";
    if (text_.substr(at_).starts_with(kAttend)) {
      at_ += kAttend.size();
      if (take('(')) {
        skip_spaces();
        const auto weight = weight_here(true);
        if (weight && take(')')) return weight;
      }
    }
    at_ = start;
    return {};
  }

  std::optional<double> weight_here(bool takes_numbers) {
    if (at_ == text_.size()) return {};
    const char c = text_[at_];
    if (c == '+' || c == '-') {
      const size_t end = std::min(text_.find_first_not_of(c, at_), text_.size());
      return std::pow(c == '+' ? kPlus : kMinus, static_cast<double>(taken(end).size()));
    }
    if (!takes_numbers) return {};
    size_t end = std::min(text_.find_first_not_of(kDigits, at_), text_.size());
    if (end < text_.size() && text_[end] == '.' &&
        (end > at_ || (end + 1 < text_.size() && is_digit(text_[end + 1]))))
      end = std::min(text_.find_first_not_of(kDigits, end + 1), text_.size());
    if (end == at_) return {};
    return number_of(taken(end));
  }

 public:
  static double number_of(std::string_view text) {
    double value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
      refuse("'" + std::string(text) + "' is no weight", "write a number such as 1.2");
    return value;
  }

 private:
  /// A text of .blend() or .and().
  std::optional<Parts> joined_text() {
    skip_spaces();
    if (at_ == text_.size()) return {};
    if (text_[at_] == '(') return bracketed();
    if (text_[at_] != '"') return word();
    std::optional<Parts> out = quoted();
    return out ? out : quoted(true);
  }

  void refuse_unsupported() const {
    const auto follows = [&](std::string_view name) {
      if (!text_.substr(at_).starts_with(name)) return false;
      const size_t next = text_.find_first_not_of(kSpaces, at_ + name.size());
      return next != std::string_view::npos && text_[next] == '(';
    };
    if (follows("withLora") || follows("useLora"))
      throw Error(ErrorCode::Unsupported, "prompt", "withLora() is not read from prompts",
                  "use --lora FILE:WEIGHT");
    if (text_.find(".swap(", at_) != std::string_view::npos)
      throw Error(ErrorCode::Unsupported, "prompt", ".swap(), cross-attention control, is not supported",
                  "put a backslash before the bracket to mean the letters");
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_;
  bool was_word_ = false;
};

std::vector<double> weights_of(const Reader::Operation& operation) {
  std::vector<double> out;
  for (const std::string& option : operation.options) out.push_back(Reader::number_of(option));
  if (out.empty()) out.assign(operation.targets.size(), 1.0);
  if (out.size() != operation.targets.size())
    refuse(operation.name + "() has " + std::to_string(out.size()) + " weights for " +
               std::to_string(operation.targets.size()) + " texts",
           "give one weight a text, or none");
  return out;
}

/// Commas are followed by a space.
std::string with_spaced_commas(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] != ',' || i + 1 == text.size() || is_space(text[i + 1])) continue;
    out += ' ';
    out += text[++i];
  }
  return out;
}

}  // namespace

std::vector<CompelText> parse_compel(std::string_view given) {
  const std::string text = with_spaced_commas(given);
  if (text.find_first_not_of(kSpaces) == std::string::npos) return {{{{{"", 1}}}, {1}}};
  Reader reader(text);
  auto operation = reader.operation();
  if (!operation) {
    Parts parts = fused(Reader(text).prompt());
    if (parts.empty()) parts = {{"", 1}};
    return {{{std::move(parts)}, {1}}};
  }
  if (!reader.at_end())
    refuse("there is text after " + operation->name + "(…)", "it must be the whole prompt");
  std::vector<CompelText> out;
  if (operation->name == ".blend") {
    CompelText& blend = out.emplace_back();
    if (!operation->options.empty() && operation->options.back() == "no_normalize") {
      blend.normalizes = false;
      operation->options.pop_back();
    }
    blend.blend = weights_of(*operation);
    for (const Parts& target : operation->targets) blend.prompts.push_back(fused(target));
    return out;
  }
  const std::vector<double> weights = weights_of(*operation);
  for (size_t i = 0; i < weights.size(); ++i)
    out.push_back({{fused(operation->targets[i])}, {1}, true, weights[i]});
  return out;
}

}  // namespace limn::text
