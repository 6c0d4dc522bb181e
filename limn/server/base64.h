// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace limn::server {

/// Bytes of base64 (RFC 4648 §4): padded or not, no spaces, and no bits that say nothing.
/// @param where  the field, for errors
/// @throws Error{InvalidArgument} with the place of what is wrong
std::string decode_base64(std::string_view text, const std::string& where);

std::string encode_base64(std::string_view bytes);
/// With '-' and '_', without padding: fit for addresses and names.
std::string encode_base64url(std::string_view bytes);

}  // namespace limn::server
