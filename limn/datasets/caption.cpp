// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/caption.h"

#include "limn/image/exif.h"
#include "limn/image/unicode.h"

namespace limn::datasets {
namespace {

constexpr size_t kMostCaption = 10'000;  // bytes

/// The lines before A1111's negative prompt and settings.
std::string prompt_of(std::string_view parameters) {
  std::string out;
  for (size_t from = 0; from < parameters.size();) {
    const size_t end = std::min(parameters.find('\n', from), parameters.size());
    const std::string_view line = parameters.substr(from, end - from);
    if (line.starts_with("Negative prompt:") || line.starts_with("Steps:")) break;
    out.append(line).append("\n");
    from = end + 1;
  }
  return out;
}

std::string as_it_is(std::string_view text) { return std::string(text); }

/// Where captions are looked for, in this order.
constexpr struct {
  std::string_view keyword;
  std::string (*caption)(std::string_view text);
} kPlaces[] = {{"parameters", prompt_of}, {"Description", as_it_is}, {"caption", as_it_is},
               {"xmp", xmp_description},  {"Title", as_it_is},       {"XML:com.adobe.xmp", xmp_description}};

}  // namespace

std::string caption_in(std::span<const TextEntry> texts) {
  for (const auto& place : kPlaces)
    for (const TextEntry& entry : texts)
      if (entry.keyword == place.keyword)
        if (std::string caption = clean_caption(place.caption(entry.text)).text; !caption.empty())
          return caption;
  return {};
}

CleanCaption clean_caption(std::string_view caption) {
  if (caption.size() > kMostCaption)
    return {"", "its caption has " + std::to_string(caption.size()) +
                    " bytes, at most 10,000 are taken: left out"};
  if (!is_plain_utf8(caption)) return {"", "its caption is not valid UTF-8, or holds a NUL: left out"};
  std::string out;
  for (const char c : caption) {
    const bool space = static_cast<unsigned char>(c) <= ' ';
    if (!space) out += c;
    if (space && !out.empty() && out.back() != ' ') out += ' ';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  const bool blank = out.empty() && !caption.empty();
  return {std::move(out), blank ? "its caption is only white space" : ""};
}

}  // namespace limn::datasets
