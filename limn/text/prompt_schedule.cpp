// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "limn/text/prompt.h"

namespace limn::text {
namespace {

constexpr std::string_view kSpaces = " \t\r\n\f\v";
constexpr size_t kDeepest = 1000;  // brackets inside one another; more is taken as it stands

/// A pair of brackets that is one of A1111's constructs, or raw text.
struct Pair {
  size_t open = 0, close = 0;
  std::vector<size_t> colons, bars;  // directly inside
  bool clean = true;                 // nothing raw inside
  enum class Kind { Raw, Emphasis, Scheduled, Alternate } kind = Kind::Raw;
  double when = 0;
  bool is_share = false;  // `when` was written with a point
};

std::optional<double> number_of(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces), last = text.find_last_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  text = text.substr(first, last - first + 1);
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

/// Finds the constructs of a prompt in one pass.
class Grammar {
 public:
  explicit Grammar(const std::string& text) : text_(text), pair_at_(text.size(), kNone) { read(); }

  bool is_valid() const { return valid_; }
  const std::vector<Pair>& pairs() const { return pairs_; }

  /// The text at a step, from 1.
  std::string at(int64_t step, const ScheduleRules& rules) const {
    std::string out;
    append(0, text_.size(), step, rules, out);
    return out;
  }

  /// The last step at which what is before the number holds.
  static int64_t last_step(const Pair& pair, const ScheduleRules& rules) {
    const bool second = rules.hires_steps && !rules.old_rules;
    const auto steps = static_cast<double>(second ? *rules.hires_steps : rules.steps);
    double when = pair.when;
    if (rules.old_rules)
      when = when < 1 ? when * steps : when;
    else if (pair.is_share)
      when = (when - (second ? 1.0 : 0.0)) * steps;
    else
      when -= second ? static_cast<double>(rules.steps) : 0.0;
    return static_cast<int64_t>(std::min(steps, std::trunc(std::max(when, -1e9))));
  }

 private:
  static constexpr size_t kNone = SIZE_MAX;

  void read() {
    std::vector<Pair> open;
    for (size_t i = 0; i < text_.size(); ++i) {
      const char c = text_[i];
      if (c == '\\') {
        if (i + 1 == text_.size() || text_[i + 1] == '\n') return fail();
        ++i;
      } else if (c == '(' || c == '[') {
        if (open.size() >= kDeepest) return fail();
        open.push_back({.open = i});
      } else if (c == ')' || c == ']') {
        close(open, i, c == ')' ? '(' : '[');
      } else if (c == ':' && !open.empty()) {
        open.back().colons.push_back(i);
      } else if (c == '|') {
        if (open.empty()) return fail();
        open.back().bars.push_back(i);
      }
      if (!valid_) return;
    }
    for (const Pair& pair : open)
      if (!pair.bars.empty()) return fail();  // a bar may stand inside alternatives alone
  }

  void fail() { valid_ = false; }

  void close(std::vector<Pair>& open, size_t at, char opener) {
    auto match =
        std::find_if(open.rbegin(), open.rend(), [&](const Pair& p) { return text_[p.open] == opener; });
    if (match == open.rend()) {
      for (Pair& pair : open) pair.clean = false;  // a bracket of its own is raw
      return;
    }
    for (auto stray = open.rbegin(); stray != match; ++stray) {
      match->clean = false;
      if (!stray->bars.empty()) return fail();
    }
    Pair pair = *match;
    open.erase(std::next(match).base(), open.end());
    pair.close = at;
    judge(pair);
    if (pair.kind == Pair::Kind::Raw) {
      if (!pair.bars.empty()) return fail();
      for (Pair& outer : open) outer.clean = false;
    }
    pair_at_[pair.open] = pairs_.size();
    pairs_.push_back(std::move(pair));
  }

  void judge(Pair& pair) const {
    if (!pair.clean) return;
    const bool round = text_[pair.open] == '(';
    if (pair.bars.empty() && (pair.colons.empty() || (round && pair.colons.size() == 1))) {
      pair.kind = Pair::Kind::Emphasis;
    } else if (!round && pair.colons.empty()) {
      pair.kind = Pair::Kind::Alternate;
    } else if (!round && pair.bars.empty() && pair.colons.size() <= 2) {
      const std::string_view number =
          std::string_view(text_).substr(pair.colons.back() + 1, pair.close - pair.colons.back() - 1);
      if (const auto when = number_of(number)) {
        pair.kind = Pair::Kind::Scheduled;
        pair.when = *when;
        pair.is_share = number.find('.') != std::string_view::npos;
      }
    }
  }

  void append(size_t from, size_t to, int64_t step, const ScheduleRules& rules, std::string& out) const {
    for (size_t i = from; i < to; ++i) {
      const size_t found = pair_at_[i];
      if (found == kNone || pairs_[found].kind == Pair::Kind::Raw ||
          pairs_[found].kind == Pair::Kind::Emphasis) {
        out += text_[i];
        if (text_[i] == '\\' && i + 1 < to) out += text_[++i];
        continue;
      }
      const Pair& pair = pairs_[found];
      if (pair.kind == Pair::Kind::Alternate)
        append_alternative(pair, step, rules, out);
      else
        append_scheduled(pair, step, rules, out);
      i = pair.close;
    }
  }

  void append_alternative(const Pair& pair, int64_t step, const ScheduleRules& rules,
                          std::string& out) const {
    const size_t count = pair.bars.size() + 1, chosen = static_cast<size_t>(step - 1) % count;
    const size_t from = chosen == 0 ? pair.open + 1 : pair.bars[chosen - 1] + 1;
    append(from, chosen + 1 == count ? pair.close : pair.bars[chosen], step, rules, out);
  }

  void append_scheduled(const Pair& pair, int64_t step, const ScheduleRules& rules, std::string& out) const {
    const bool before = step <= last_step(pair, rules);
    if (pair.colons.size() == 1) {
      if (!before) append(pair.open + 1, pair.colons[0], step, rules, out);
    } else if (before) {
      append(pair.open + 1, pair.colons[0], step, rules, out);
    } else {
      append(pair.colons[0] + 1, pair.colons[1], step, rules, out);
    }
  }

  const std::string& text_;
  std::vector<Pair> pairs_;
  std::vector<size_t> pair_at_;  // by the place of the opening bracket
  bool valid_ = true;
};

}  // namespace

std::vector<ScheduledText> parse_a1111_schedule(const std::string& text, const ScheduleRules& rules) {
  const int64_t steps = rules.hires_steps && !rules.old_rules ? *rules.hires_steps : rules.steps;
  const Grammar grammar(text);
  if (!grammar.is_valid()) return {{steps, text}};
  std::set<int64_t> ends{steps};
  for (const Pair& pair : grammar.pairs()) {
    if (pair.kind == Pair::Kind::Alternate)
      for (int64_t step = 1; step <= steps; ++step) ends.insert(step);
    if (pair.kind == Pair::Kind::Scheduled)
      if (const int64_t last = Grammar::last_step(pair, rules); last >= 1) ends.insert(last);
  }
  std::vector<ScheduledText> out;
  for (const int64_t end : ends) out.push_back({end, grammar.at(end, rules)});
  return out;
}

}  // namespace limn::text
