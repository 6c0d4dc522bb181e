// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/schemas.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "limn/engine/request.h"
#include "limn/server/job_store.h"
#include "limn/server/submit.h"

namespace limn::server {
namespace {

using engine::FieldKind;
using engine::RequestField;

json::object schema(std::string_view text) { return parse_json(text, "schema").get_object(); }

constexpr int64_t kMostText = 10'000;
constexpr uint64_t kMostExact = uint64_t{1} << 53;  // of JavaScript's numbers

json::object text_schema() { return {{"type", "string"}, {"maxLength", kMostText}}; }

json::object list_schema(json::object items, size_t least, size_t most) {
  return {{"type", "array"}, {"items", std::move(items)}, {"minItems", least}, {"maxItems", most}};
}

json::object number_schema(const RequestField& field, const char* type) {
  return {{"type", type}, {"minimum", field.least}, {"maximum", field.most}};
}

json::object integer_schema(const RequestField& field) {
  return {{"type", "integer"},
          {"minimum", static_cast<int64_t>(field.least)},
          {"maximum", static_cast<int64_t>(field.most)}};
}

json::object choice_schema(const RequestField& field) {
  json::object out = text_schema();
  const std::vector<std::string> known = choices_of(field);
  const bool is_open =
      field.name == "scheduler" || field.name == "schedule";  // other programs' names do, too
  out[is_open ? "examples" : "enum"] = json::array(known.begin(), known.end());
  return out;
}

json::object path_schema(const RequestField& field) {
  const bool is_picture = field.name == "init_image" || field.name == "mask";
  return is_picture ? json::object{{"type", "string"}} : text_schema();  // data: addresses are long
}

json::object schema_of(const RequestField& field) {
  constexpr size_t kMostNumbers = 1001, kMostItems = 100;
  constexpr int64_t kMostSide = 8192;
  switch (field.kind) {
    case FieldKind::Boolean:
      return {{"type", "boolean"}};
    case FieldKind::Integer:
      return integer_schema(field);
    case FieldKind::Number:
      return number_schema(field, "number");
    case FieldKind::Seed:
      return schema(R"({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 18446744073709551615},
                                  {"type": "string", "pattern": "^[0-9]{1,20}$"}]})");
    case FieldKind::Size:
      return list_schema({{"type", "integer"}, {"minimum", 1}, {"maximum", kMostSide}}, 2, 2);
    case FieldKind::Integers:
      return list_schema(integer_schema(field), field.items, field.items);
    case FieldKind::Numbers:
      return list_schema(number_schema(field, "number"), 1, kMostNumbers);
    case FieldKind::Loras:
    case FieldKind::Texts:
      return list_schema(text_schema(), 0, kMostItems);
    case FieldKind::Path:
      return path_schema(field);
    default:
      return field.choices ? choice_schema(field) : text_schema();
  }
}

/// What a field means here, where it means something else than on the command line.
struct OtherHelp {
  std::string_view field, help;
};
constexpr OtherHelp kOtherHelp[] = {
    {"model", "a model's name, as GET /api/v1/models gives it (default: the embedded model)"},
    {"vae", "a VAE's name, likewise (default: the model's)"},
    {"preview_vae", "name of a VAE that previews are decoded with (default: an estimate of the colours)"},
    {"refiner", "XL models: name of a model that takes over for the last steps"},
    {"lora", "LoRAs to add: \"NAME\" or \"NAME:WEIGHT\" (default weight: 1)"},
    {"init_image",
     "picture to start from, to repaint (with mask) or to edit: the id of an input, or a data: address"},
    {"mask", "picture of init_image's size: white is repainted, black is kept to the bit; as init_image"},
    {"styles_file", "name of the server's file of styles (default: that one, where there are styles)"},
    {"wildcards",
     "name of the server's folder of wildcards, or \"\" for none (default: that one, where a prompt names "
     "one of them)"},
    {"seed", "of the first picture; picture i has seed + i (default: drawn when the job is accepted)"},
};

