// SPDX-License-Identifier: Apache-2.0
#include "limn/server/words.h"

#include <set>

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>

#include "limn/base/error.h"

namespace limn::server {
namespace {

constexpr int32_t kLongest = 64;
constexpr size_t kMost = 4000;

/// Lower case, and accents as characters of their own.
icu::UnicodeString plain(std::string_view text) {
  UErrorCode code = U_ZERO_ERROR;
  const icu::Normalizer2* fold = icu::Normalizer2::getNFKCCasefoldInstance(code);
  const icu::Normalizer2* decompose = icu::Normalizer2::getNFDInstance(code);
  const icu::UnicodeString raw =
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  const icu::UnicodeString out = decompose->normalize(fold->normalize(raw, code), code);
  LIMN_CHECK(U_SUCCESS(code), u_errorName(code));
  return out;
}

bool stands_alone(UChar32 character) {
  UErrorCode code = U_ZERO_ERROR;
  return uscript_breaksBetweenLetters(uscript_getScript(character, &code)) ||
         u_hasBinaryProperty(character, UCHAR_IDEOGRAPHIC);
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::set<std::string> words;
  icu::UnicodeString word;
  const auto finish = [&] {
    std::string bytes;
    word.toUTF8String(bytes);
    if (!bytes.empty() && words.size() < kMost) words.insert(bytes);
    word.remove();
  };
  const icu::UnicodeString characters = plain(text);
  for (int32_t at = 0; at < characters.length(); at = characters.moveIndex32(at, 1)) {
    const UChar32 character = characters.char32At(at);
    if (u_charType(character) == U_NON_SPACING_MARK) continue;
    if (!u_isalnum(character) || stands_alone(character)) finish();
    if (u_isalnum(character) && word.countChar32() < kLongest) word.append(character);
    if (stands_alone(character)) finish();
  }
  finish();
  return {words.begin(), words.end()};
}

}  // namespace limn::server
