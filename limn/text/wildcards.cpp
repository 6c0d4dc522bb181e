// SPDX-License-Identifier: Apache-2.0
#include "limn/text/wildcards.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <random>
#include <vector>

#include "limn/base/error.h"
#include "limn/base/file.h"

namespace limn::text {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostBytes = 16 << 20, kLongest = 100'000;
constexpr int kDeepest = 20;
constexpr std::string_view kMark = "__", kCount = "$$", kWeight = "::";

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ErrorCode::InvalidArgument, "prompt", problem);
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || !(value >= 0 && value < 1e9)) return {};
  return value;
}

bool is_name(std::string_view text) {
  const auto fits = [](unsigned char c) {
    return std::isalnum(c) || c >= 0x80 ||
           std::string_view("-_./ ").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !text.empty() && text.find("..") == std::string_view::npos && text.front() != '/' &&
         std::ranges::all_of(text, fits);
}

class Chooser {
 public:
  Chooser(const fs::path& folder, uint64_t seed) : folder_(folder), random_(seed) {}

  std::string expand(std::string_view text, int depth) {
    if (depth > kDeepest) refuse("choices lead to one another more than 20 deep");
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] == '{') {
        const size_t end = closing(text, i);
        out += choose(text.substr(i + 1, end - i - 1), depth);
        i = end + 1;
      } else if (const size_t end = wildcard_end(text, i); end > 0) {
        out += expand(line_of(std::string(text.substr(i + 2, end - i - 4))), depth + 1);
        i = end;
      } else {
        out += text[i++];
      }
      if (out.size() > kLongest) refuse("its choices make it longer than 100,000 bytes");
    }
    return out;
  }

 private:
  struct Part {
    std::string_view text;
    double weight = 1;
  };

  static size_t closing(std::string_view text, size_t open) {
    int depth = 0;
    for (size_t i = open; i < text.size(); ++i) {
      if (text[i] == '{') ++depth;
      if (text[i] == '}' && --depth == 0) return i;
    }
    refuse("a brace is not closed: '" + std::string(text.substr(open, 40)) + "'");
  }

  /// Past a "__name__" at i, or 0.
  size_t wildcard_end(std::string_view text, size_t i) const {
    if (folder_.empty() || text.substr(i, 2) != kMark) return 0;
    const size_t end = text.find(kMark, i + 2);
    if (end == std::string_view::npos || !is_name(text.substr(i + 2, end - i - 2))) return 0;
    return end + 2;
  }

  static std::vector<Part> parts_of(std::string_view text) {
    std::vector<Part> out;
    int depth = 0;
    size_t start = 0;
    for (size_t i = 0; i <= text.size(); ++i) {
      if (i < text.size() && text[i] == '{') ++depth;
      if (i < text.size() && text[i] == '}') --depth;
      if (i < text.size() && (text[i] != '|' || depth > 0)) continue;
      Part part{text.substr(start, i - start)};
      if (const size_t mark = part.text.find(kWeight); mark != std::string_view::npos)
        if (const auto weight = number_of(part.text.substr(0, mark)))
          part = {part.text.substr(mark + 2), *weight};
      out.push_back(part);
      start = i + 1;
    }
    return out;
  }

  /// A number from 0 up to below `total`, the same on every machine.
  double below(double total) { return static_cast<double>(random_() >> 11) * 0x1p-53 * total; }

  size_t pick(const std::vector<Part>& parts) {
    double total = 0;
    for (const Part& part : parts) total += part.weight;
    if (!(total > 0)) refuse("the weights of a choice add up to 0");
    double place = below(total);
    for (size_t i = 0; i < parts.size(); ++i) {
      if (place < parts[i].weight) return i;
      place -= parts[i].weight;
    }
    return parts.size() - 1;
  }

  std::string choose(std::string_view text, int depth) {
    size_t count = 1;
    std::string between = ", ";
    if (const size_t mark = text.find(kCount); mark != std::string_view::npos) {
      if (const auto wanted = number_of(text.substr(0, mark))) {
        count = static_cast<size_t>(*wanted);
        text.remove_prefix(mark + 2);
        if (const size_t second = text.find(kCount);
            second != std::string_view::npos && second < text.find('|')) {
          between = text.substr(0, second);
          text.remove_prefix(second + 2);
        }
      }
    }
    std::vector<Part> parts = parts_of(text);
    std::string out;
    for (size_t i = 0; i < count && !parts.empty(); ++i) {
      const size_t chosen = pick(parts);
      if (i > 0) out += between;
      out += expand(parts[chosen].text, depth + 1);
      parts.erase(parts.begin() + static_cast<ptrdiff_t>(chosen));
    }
    return out;
  }

  std::string line_of(const std::string& name) {
    const fs::path file = folder_ / (name + ".txt");
    if (!fs::is_regular_file(file))
      throw Error(ErrorCode::NotFound, file.string(), "no wildcard of that name", "it holds a choice a line");
    const std::string text = read_file(file, kMostBytes);
    std::vector<std::string> lines;
    for (size_t start = 0, end; start < text.size(); start = end + 1) {
      end = std::min(text.find('\n', start), text.size());
      std::string line = text.substr(start, end - start);
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      if (!line.empty() && line.front() != '#') lines.push_back(std::move(line));
    }
    if (lines.empty()) throw Error(ErrorCode::BadFile, file.string(), "holds no lines to choose from");
    return lines[static_cast<size_t>(below(static_cast<double>(lines.size())))];
  }

  fs::path folder_;
  std::mt19937_64 random_;
};

}  // namespace

std::string expand_choices(const std::string& prompt, const fs::path& folder, uint64_t seed) {
  return Chooser(folder, seed).expand(prompt, 0);
}

bool has_choices(const std::string& prompt) {
  return prompt.find('{') != std::string::npos || prompt.find(kMark) != std::string::npos;
}

}  // namespace limn::text
