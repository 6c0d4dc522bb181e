// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace limn::server {

/// The words of a text as the gallery's search knows them: runs of letters and digits, in lower case and without accents,
/// each once, in the order of their bytes. A character of a script that is written without spaces is a word of its own.
/// Words are cut at 64 characters; of a text that has more than 4,000 the first count.
std::vector<std::string> words_of(std::string_view text);

}  // namespace limn::server
