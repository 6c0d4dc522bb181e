// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/styles.h"

#include "limn/text/styles.h"

namespace limn::engine {

std::vector<StyleText> styles_of(const std::filesystem::path& file) {
  std::vector<StyleText> out;
  if (file.empty()) return out;
  for (text::Style& style : text::read_styles(file))
    out.push_back({std::move(style.name), std::move(style.prompt), std::move(style.negative_prompt)});
  return out;
}

}  // namespace limn::engine
