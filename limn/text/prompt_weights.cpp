// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "limn/base/error.h"
#include "limn/text/prompt.h"

namespace limn::text {
namespace {

constexpr double kRound = 1.1, kSquare = 1 / 1.1;
constexpr std::string_view kSpaces = " \t\r\n\f\v", kSpecial = "\\()[]:", kBreak = "BREAK";

bool is_word(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<uint8_t>(c) >= 0x80;
}

/// The text split at the word BREAK with the spaces around it.
std::vector<std::string> split_at_break(std::string_view text) {
  std::vector<std::string> out;
  size_t start = 0;
  for (size_t at = 0; (at = text.find(kBreak, at)) != std::string_view::npos;) {
    const size_t end = at + kBreak.size();
    if ((at > 0 && is_word(text[at - 1])) || (end < text.size() && is_word(text[end]))) {
      at = end;
      continue;
    }
    size_t last = at;
    while (last > start && kSpaces.find(text[last - 1]) != std::string_view::npos) --last;
    out.emplace_back(text.substr(start, last - start));
    start = std::min(text.find_first_not_of(kSpaces, end), text.size());
    at = start;
  }
  out.emplace_back(text.substr(start));
  return out;
}

/// ": 1.3 )" at `at`: its number's text and where it ends.
struct WeightMark {
  std::string_view number;
  size_t end;
};
std::optional<WeightMark> weight_mark(std::string_view text, size_t at) {
  if (text[at] != ':') return {};
  size_t i = text.find_first_not_of(kSpaces, at + 1);
  if (i == std::string_view::npos) return {};
  const size_t start = i;
  if (text[i] == '+' || text[i] == '-') ++i;
  const size_t digits = i;
  while (i < text.size() && (text[i] == '.' || (text[i] >= '0' && text[i] <= '9'))) ++i;
  if (i == digits) return {};
  const size_t end = text.find_first_not_of(kSpaces, i);
  if (end == std::string_view::npos || text[end] != ')') return {};
  return WeightMark{text.substr(start, i - start), end + 1};
}

double number_of(std::string_view text) {
  double value = 0;
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc() || end != digits.data() + digits.size() || !std::isfinite(value))
    throw Error(ErrorCode::InvalidArgument, "prompt", "'" + std::string(text) + "' is no weight",
                "write a number such as 1.2, or put a backslash before the bracket");
  return value;
}

/// Brackets are remembered where they opened, and multiplied into the parts at the end.
class Attention {
 public:
  explicit Attention(std::string_view text) { read(text); }

  std::vector<WeightedText> parts() && {
    while (!round_.empty()) close(round_, kRound);
    while (!square_.empty()) close(square_, kSquare);
    std::vector<WeightedText> out;
    for (size_t i = 0; i < parts_.size(); ++i) {
      WeightedText& part = parts_[i];
      part.weight = weight_of(i);
      if (!out.empty() && out.back().weight == part.weight)
        out.back().text += part.text;
      else
        out.push_back(std::move(part));
    }
    if (out.empty()) out.push_back({"", 1});
    return out;
  }

 private:
  void read(std::string_view text) {
    for (size_t i = 0; i < text.size();) {
      const char c = text[i];
      if (c == '\\') {
        const bool escapes =
            i + 1 < text.size() && std::string_view("()[]\\").find(text[i + 1]) != std::string_view::npos;
        add(std::string(text.substr(i + 1, escapes ? 1 : 0)), 1);
        i += escapes ? 2 : 1;
      } else if (c == '(' || c == '[') {
        (c == '(' ? round_ : square_).push_back(parts_.size());
        ++i;
      } else if (const auto mark = weight_mark(text, i); mark && !round_.empty()) {
        close(round_, number_of(mark->number));
        i = mark->end;
      } else if (c == ')' && !round_.empty()) {
        close(round_, kRound);
        ++i;
      } else if (c == ']' && !square_.empty()) {
        close(square_, kSquare);
        ++i;
      } else {
        size_t end = mark ? mark->end : text.find_first_of(kSpecial, i);
        if (end == i) ++end;
        end = std::min(end, text.size());
        add_text(text.substr(i, end - i));
        i = end;
      }
    }
  }

  void add(std::string text, double weight) {
    parts_.push_back({std::move(text), weight});
    spans_.emplace_back();
  }

