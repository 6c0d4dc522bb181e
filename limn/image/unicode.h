// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace limn {

enum class Utf16Order { BigEndian, LittleEndian };

/// Well-formed UTF-8 (RFC 3629), without a NUL.
bool is_plain_utf8(std::string_view text);
std::string latin1_to_utf8(std::string_view text);
/// Empty when a character is not in Latin-1. `text` must be UTF-8.
std::optional<std::string> utf8_to_latin1(std::string_view text);
/// `text` must be UTF-8.
std::string utf8_to_utf16_be(std::string_view text);
/// Without a byte order mark; lone surrogates become U+FFFD, a last odd byte and NULs at the end are left
/// out.
std::string utf16_to_utf8(std::string_view bytes, Utf16Order order);

/// The text of bytes that should be ASCII: UTF-8 when they are valid UTF-8, else Latin-1; ends at the first
/// NUL.
std::string text_of_bytes(std::string_view bytes);

}  // namespace limn
