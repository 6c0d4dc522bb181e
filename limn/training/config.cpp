// SPDX-License-Identifier: Apache-2.0
#include "limn/training/config.h"

#include <algorithm>
#include <cmath>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "limn/base/file.h"
#include "limn/base/named_table.h"
#include "limn/base/spelling.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostConfigBytes = 1 << 20;

/// The best of `names` that is at most a third away in letters; empty when none is.
std::string nearest_name(std::string_view wrong, const std::vector<std::string>& names) {
  std::string best;
  size_t least = std::max<size_t>(2, wrong.size() / 3) + 1;
  for (const std::string& name : names) {
    const size_t distance = edit_distance(wrong, name);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

[[noreturn]] void refuse(const std::string& where, const std::string& problem, const std::string& hint = {}) {
  throw Error(ErrorCode::InvalidArgument, where, problem, hint);
}

std::string expectation(const TrainField& field) {
  const auto plain = [](double x) {
    return x == std::floor(x) && std::abs(x) < 1e15 ? std::to_string(static_cast<int64_t>(x))
                                                    : std::to_string(x);
  };
  const std::string range = " from " + plain(field.least) + " to " + plain(field.most);
  switch (field.kind) {
    case TrainFieldKind::Integer:
      return "an integer" + range;
    case TrainFieldKind::Number:
      return "a number" + range;
    case TrainFieldKind::Boolean:
      return "true or false";
    case TrainFieldKind::Texts:
      return "a list of texts";
    default:
      return "a text";
  }
}

std::string where_of(const fs::path& file, const toml::node& node, std::string_view key) {
  return file.string() + ":" + std::to_string(node.source().begin.line) + ": " + std::string(key);
}

json::value value_of(const toml::node& node, const TrainField& field, const std::string& where) {
  const auto check_range = [&](double number) {
    if (!(number >= field.least && number <= field.most))
      refuse(where, "expected " + expectation(field) + ", found " + std::to_string(number));
  };
  switch (field.kind) {
    case TrainFieldKind::Integer:
      if (const auto value = node.value_exact<int64_t>()) {
        check_range(static_cast<double>(*value));
        return *value;
      }
      break;
    case TrainFieldKind::Number:
      if (const auto value = node.value<double>(); value && node.is_number()) {
        check_range(*value);
        return *value;
      }
      break;
    case TrainFieldKind::Boolean:
      if (const auto value = node.value_exact<bool>()) return *value;
      break;
    case TrainFieldKind::Texts: {
      json::array texts;
      if (const toml::array* list = node.as_array()) {
        for (const toml::node& item : *list)
          if (const auto text = item.value_exact<std::string>()) texts.emplace_back(*text);
        if (texts.size() == list->size()) return texts;
      }
      break;
    }
    default:
      if (const auto value = node.value_exact<std::string>()) return json::value(*value);
  }
  refuse(where, "expected " + expectation(field) + ", found another type");
}

void read_table(TrainConfig& config, const toml::table& table, const std::string& prefix,
                const fs::path& file, std::vector<std::string>& given) {
  std::vector<std::string> names;
  for (const TrainField& field : train_fields()) names.emplace_back(field.name);
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    const bool is_section =
        std::ranges::any_of(names, [&](const auto& n) { return n.starts_with(name + "."); });
    if (const toml::table* inner = node.as_table(); inner && (is_section || prefix.empty())) {
      read_table(config, *inner, name + ".", file, given);
      continue;
    }
    const TrainField* field = try_find_named(train_fields(), name);
    if (!field) {
      const std::string near = nearest_name(name, names);
      refuse(where_of(file, node, name), "no such setting",
             near.empty() ? "limn train --list-settings lists them" : "did you mean " + near + "?");
    }
    field->set(config, value_of(node, *field, where_of(file, node, name)));
    given.push_back(name);
  }
}

/// Whether `name` is one of "a, b, c".
bool lists(std::string_view names, std::string_view name, std::string_view separator = ", ") {
  for (size_t from = 0; from <= names.size();) {
    const size_t end = std::min(names.find(separator, from), names.size());
    if (names.substr(from, end - from) == name) return true;
    from = end + separator.size();
  }
  return false;
}

/// Refuses what contradicts itself or is missing.
void check(const TrainConfig& c, const std::vector<std::string>& given) {
  const auto at = [&](std::string_view name) { return c.file.string().append(": ").append(name); };
  const auto need = [&](bool there, const char* name, const char* why) {
    if (!there) refuse(at(name), "is missing", why);
  };
  for (const TrainField& field : train_fields())
    if (field.choices)
      if (const std::string value(field.get(c).as_string()); !value.empty()) {
        const std::string known = field.choices();
        if (!lists(known, value)) refuse(at(field.name), "no '" + value + "'", "known: " + known);
      }
  need(!c.task.empty(), "run.task",
       "what to train: autoencoder, diffusion, finetune, lora, dreambooth, textual_inversion");
  need(c.samples > 0, "run.samples", "how many training samples to see in all");
  need(!c.data.empty(), "data.path", "the folder of a data set built by `limn data build`");
  for (const std::string& name : given) {
    const TrainField& field = *try_find_named(train_fields(), name);
    if (!field.tasks.empty() && !lists(field.tasks, c.task, " "))
      refuse(at(name), "task '" + c.task + "' does not use it", "it belongs to: " + std::string(field.tasks));
  }
  const bool adapts =
      c.task == "finetune" || c.task == "lora" || c.task == "dreambooth" || c.task == "textual_inversion";
  if (adapts)
    need(!c.base.empty(), "model.base", "the model to start from: diffusers folder, .safetensors or .ckpt");
  if (c.task == "autoencoder" && c.base.empty())
    need(!c.autoencoder.empty(), "model.autoencoder",
         "a config.json of class AutoencoderKL, or a folder to go on from");
  if (c.task == "diffusion") {
    need(!c.autoencoder.empty(), "model.autoencoder", "a trained autoencoder's folder");
    need(!c.unet.empty(), "model.unet", "a config.json of class UNet2DConditionModel");
    need(!c.text_encoder.empty(), "model.text_encoder", "a config.json of class CLIPTextModel");
  }
  if (c.task == "dreambooth" && c.prior_weight > 0)
    need(!c.class_data.empty(), "dreambooth.class_data",
         "pictures of the class (limn generate makes them), or prior_weight = 0");
  if (c.task == "textual_inversion")
    need(!c.token.empty(), "textual_inversion.token", "the new word, like \"<my-cat>\"");
  if (c.cache_latents && c.horizontal_flip > 0)
    refuse(at("data.horizontal_flip"), "cannot flip cached latents", "set data.cache_latents = false");
  if (c.cache_text && (c.train_text_encoder || c.task == "textual_inversion"))
    refuse(at("data.cache_text"), "what the text encoder says changes while it is trained",
           "set data.cache_text = false");
  if (c.prediction == "flow" && c.zero_terminal_snr)
    refuse(at("objective.zero_terminal_snr"), "flow matching ends in noise alone anyway", "remove it");
  if (c.prediction == "flow" && c.distillation_steps > 0)
    refuse(at("distillation.steps"), "needs a noise schedule, which flow matching has none of", "remove it");
  if (c.gradient_checkpointing && c.task == "autoencoder")
    refuse(at("run.gradient_checkpointing"), "only the U-Net recomputes",
           "use autoencoder.crop to save memory");
}

}  // namespace