json::object request_schema() {
  json::object properties;
  for (const RequestField& field : engine::request_fields()) {
    if (!is_for_clients(field)) continue;
    json::object one = schema_of(field);
    const std::string_view help = help_of(field);
    one["description"] = json::string_view(help.data(), help.size());
    properties[json::string_view(field.name.data(), field.name.size())] = std::move(one);
  }
  return {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

// Names of other schemas stand as "$ref"; every field of an answer is always there unless it is not required.
const NamedSchema kSchemas[] = {
    {"Request",
     [] {
       static const json::object made = request_schema();
       return made;
     }},
    {"NewJob",
     [] {
       return schema(
           R"({"type": "object", "required": ["request"], "additionalProperties": false, "properties": {
         "request": {"$ref": "#/components/schemas/Request"},
         "priority": {"type": "integer", "minimum": -100, "maximum": 100, "default": 0,
                      "description": "the higher first; above 0 is for the role manage"}}})");
     }},
    {"JobChange",
     [] {
       return schema(R"({"type": "object", "additionalProperties": false, "properties": {
         "priority": {"type": "integer", "minimum": -100, "maximum": 100},
         "before": {"type": "string", "maxLength": 64,
                    "description": "id of the waiting job to be put before; empty: to the end"}}})");
     }},
    {"Job",
     [] {
       return schema(R"({"type": "object", "additionalProperties": false,
         "required": ["id", "state", "paused", "priority", "place", "attempt", "request", "progress", "eta_seconds",
                      "error", "warnings", "pictures", "created", "started", "ended", "origin"],
         "properties": {
         "id": {"type": "string"},
         "state": {"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled"]},
         "paused": {"type": "boolean"},
         "priority": {"type": "integer"},
         "place": {"type": "integer", "description": "in the queue, from 1; 0: it does not wait"},
         "attempt": {"type": "integer", "description": "how often it was begun"},
         "request": {"$ref": "#/components/schemas/Request"},
         "progress": {"type": "object", "additionalProperties": false, "required": ["stage", "done", "total"],
           "properties": {
           "stage": {"type": "string", "enum": ["", "load", "denoise", "decode"]},
           "done": {"type": "integer"},
           "total": {"type": "integer", "description": "steps, or pictures while decoding"}}},
         "eta_seconds": {"type": ["number", "null"], "description": "until the job is done; null: not known yet"},
         "error": {"anyOf": [{"$ref": "#/components/schemas/JobError"}, {"type": "null"}]},
         "warnings": {"type": "array", "items": {"type": "string"},
                      "description": "what was asked for and not done, or done otherwise"},
         "pictures": {"type": "array", "items": {"type": "string"}, "description": "ids, in order"},
         "created": {"type": "string", "format": "date-time"},
         "started": {"type": ["string", "null"], "format": "date-time"},
         "ended": {"type": ["string", "null"], "format": "date-time"},
         "origin": {"type": "object", "additionalProperties": false, "required": ["api"], "properties": {
           "api": {"type": "string", "description": "native, sdapi or openai"}}}}})");
     }},
    {"JobError",
     [] {
       return schema(
           R"({"type": "object", "required": ["code", "where", "message", "hint"], "additionalProperties": false,
         "properties": {
         "code": {"type": "string"}, "where": {"type": "string"}, "message": {"type": "string"},
         "hint": {"type": "string"}}})");
     }},
    {"JobList",
     [] {
       return schema(
           R"({"type": "object", "required": ["jobs"], "additionalProperties": false, "properties": {
         "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}}}})");
     }},
    {"Queue",
     [] {
       return schema(
           R"({"type": "object", "required": ["paused", "counts"], "additionalProperties": false, "properties": {
         "paused": {"type": "boolean"},
         "counts": {"type": "object", "additionalProperties": false,
           "required": ["queued", "running", "done", "failed", "cancelled"], "properties": {
           "queued": {"type": "integer"}, "running": {"type": "integer"}, "done": {"type": "integer"},
           "failed": {"type": "integer"}, "cancelled": {"type": "integer"}}}}})");
     }},
    {"Input",
     [] {
       return schema(
           R"({"type": "object", "required": ["id", "width", "height"], "additionalProperties": false,
         "properties": {
         "id": {"type": "string", "description": "what init_image and mask of a request take"},
         "width": {"type": "integer"}, "height": {"type": "integer"}}})");
     }},
    {"ReadInput",
     [] {
       return schema(R"({"type": "object", "additionalProperties": false,
         "required": ["width", "height", "request", "honoured", "problems", "infotext", "program", "input"],
         "properties": {
         "width": {"type": "integer"}, "height": {"type": "integer"},
         "request": {"$ref": "#/components/schemas/Request"},
         "honoured": {"type": "array", "items": {"type": "string"}, "description": "what is as it was, field by field"},
         "problems": {"type": "array", "items": {"type": "string"},
                      "description": "what cannot be done as the picture says, and why"},
         "infotext": {"type": "string", "description": "A1111's text, where the picture has one"},
         "program": {"type": "string", "description": "that made the picture; empty: it does not say"},
         "input": {"type": "string", "description": "the id of the picture as an input"}}})");
     }},
    {"Picture",
     [] {
       return schema(R"({"type": "object", "additionalProperties": false,
         "required": ["id", "job", "index", "format", "width", "height", "bytes", "tags", "rating", "created", "deleted",
                      "prompt", "negative_prompt", "seed", "model", "record", "request"],
         "properties": {
         "id": {"type": "string", "description": "SHA-256 of the file"},
         "job": {"type": "string"},
         "index": {"type": "integer", "description": "in the job, from 0"},
         "format": {"type": "string"},
         "width": {"type": "integer"}, "height": {"type": "integer"}, "bytes": {"type": "integer"},
         "tags": {"type": "array", "items": {"type": "string"}},
         "rating": {"type": "integer", "minimum": 0, "maximum": 5, "description": "0: none"},
         "created": {"type": "string", "format": "date-time"},
         "deleted": {"type": ["string", "null"], "format": "date-time", "description": "in the bin since then"},
         "prompt": {"type": "string"}, "negative_prompt": {"type": "string"},
         "seed": {"type": "string", "description": "a whole number of 64 bits"},
         "model": {"type": "string"},
         "record": {"type": "object", "description": "all that the picture says of how it was made"},
         "request": {"$ref": "#/components/schemas/Request"}}})");
     }},
    {"PictureList",
     [] {
       return schema(
           R"({"type": "object", "required": ["pictures", "total"], "additionalProperties": false, "properties": {
         "pictures": {"type": "array", "items": {"$ref": "#/components/schemas/Picture"}},
         "total": {"type": "integer", "description": "of all pages"}}})");
     }},
    {"Tags",
     [] {
       return schema(
           R"({"type": "array", "maxItems": 64, "items": {"type": "string", "minLength": 1, "maxLength": 64}})");
     }},
    {"PictureIds",
     [] {
       return schema(
           R"({"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": "string", "maxLength": 64}})");
     }},
    {"PictureChange",
     [] {
       return schema(R"({"type": "object", "additionalProperties": false, "properties": {
         "tags": {"$ref": "#/components/schemas/Tags"},
         "rating": {"type": "integer", "minimum": 0, "maximum": 5},
         "deleted": {"type": "boolean"}}})");
     }},
    {"BulkChange",
     [] {
       return schema(R"({"type": "object", "required": ["ids"], "additionalProperties": false, "properties": {
         "ids": {"$ref": "#/components/schemas/PictureIds"},
         "add_tags": {"$ref": "#/components/schemas/Tags"},
         "remove_tags": {"$ref": "#/components/schemas/Tags"},
         "rating": {"type": "integer", "minimum": 0, "maximum": 5},
         "deleted": {"type": "boolean"}}})");
     }},
    {"Changed",
     [] {
       return schema(
           R"({"type": "object", "required": ["changed"], "additionalProperties": false, "properties": {
         "changed": {"type": "integer"}}})");
     }},
    {"ArchiveRequest",
     [] {
       return schema(R"({"type": "object", "required": ["ids"], "additionalProperties": false, "properties": {
         "ids": {"$ref": "#/components/schemas/PictureIds"},
         "metadata": {"type": "boolean", "default": true}}})");
     }},
    {"TagList",
     [] {
       return schema(
           R"({"type": "object", "required": ["tags"], "additionalProperties": false, "properties": {
         "tags": {"type": "array", "items": {"type": "object", "required": ["name", "count"], "additionalProperties": false,
           "properties": {"name": {"type": "string"}, "count": {"type": "integer"}}}}}})");
     }},
    {"Model",
     [] {
       return schema(R"({"type": "object", "additionalProperties": false,
         "required": ["name", "kind", "family", "title", "bytes", "sha256", "licence", "resident", "can_run",
                      "default_width", "default_height", "defaults"],
         "properties": {
         "name": {"type": "string", "description": "what a request takes"},
         "kind": {"type": "string", "description": "checkpoint, vae, lora, textual inversion, …"},
         "family": {"type": "string"}, "title": {"type": "string"},
         "bytes": {"type": "integer"},
         "sha256": {"type": ["string", "null"], "description": "null: not known yet"},
         "licence": {"type": ["string", "null"], "description": "as the file says"},
         "resident": {"type": "boolean", "description": "in memory"},
         "can_run": {"type": "boolean"},
         "default_width": {"type": "integer"}, "default_height": {"type": "integer"},
         "defaults": {"type": ["object", "null"], "required": ["steps", "guidance_scale", "width", "height"],
           "additionalProperties": false, "description": "what a request has that does not say it; null: it does not run",
           "properties": {"steps": {"type": "integer"}, "guidance_scale": {"type": "number"},
                          "width": {"type": "integer"}, "height": {"type": "integer"}}}}})");
     }},
    {"ModelList",
     [] {
       return schema(
           R"({"type": "object", "required": ["models"], "additionalProperties": false, "properties": {
         "models": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}})");
     }},
    {"SchedulerList",
     [] {
       return schema(
           R"({"type": "object", "required": ["schedulers", "schedules"], "additionalProperties": false,
         "properties": {
         "schedulers": {"type": "array", "items": {"$ref": "#/components/schemas/Choice"}},
         "schedules": {"type": "array", "items": {"$ref": "#/components/schemas/Choice"}}}})");
     }},
    {"Choice",
     [] {
       return schema(
           R"({"type": "object", "required": ["name", "label"], "additionalProperties": false, "properties": {
         "name": {"type": "string", "description": "what a request takes"},
         "label": {"type": "string", "description": "for people"},
         "help": {"type": "string"}}})");
     }},
    {"Capabilities",
     [] {
       return schema(R"({"type": "object", "additionalProperties": false,
         "required": ["version", "fields", "limits", "formats", "styles", "wildcards"],
         "properties": {
         "version": {"type": "string"},
         "fields": {"type": "array", "items": {"type": "object", "required": ["name", "kind", "help", "default"],
           "additionalProperties": false, "properties": {
           "name": {"type": "string"},
           "kind": {"type": "string", "enum": ["text", "model", "picture", "boolean", "integer", "seed", "number", "size",
                                               "integers", "numbers", "loras", "texts"]},
           "help": {"type": "string"},
           "default": {"type": ["number", "string", "boolean", "null"],
                       "description": "of a request without the field; null: none, or what the model or chance decides"},
           "least": {"type": "number"}, "most": {"type": "number"},
           "choices": {"type": "array", "items": {"type": "string"}}}}},
         "limits": {"type": "object", "additionalProperties": false, "required": ["pixels", "count", "steps", "body_bytes"],
           "properties": {"pixels": {"type": "integer"}, "count": {"type": "integer"}, "steps": {"type": "integer"},
                          "body_bytes": {"type": "integer"}}},
         "formats": {"type": "array", "items": {"type": "string"}},
         "styles": {"type": "array", "items": {"type": "string"}},
         "wildcards": {"type": "array", "items": {"type": "string"},
                       "description": "what may stand between two double underscores in a prompt"}}})");
     }},
    {"TokensRequest",
     [] {
       return schema(
           R"({"type": "object", "required": ["prompt"], "additionalProperties": false, "properties": {
         "prompt": {"type": "string", "maxLength": 10000},
         "model": {"type": "string", "maxLength": 10000}}})");
     }},
    {"Tokens",
     [] {
       return schema(
           R"({"type": "object", "required": ["tokens", "chunks", "limit_per_chunk"], "additionalProperties": false,
         "properties": {
         "tokens": {"type": "integer", "description": "without those of beginning and end"},
         "chunks": {"type": "integer", "description": "parts that the text encoder reads one by one"},
         "limit_per_chunk": {"type": "integer"}}})");
     }},
    {"Ready",
     [] {
       return schema(
           R"({"type": "object", "required": ["ready"], "additionalProperties": false, "properties": {
         "ready": {"type": "boolean"}}})");
     }},
    {"Document", [] { return schema(R"({"type": "object"})"); }},
};

}  // namespace

