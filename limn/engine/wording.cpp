// SPDX-License-Identifier: Apache-2.0
#include "limn/engine/wording.h"

#include <random>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/text/styles.h"
#include "limn/text/wildcards.h"

namespace limn::engine {
namespace {

/// The prompts as they were worded in the end, in the record too.
void set_prompts(GenerateRequest& request, const std::string& prompt, const std::string& negative) {
  request.prompt = prompt;
  request.given["prompt"] = prompt;
  if (negative.empty() && !request.negative_prompt) return;
  request.negative_prompt = negative;
  request.given["negative_prompt"] = negative;
}

}  // namespace

GenerateRequest with_styles(const GenerateRequest& request) {
  if (request.styles.empty()) return request;
  if (request.styles_file.empty())
    throw Error(ErrorCode::InvalidArgument, "styles_file", "is missing", "style names a style of that file");
  const std::vector<text::Style> styles = text::read_styles(request.styles_file);
  GenerateRequest out = request;
  std::string prompt = request.prompt, negative = request.negative_prompt.value_or("");
  for (const std::string& name : request.styles) {
    const text::Style& style = find_named(std::span<const text::Style>(styles), name, "style");
    prompt = text::with_style(style.prompt, prompt);
    negative = text::with_style(style.negative_prompt, negative);
  }
  set_prompts(out, prompt, negative);
  out.given.erase("style");
  out.given.erase("styles_file");
  return out;
}

std::vector<GenerateRequest> with_choices(const GenerateRequest& request) {
  const std::string negative = request.negative_prompt.value_or("");
  if (request.wildcards.empty() || !(text::has_choices(request.prompt) || text::has_choices(negative)))
    return {request};
  if (!std::filesystem::is_directory(request.wildcards))
    throw Error(ErrorCode::NotFound, request.wildcards.string(), "no such folder",
                "wildcards takes a folder of .txt files");
  const uint64_t first = request.seed ? *request.seed : std::random_device{}();
  std::vector<GenerateRequest> out;
  for (int64_t i = 0; i < request.count; ++i) {
    GenerateRequest& one = out.emplace_back(request);
    const uint64_t seed = first + static_cast<uint64_t>(i);
    one.count = 1;
    one.seed = seed;
    set_prompts(one, text::expand_choices(request.prompt, request.wildcards, seed),
                text::expand_choices(negative, request.wildcards, seed));
    one.given.erase("wildcards");
    one.given.erase("count");
  }
  return out;
}

}  // namespace limn::engine
