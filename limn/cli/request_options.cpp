// SPDX-License-Identifier: Apache-2.0
#include "limn/cli/request_options.h"

#include <algorithm>

namespace limn::cli {
namespace {

std::string flag_of(std::string_view field) {
  std::string flag = "--" + std::string(field);
  for (char& c : flag)
    if (c == '_') c = '-';
  return flag;
}

std::string_view type_name_of(const engine::RequestField& field) {
  if (field.name == "prompt") return "PROMPT";
  switch (field.kind) {
    case engine::FieldKind::Path:
      return "PATH";
    case engine::FieldKind::Integer:
    case engine::FieldKind::Seed:
      return "N";
    case engine::FieldKind::Number:
      return "X";
    case engine::FieldKind::Loras:
      return "FILE[:WEIGHT]";
    case engine::FieldKind::Size:
      return "WxH";
    case engine::FieldKind::Integers:
      return "N,…";
    default:
      return field.choices ? "NAME" : "TEXT";
  }
}

}  // namespace

void RequestOptions::add(CLI::App& app, const engine::RequestField& field) {
  std::string help(field.help);
  if (field.choices) help += "\n" + field.choices();
  const std::string name = field.name == "prompt" ? "prompt" : flag_of(field.name);
  if (field.kind == engine::FieldKind::Boolean) {
    app.add_flag_function(name, [this, &field](int64_t) { texts_[&field].assign(1, "true"); }, help);
    return;
  }
  CLI::Option* option = app.add_option_function<std::string>(
      name, [this, &field](const std::string& text) { texts_[&field].push_back(text); }, help);
  if (field.kind == engine::FieldKind::Loras || field.kind == engine::FieldKind::Texts)
    option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->trigger_on_parse();
  option->type_name(std::string(type_name_of(field)));
}

bool RequestOptions::given(std::string_view name) const {
  return std::ranges::any_of(texts_, [&](const auto& field) { return field.first->name == name; });
}

void RequestOptions::apply(engine::GenerateRequest& request) const {
  for (const auto& [field, texts] : texts_)
    for (const std::string& text : texts)
      if (!text.empty() || field->kind == engine::FieldKind::Text) set_field_from_text(request, *field, text);
}

}  // namespace limn::cli
