// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "limn/base/json.h"
#include "limn/image/codec.h"
#include "limn/image/exif.h"
#include "limn/image/unicode.h"

namespace limn {
namespace {

constexpr std::string_view kBefore =
    "<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>"
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">"
    "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">"
    "<rdf:Description rdf:about=\"\" xmlns:limn=\"urn:limn:picture:1#\">";
constexpr std::string_view kOpen = "<limn:texts>", kClose = "</limn:texts>";
constexpr std::string_view kAfter = "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>";

struct Escape {
  char character;
  std::string_view entity;
};
constexpr Escape kEscapes[] = {
    {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const Escape* escape =
        std::find_if(std::begin(kEscapes), std::end(kEscapes) - 2,  // quotes may stand as they are
                     [&](const Escape& row) { return row.character == c; });
    if (escape == std::end(kEscapes) - 2)
      out += c;
    else
      out += escape->entity;
  }
  return out;
}

std::string unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Escape* escape = std::find_if(std::begin(kEscapes), std::end(kEscapes),
                                        [&](const Escape& row) { return text.starts_with(row.entity); });
    const bool found = escape != std::end(kEscapes);
    out += found ? escape->character : text.front();
    text.remove_prefix(found ? escape->entity.size() : 1);
  }
  return out;
}

TextEntry entry_of(const json::value& pair, const std::string& where) {
  const json::array* parts = pair.if_array();
  if (!parts || parts->size() != 2 || !parts->front().is_string() || !parts->back().is_string())
    throw Error(ErrorCode::BadFile, where, "expected a list of [keyword, text] pairs");
  return {std::string(parts->front().as_string()), std::string(parts->back().as_string())};
}

}  // namespace

std::string make_xmp(std::span<const TextEntry> texts) {
  json::array pairs;
  for (const TextEntry& entry : texts) pairs.push_back(json::array{entry.keyword, entry.text});
  std::string out(kBefore);
  out.append(kOpen).append(escaped(to_text(pairs))).append(kClose).append(kAfter);
  return out;
}

std::vector<TextEntry> xmp_texts(std::string_view packet, const std::string& where) {
  const size_t open = packet.find(kOpen);
  const size_t start = open + kOpen.size();
  const size_t close = open == std::string_view::npos ? open : packet.find(kClose, start);
  if (close == std::string_view::npos) return {{"xmp", text_of_bytes(packet)}};

  const std::string place = where + " XMP limn:texts";
  const json::value pairs = parse_json(unescaped(packet.substr(start, close - start)), place);
  if (!pairs.is_array()) throw Error(ErrorCode::BadFile, place, "expected a list of [keyword, text] pairs");
  std::vector<TextEntry> texts;
  for (const json::value& pair : pairs.as_array()) texts.push_back(entry_of(pair, place));
  return texts;
}

std::string xmp_description(std::string_view packet) {
  const auto between = [](std::string_view text, std::string_view open, std::string_view close) {
    const size_t begin = text.find(open), end = text.find(close, begin);
    if (begin == std::string_view::npos || end == std::string_view::npos) return std::string_view();
    const std::string_view inside = text.substr(begin, end - begin);
    return inside.substr(std::min(inside.find('>'), inside.size() - 1) + 1);
  };
  const auto languages = between(packet, "<dc:description", "</dc:description>");
  return unescaped(between(languages, "<rdf:li", "</rdf:li>"));
}

}  // namespace limn