  void add_text(std::string_view text) {
    const auto pieces = split_at_break(text);
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) add(std::string(kBreak), kBreakWeight);
      add(pieces[i], 1);
    }
  }

  void close(std::vector<size_t>& open, double factor) {
    const size_t first = open.back();
    open.pop_back();
    if (first < parts_.size()) spans_[first].push_back({parts_.size(), factor});
  }

  /// The part's own weight times those of all brackets around it, in the order in which they closed.
  double weight_of(size_t i) {
    for (auto span = spans_[i].rbegin(); span != spans_[i].rend(); ++span) around_.push_back(*span);
    std::erase_if(around_, [i](const Span& span) { return span.end <= i; });
    double weight = parts_[i].weight;
    for (auto span = around_.rbegin(); span != around_.rend(); ++span)
      weight *= span->factor;  // inner ones first
    return weight;
  }

  struct Span {
    size_t end;
    double factor;
  };
  std::vector<WeightedText> parts_;
  std::vector<std::vector<Span>> spans_;
  std::vector<Span> around_;  // outer ones first
  std::vector<size_t> round_, square_;
};

}  // namespace

std::vector<WeightedText> parse_a1111_weights(std::string_view text) { return Attention(text).parts(); }

std::vector<WeightedText> split_a1111_and(const std::string& text) {
  std::vector<WeightedText> out;
  size_t start = 0;
  const auto add = [&](std::string piece) {
    double weight = 1;
    // "text : 0.5": the last colon, a number after it, spaces around.
    const size_t colon = piece.rfind(':');
    if (colon != std::string::npos) {
      const size_t first = piece.find_first_not_of(kSpaces, colon + 1);
      const size_t last = piece.find_last_not_of(kSpaces);
      if (first != std::string::npos && last >= first) {
        const std::string_view number = std::string_view(piece).substr(first, last - first + 1);
        double value = 0;
        const std::string_view digits = number.starts_with('+') ? number.substr(1) : number;
        const auto [end, code] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed);
        if (code == std::errc() && end == digits.data() + digits.size() && std::isfinite(value)) {
          weight = value;
          piece.resize(colon);
        }
      }
    }
    const size_t kept = piece.find_last_not_of(kSpaces);
    piece.resize(kept == std::string::npos ? 0 : kept + 1);
    out.push_back({std::move(piece), weight});
  };
  constexpr std::string_view kAnd = "AND";
  for (size_t at = 0; (at = text.find(kAnd, at)) != std::string::npos; at += kAnd.size()) {
    const size_t end = at + kAnd.size();
    if ((at > 0 && is_word(text[at - 1])) || (end < text.size() && is_word(text[end]))) continue;
    add(text.substr(start, at - start));
    start = end;
  }
  add(text.substr(start));
  return out;
}

namespace {

/// Pieces at the top level: brackets with what is in them, and what is between.
std::vector<std::string> comfy_pieces(const std::string& text) {
  std::vector<std::string> out;
  std::string item;
  int64_t depth = 0;
  for (const char c : text) {
    if (c == '(') {
      if (depth++ == 0 && !item.empty()) out.push_back(std::exchange(item, {}));
      item += c;
    } else if (c == ')') {
      item += c;
      if (--depth == 0) out.push_back(std::exchange(item, {}));
    } else {
      item += c;
    }
  }
  if (!item.empty()) out.push_back(std::move(item));
  return out;
}

constexpr char kOpened = '\1', kClosed = '\2';  // escaped brackets, while brackets are looked for
constexpr int64_t kDeepest = 200;

std::string unescaped(std::string text) {
  for (char& c : text) {
    if (c == kOpened) c = '(';
    if (c == kClosed) c = ')';
  }
  return text;
}

/// What Python's float() takes, but for infinity, NaN and underscores.
std::optional<double> python_float(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
  if (text.starts_with("+-")) return {};
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

void comfy_weights(const std::string& text, double weight, int64_t depth, std::vector<WeightedText>& out) {
  if (depth > kDeepest)
    throw Error(ErrorCode::InvalidArgument, "prompt", "has more than 200 brackets inside one another");
  for (std::string& piece : comfy_pieces(text)) {
    if (piece.size() < 2 || piece.front() != '(' || piece.back() != ')') {
      out.push_back({unescaped(std::move(piece)), weight});
      continue;
    }
    std::string inner = piece.substr(1, piece.size() - 2);
    double own = weight * kRound;
    if (const size_t colon = inner.rfind(':'); colon != std::string::npos && colon > 0) {
      if (const auto given = python_float(std::string_view(inner).substr(colon + 1))) {
        own = *given;
        inner.resize(colon);
      }
    }
    comfy_weights(inner, own, depth + 1, out);
  }
}

}  // namespace

std::vector<WeightedText> parse_comfy_weights(std::string_view text) {
  std::string escaped;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escapes = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '(' || text[i + 1] == ')');
    escaped += escapes ? (text[i + 1] == '(' ? kOpened : kClosed) : text[i];
    if (escapes) ++i;
  }
  std::vector<WeightedText> out;
  comfy_weights(escaped, 1, 0, out);
  return out;
}

}  // namespace limn::text