std::span<const NamedSchema> all_schemas() {
  static const std::vector<NamedSchema> all = [] {
    std::vector<NamedSchema> out(std::begin(kSchemas), std::end(kSchemas));
    for (auto* schemas : {sdapi_schemas, openai_schemas})
      std::ranges::move(schemas(), std::back_inserter(out));
    return out;
  }();
  return all;
}

bool is_for_clients(const RequestField& field) { return field.name != "init_latents"; }

std::string_view help_of(const RequestField& field) {
  for (const OtherHelp& other : kOtherHelp)
    if (other.field == field.name) return other.help;
  return field.help;
}

std::string iso_time(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return text;
}

json::object with_readable_seeds(json::object fields) {
  for (const RequestField& field : engine::request_fields()) {
    if (field.kind != FieldKind::Seed) continue;
    json::value* seed = fields.if_contains(json::string_view(field.name.data(), field.name.size()));
    if (seed && seed->is_number() && seed->to_number<uint64_t>() >= kMostExact)
      *seed = std::to_string(seed->to_number<uint64_t>());
  }
  return fields;
}

namespace {

json::value time_or_null(const std::optional<Time>& time) {
  return time ? json::value(iso_time(*time)) : nullptr;
}

json::array list_of(const std::vector<std::string>& texts) { return json::array(texts.begin(), texts.end()); }

json::value text_of(const json::object& record, const char* key) {
  const json::value* value = record.if_contains(key);
  return value && value->is_string() ? *value : json::value("");
}

/// What makes one picture of a job again.
json::object request_of(const json::object& record) {
  json::object request;
  if (const json::value* asked = record.if_contains("request"); asked && asked->is_object())
    request = asked->get_object();
  // The prompts are as they were worded in the end.
  for (const char* field : {"count", "wildcards", "styles_file", "style"}) request.erase(field);
  for (const char* field : {"seed", "variation_seed", "batch_index", "batch_size"})
    if (const json::value* value = record.if_contains(field)) request[field] = *value;
  return with_readable_seeds(std::move(request));
}

json::object job_json(const Job& job, int64_t place) {
  const json::value* api = job.origin.if_contains("api");
  const JobProgress& progress = job.progress;
  json::object out{
      {"id", job.id},
      {"state", std::string(name_of(job.state))},
      {"paused", job.paused},
      {"priority", job.priority},
      {"place", place},
      {"attempt", job.attempt},
      {"request", with_readable_seeds(job.request)},
      {"progress", {{"stage", progress.stage}, {"done", progress.done}, {"total", progress.total}}},
      {"eta_seconds", nullptr},
      {"error", nullptr},
      {"warnings", list_of(job.warnings)},
      {"pictures", list_of(job.pictures)},
      {"created", iso_time(job.created)},
      {"started", time_or_null(job.started)},
      {"ended", time_or_null(job.ended)},
      {"origin", {{"api", api ? *api : json::value("native")}}},
  };
  if (job.state == JobState::Running && progress.seconds_left) out["eta_seconds"] = *progress.seconds_left;
  if (!job.error.code.empty())
    out["error"] = {{"code", job.error.code},
                    {"where", job.error.where},
                    {"message", job.error.message},
                    {"hint", job.error.hint}};
  return out;
}

}  // namespace