fs::path TrainConfig::resolve(const std::string& path) const {
  return path.empty() || fs::path(path).is_absolute() ? fs::path(path) : file.parent_path() / path;
}

TrainConfig parse_config(std::string_view text, const fs::path& path) {
  TrainConfig config;
  config.file = path;
  std::vector<std::string> given;
  try {
    read_table(config, toml::parse(text, path.string()), "", path, given);
  } catch (const toml::parse_error& error) {
    refuse(path.string() + ":" + std::to_string(error.source().begin.line) + ":" +
               std::to_string(error.source().begin.column),
           "is not valid TOML: " + std::string(error.description()));
  }
  check(config, given);
  return config;
}

TrainConfig read_config(const fs::path& path) {
  return parse_config(read_file(path, kMostConfigBytes), path);
}

json::object to_json(const TrainConfig& config) {
  json::object out;
  for (const TrainField& field : train_fields()) out[field.name] = field.get(config);
  return out;
}

void check_resumable(const TrainConfig& config, const json::object& checkpoint) {
  std::string differing;
  for (const TrainField& field : train_fields()) {
    const json::value now = field.get(config);
    const json::value* then = checkpoint.if_contains(field.name);
    const std::string known =
        to_text(then ? *then : field.get(TrainConfig{}));  // a newer setting has its default
    if (field.may_change || known == to_text(now)) continue;
    differing += "\n  " + std::string(field.name) + ": " + known + " then, " + to_text(now) + " now";
  }
  if (!differing.empty())
    refuse(config.file.string(), "differs from what the checkpoint was made with:" + differing,
           "restore these settings, or start anew in another folder");
}

}  // namespace limn::training
