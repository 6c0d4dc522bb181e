// SPDX-License-Identifier: Apache-2.0
// AUTOMATIC1111's API: what there is to choose from. What limn lacks is an empty list.
#include <algorithm>
#include <fstream>

#include "limn/base/error.h"
#include "limn/engine/samplers.h"
#include "limn/engine/styles.h"
#include "limn/provenance/upscalers.h"
#include "limn/server/http.h"
#include "limn/server/routes/routes.h"
#include "limn/server/routes/sdapi.h"
#include "limn/server/settings.h"

namespace limn::server {
namespace {

constexpr std::string_view kJson = "application/json";

json::value text(std::string_view text) { return json::string_view(text.data(), text.size()); }

/// A1111's own name of a schedule: "sgm_uniform" of "SGM Uniform".
std::string schedule_name(std::string_view label) {
  std::string out = lower_case(label);
  std::ranges::replace(out, ' ', '_');
  return out;
}

HttpResponse samplers(Services&, const Call&) {
  json::array out;
  for (const engine::SamplerName& sampler : engine::sampler_names("a1111")) {
    json::array aliases;
    for (std::string_view alias : sampler.aliases) aliases.push_back(text(alias));
    json::object options;
    if (!sampler.schedule.empty()) options["scheduler"] = schedule_name(sampler.schedule);
    out.push_back({{"name", text(sampler.label)}, {"aliases", aliases}, {"options", options}});
  }
  return json_answer(out);
}

HttpResponse schedulers(Services&, const Call&) {
  std::vector<std::string_view> labels = engine::schedule_names("a1111");
  labels.insert(labels.begin(), "Automatic");
  json::array out;
  for (std::string_view label : labels) {
    const std::string name = schedule_name(label);
    const double rho = name == "karras" ? 7.0 : name == "polyexponential" ? 1.0 : -1.0;
    out.push_back({{"name", name},
                   {"label", text(label)},
                   {"aliases", nullptr},
                   {"default_rho", rho},
                   {"need_inner_model", false}});
  }
  return json_answer(out);
}

bool is_latent(const provenance::Choice& upscaler) { return upscaler.name.starts_with("latent"); }

HttpResponse upscalers(Services&, const Call&) {
  json::array out;
  const auto add = [&](std::string_view name) {
    out.push_back({{"name", text(name)},
                   {"model_name", nullptr},
                   {"model_path", nullptr},
                   {"model_url", nullptr},
                   {"scale", 4.0}});
  };
  add("None");
  for (const provenance::Choice& upscaler : provenance::upscaler_labels())
    if (!is_latent(upscaler)) add(upscaler.label);
  return json_answer(out);
}

HttpResponse latent_upscale_modes(Services&, const Call&) {
  json::array out;
  for (const provenance::Choice& upscaler : provenance::upscaler_labels())
    if (is_latent(upscaler)) out.push_back(json::object{{"name", text(upscaler.label)}});
  return json_answer(out);
}

json::value or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

HttpResponse sd_models(Services& services, const Call&) {
  constexpr size_t kShortHash = 10;
  json::array out;
  for (const CatalogueEntry& entry : services.catalogue.list())
    if (entry.kind == "checkpoint" && entry.can_run)
      out.push_back({{"title", sdapi_title(entry)},
                     {"model_name", sdapi_model_name(entry)},
                     {"hash", or_null(entry.sha256.substr(0, kShortHash))},
                     {"sha256", or_null(entry.sha256)},
                     {"filename", entry.name},
                     {"config", nullptr}});
  return json_answer(out);
}

HttpResponse sd_vae(Services& services, const Call&) {
  json::array out;
  for (const CatalogueEntry& entry : services.catalogue.list())
    if (entry.kind == "vae")
      out.push_back({{"model_name", sdapi_model_name(entry)}, {"filename", entry.name}});
  return json_answer(out);
}

HttpResponse loras(Services& services, const Call&) {
  json::array out;
  for (const CatalogueEntry& entry : services.catalogue.list())
    if (entry.kind == "lora")
      out.push_back({{"name", sdapi_model_name(entry)},
                     {"alias", sdapi_model_name(entry)},
                     {"path", entry.name},
                     {"metadata", json::object()}});
  return json_answer(out);
}

HttpResponse styles(Services& services, const Call&) {
  json::array out;
  for (const engine::StyleText& style : engine::styles_of(services.settings.styles_file))
    out.push_back(
        {{"name", style.name}, {"prompt", style.prompt}, {"negative_prompt", style.negative_prompt}});
  return json_answer(out);
}

/// Bytes of a line "MemTotal:  1024 kB" of a file of /proc.
int64_t kibibytes_of(const char* file, std::string_view key) {
  std::ifstream in(file);
  constexpr int64_t kKibi = 1024;
  for (std::string word; in >> word;)
    if (int64_t value = 0; word == key && in >> value) return value * kKibi;
  return 0;
}

HttpResponse memory(Services&, const Call&) {
  const int64_t total = kibibytes_of("/proc/meminfo", "MemTotal:"),
                used = kibibytes_of("/proc/self/status", "VmRSS:");
  return json_answer(
      {{"ram", {{"free", std::max<int64_t>(total - used, 0)}, {"used", used}, {"total", total}}},
       {"cuda", {{"error", "unavailable"}}}});
}

HttpResponse nothing_listed(Services&, const Call&) { return json_answer(json::array()); }
HttpResponse nothing(Services&, const Call&) { return json_answer(json::object()); }
HttpResponse scripts(Services&, const Call&) {
  return json_answer({{"txt2img", json::array()}, {"img2img", json::array()}});
}
HttpResponse embeddings(Services&, const Call&) {
  return json_answer({{"loaded", json::object()}, {"skipped", json::object()}});
}

HttpResponse controlnet_version(Services&, const Call&) { return json_answer(json::object{{"version", 0}}); }
HttpResponse controlnet_models(Services&, const Call&) {
  return json_answer(json::object{{"model_list", json::array()}});
}
HttpResponse controlnet_modules(Services&, const Call&) {
  return json_answer({{"module_list", json::array()}, {"module_detail", json::object()}});
}
HttpResponse controlnet_types(Services&, const Call&) {
  return json_answer(json::object{{"control_types", json::object()}});
}
HttpResponse controlnet_settings(Services&, const Call&) {
  return json_answer(json::object{{"control_net_unit_count", 0}});
}
HttpResponse controlnet_detect(Services&, const Call&) {
  throw Error(ErrorCode::NotFound, "controlnet_module", "Module not found: limn has no ControlNet");
}

}  // namespace

std::vector<Route> sdapi_list_routes() {
  const auto get = [](std::string_view path, std::string_view name, std::string_view help,
                      std::string_view schema, HttpResponse (*handle)(Services&, const Call&)) {
    return sdapi_route("GET", path, name, help, {200, kJson, schema, "the list"}, handle);
  };
  constexpr std::string_view kLacks = "An empty list: limn has none of these.";
  constexpr std::string_view kNoControl = "limn has no ControlNet, and says so.";
  Route detect = sdapi_route("POST", "/controlnet/detect", "controlnet_detect", kNoControl,
                             {200, kJson, "SdapiObject", "never: it answers 404"}, controlnet_detect);
  detect.takes = kJson;
  detect.takes_schema = "SdapiObject";
  return {
      get("/sdapi/v1/samplers", "sdapi_samplers", "Samplers by A1111's names.", "SdapiSamplers", samplers),
      get("/sdapi/v1/schedulers", "sdapi_schedulers", "Schedules by A1111's names.", "SdapiSchedulers",
          schedulers),
      get("/sdapi/v1/upscalers", "sdapi_upscalers", "Upscalers of pictures.", "SdapiUpscalers", upscalers),
      get("/sdapi/v1/latent-upscale-modes", "sdapi_latent_upscale_modes", "Upscalers of latents.",
          "SdapiNames", latent_upscale_modes),
      get("/sdapi/v1/sd-models", "sdapi_models", "Checkpoints.", "SdapiModels", sd_models),
      get("/sdapi/v1/sd-vae", "sdapi_vaes", "VAEs.", "SdapiVaes", sd_vae),
      get("/sdapi/v1/loras", "sdapi_loras", "LoRAs, for <lora:name:weight> in prompts.", "SdapiLoras", loras),
      get("/sdapi/v1/prompt-styles", "sdapi_styles", "Styles of the server's file.", "SdapiStyles", styles),
      get("/sdapi/v1/embeddings", "sdapi_embeddings", "Textual inversions: limn reads none.",
          "SdapiEmbeddings", embeddings),
      get("/sdapi/v1/hypernetworks", "sdapi_hypernetworks", kLacks, "SdapiList", nothing_listed),
      get("/sdapi/v1/face-restorers", "sdapi_face_restorers", kLacks, "SdapiList", nothing_listed),
      get("/sdapi/v1/realesrgan-models", "sdapi_realesrgan_models", kLacks, "SdapiList", nothing_listed),
      get("/sdapi/v1/scripts", "sdapi_scripts", kLacks, "SdapiScripts", scripts),
      get("/sdapi/v1/script-info", "sdapi_script_info", kLacks, "SdapiList", nothing_listed),
      get("/sdapi/v1/extensions", "sdapi_extensions", kLacks, "SdapiList", nothing_listed),
      get("/sdapi/v1/cmd-flags", "sdapi_cmd_flags", "Nothing: limn has other flags.", "SdapiObject", nothing),
      get("/sdapi/v1/memory", "sdapi_memory", "Memory of the server, in bytes.", "SdapiMemory", memory),
      get("/internal/ping", "sdapi_ping", "That the server is there.", "SdapiObject", nothing),
      get("/controlnet/version", "controlnet_version", kNoControl, "SdapiObject", controlnet_version),
      get("/controlnet/model_list", "controlnet_models", kNoControl, "SdapiObject", controlnet_models),
      get("/controlnet/module_list", "controlnet_modules", kNoControl, "SdapiObject", controlnet_modules),
      get("/controlnet/control_types", "controlnet_types", kNoControl, "SdapiObject", controlnet_types),
      get("/controlnet/settings", "controlnet_settings", kNoControl, "SdapiObject", controlnet_settings),
      std::move(detect),
  };
}

}  // namespace limn::server