json::object to_json(const Services& services, const Job& job) {
  return job_json(job, services.jobs.place(job));
}

json::array to_json(const Services& services, std::span<const Job> jobs) {
  const std::vector<int64_t> places = services.jobs.places(jobs);
  json::array out;
  for (size_t i = 0; i < jobs.size(); ++i) out.push_back(job_json(jobs[i], places[i]));
  return out;
}

json::object to_json(const GalleryPicture& picture) {
  const json::value* seed = picture.record.if_contains("seed");
  return {{"id", picture.id},
          {"job", picture.job},
          {"index", picture.index},
          {"format", picture.format},
          {"width", picture.width},
          {"height", picture.height},
          {"bytes", picture.bytes},
          {"tags", list_of(picture.tags)},
          {"rating", picture.rating},
          {"created", iso_time(picture.created)},
          {"deleted", time_or_null(picture.deleted)},
          {"prompt", text_of(picture.record, "prompt")},
          {"negative_prompt", text_of(picture.record, "negative_prompt")},
          {"seed", seed ? limn::to_text(*seed) : ""},
          {"model", text_of(picture.record, "model")},
          {"record", with_readable_seeds(picture.record)},
          {"request", request_of(picture.record)}};
}

json::object queue_json(const Services& services) {
  const JobStore::Counts counts = services.jobs.counts();
  return {{"paused", services.jobs.queue_paused()},
          {"counts",
           {{"queued", counts.queued},
            {"running", counts.running},
            {"done", counts.done},
            {"failed", counts.failed},
            {"cancelled", counts.cancelled}}}};
}

}  // namespace limn::server
