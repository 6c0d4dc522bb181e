// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/provenance/record_testing.h"

namespace limn::provenance {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string text(const json::value& object, std::string_view key) {
  return std::string(object.at(json::string_view(key.data(), key.size())).as_string());
}

json::array cases() {
  const auto path = std::filesystem::path(LIMN_SOURCE_DIR) / "limn/provenance/testdata/infotexts.json";
  return parse_json(read_file(path, 1 << 20), path.string()).as_array();
}

TEST(ParseInfotext, AgreesWithA1111sRule) {
  const json::array all = cases();
  EXPECT_GE(all.size(), 14u);
  for (const json::value& one : all) {
    const json::value& rule = one.at("rule");
    std::vector<std::pair<std::string, std::string>> fields;
    for (const json::value& field : rule.at("fields").as_array())
      fields.emplace_back(std::string(field.at(0).as_string()), std::string(field.at(1).as_string()));
    const Infotext info = parse_infotext(text(one, "text"));
    EXPECT_EQ(info.prompt, text(rule, "prompt")) << text(one, "name");
    EXPECT_EQ(info.negative_prompt, text(rule, "negative_prompt")) << text(one, "name");
    EXPECT_EQ(info.fields, fields) << text(one, "name");
  }
}

TEST(ParseInfotext, AgreesWithSdParsers) {
  size_t compared = 0;
  for (const json::value& one : cases()) {
    if (one.at("sd_parsers").is_null()) continue;
    const Infotext info = parse_infotext(text(one, "text"));
    for (const auto& [key, value] : one.at("sd_parsers").as_object()) {
      const std::string_view mine = key == "prompt"            ? std::string_view(info.prompt)
                                    : key == "negative_prompt" ? std::string_view(info.negative_prompt)
                                                               : info.find({key.data(), key.size()});
      EXPECT_THAT(std::string(mine), StartsWith(std::string(value.as_string())))
          << text(one, "name") << ": " << key;
      ++compared;
    }
  }
  EXPECT_GE(compared, 60u);
}

TEST(ParseInfotext, TakesTheLastOfEqualFields) {
  const Infotext info = parse_infotext("Steps: 1, Seed: 2, Steps: 3");
  EXPECT_EQ(info.find("Steps"), "3");
  EXPECT_EQ(info.find("Sampler"), "");
}

TEST(ParseInfotext, IsQuickOnLongOddLines) {
  for (const std::string& part : {"ab ", "ab:", "\"\\", "a:\"b", ", ", "\n"}) {
    std::string line;
    while (line.size() < 1'000'000) line += part;
    parse_infotext("Steps: 1, Seed: 2, Size: 3, Note: \"" + line);
  }
}

TEST(ParametersText, IsWhatOtherReadersRead) {
  GenerationRecord record = testing::full_record();
  record.loras.clear();
  record.variation_seed.reset();
  EXPECT_EQ(parameters_text(record), text(cases().at(0), "text"));
}

TEST(ParametersText, LeavesOutWhatTheRecordHasNot) {
  GenerationRecord record = testing::full_record();
  record.negative_prompt = record.model = record.model_hash = record.a1111_schedule = "";
  record.clip_skip.reset();
  record.strength.reset();
  record.eta.reset();
  const std::string written = parameters_text(record);
  for (const char* key :
       {"Negative prompt", "Model", "Schedule type", "Clip skip", "Denoising", "Eta", ": ,"})
    EXPECT_THAT(written, Not(HasSubstr(key)));
}

TEST(ParametersText, HasLabelsOfA1111OrElseTheNameOfTheSampler) {
  GenerationRecord record = testing::full_record();
  record.scheduler = "ddpm";
  record.a1111_sampler = record.a1111_schedule = "";
  EXPECT_THAT(parameters_text(record), HasSubstr("Sampler: ddpm, CFG"));
  record.a1111_sampler = "DPM++ SDE";
  record.a1111_schedule = "Karras";
  EXPECT_THAT(parameters_text(record), HasSubstr("Sampler: DPM++ SDE, Schedule type: Karras, CFG"));
}

TEST(ParametersText, ComesBackFromTheParser) {
  GenerationRecord record = testing::full_record();
  for (const std::string& odd :
       {"a\nb", "x: 1, y: 2, z: 3", "\"quoted\"", "灯台 🌊", "back\\slash", "{\"a\": [1]}"}) {
    record.prompt = record.negative_prompt = record.model = odd;
    const Infotext info = parse_infotext(parameters_text(record));
    EXPECT_EQ(info.prompt, odd);
    EXPECT_EQ(info.negative_prompt, odd);
    if (odd.front() != '"') EXPECT_EQ(info.find("Model"), odd);
    EXPECT_EQ(info.find("Seed"), "18446744073709551615");
  }
}

TEST(ParametersText, NamesLorasAsA1111Does) {
  GenerationRecord record = testing::full_record();
  record.loras = {{"ink.safetensors", 0.75, std::string(64, 'e')},
                  {"b.c.safetensors", -1, std::string(64, 'f')}};
  EXPECT_EQ(parse_infotext(parameters_text(record)).find("Lora hashes"),
            "ink: eeeeeeeeeeee, b.c: ffffffffffff");
  EXPECT_EQ(record_from_json(to_json(record)), record);
}

TEST(ParametersText, SaysWhatChangesTheNoiseAndThePasses) {
  GenerationRecord record = testing::full_record();
  record.strength.reset();
  record.width = 768;
  record.height = 1152;
  record.request = {{"noise", "philox"},
                    {"variation_strength", 0.3},
                    {"seed_resize", {448, 640}},
                    {"eta_noise_seed_delta", 31337},
                    {"seamless", "xy"},
                    {"hires_scale", 1.5},
                    {"hires_steps", 12},
                    {"hires_strength", 0.4},
                    {"hires_upscaler", "latent_bicubic"}};
  const Infotext info = parse_infotext(parameters_text(record));
  EXPECT_EQ(info.find("RNG"), "NV");
  EXPECT_EQ(info.find("Variation seed"), "99");
  EXPECT_EQ(info.find("Variation seed strength"), "0.3");
  EXPECT_EQ(info.find("Seed resize from"), "448x640");
  EXPECT_EQ(info.find("ENSD"), "31337");
  EXPECT_EQ(info.find("Tiling"), "True");
  EXPECT_EQ(info.find("Size"), "512x768");  // of the first pass
  EXPECT_EQ(info.find("Hires upscale"), "1.5");
  EXPECT_EQ(info.find("Hires steps"), "12");
  EXPECT_EQ(info.find("Hires upscaler"), "Latent (bicubic)");
  EXPECT_EQ(info.find("Denoising strength"), "0.4");
  record.request = {};
  EXPECT_EQ(parse_infotext(parameters_text(record)).find("RNG"), "CPU");
}

}  // namespace
}  // namespace limn::provenance
