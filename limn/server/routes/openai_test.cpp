// SPDX-License-Identifier: Apache-2.0
#include "limn/server/routes/openai.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/error.h"
#include "limn/engine/request.h"
#include "limn/provenance/record.h"

namespace limn::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::optional<std::string> find_model(const std::string& name) {
  return name == "sd15" ? std::optional<std::string>("sd15.safetensors") : std::nullopt;
}

OpenAiForm form_of(const std::string& body) { return {parse_json(body, "body").as_object(), {}, {}}; }

OpenAiRequest read(const OpenAiForm& form, OpenAiTask task = OpenAiTask::Generate) {
  const OpenAiRequest out = read_openai_request(task, form, find_model);
  engine::request_from_json(out.fields);  // which knows each of them
  return out;
}

Error refusal(const OpenAiForm& form, OpenAiTask task = OpenAiTask::Generate) {
  try {
    read_openai_request(task, form, find_model);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::Internal, "", "accepted");
}

std::string png(int width, int height, int channels, uint8_t last) {
  Image image{width, height, channels, {}};
  for (int i = 0; i < width * height * channels; ++i)
    image.pixels.push_back(i % channels == channels - 1 ? last : 100);
  return encode_image(image, "png", {});
}

std::span<const std::byte> bytes_in(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(OpenAiRequest, NeedsNothingButAPrompt) {
  const OpenAiRequest request = read(form_of(R"({"prompt":"fog"})"));
  EXPECT_EQ(request.fields, parse_json(R"({"prompt":"fog"})", "expected"));
  EXPECT_THAT(request.warnings, IsEmpty());
  EXPECT_FALSE(request.streams || request.wants_url);
  EXPECT_EQ(refusal(form_of("{}")).where(), "prompt");
}

// What open-webui 0.12 sends.
TEST(OpenAiRequest, TakesOpenWebuisBody) {
  const OpenAiRequest request = read(
      form_of(R"({"model":"dall-e-2","prompt":"fog","n":2,"size":"512x256","response_format":"b64_json"})"));
  EXPECT_EQ(request.fields, parse_json(R"({"prompt":"fog","count":2,"width":512,"height":256})", "expected"));
  EXPECT_THAT(request.warnings, ElementsAre(HasSubstr("model: dall-e-2 is not here")));
}

TEST(OpenAiRequest, TakesAllThatThePackageKnows) {
  const OpenAiRequest request =
      read(form_of(R"({"model":"sd15","prompt":"fog","background":"transparent","moderation":"low",
      "n":null,"output_compression":40,"output_format":"webp","partial_images":2,"quality":"high","response_format":null,
      "size":"auto","stream":true,"style":"vivid","user":"me","safety_identifier":"s","complexity":"low","frame_count":4})"));
  EXPECT_EQ(request.fields, parse_json(R"({"model":"sd15.safetensors","prompt":"fog"})", "expected"));
  EXPECT_EQ(request.format, "webp");
  EXPECT_EQ(request.compression, 40);
  EXPECT_TRUE(request.streams);
  EXPECT_EQ(request.partial_images, 2);
  EXPECT_THAT(request.warnings, ElementsAre(HasSubstr("background:"), HasSubstr("quality:"),
                                            HasSubstr("style:"), "complexity: is not known here; left out",
                                            "frame_count: is not known here; left out"));
}

TEST(OpenAiRequest, TakesLimnsOwnFields) {
  const OpenAiRequest request = read(form_of(
      R"({"prompt":"fog","seed":18446744073709551615,"steps":3,"negative_prompt":"rain","scheduler":"euler","guidance_scale":2.5})"));
  EXPECT_EQ(request.fields.at("seed"), UINT64_MAX);
  EXPECT_EQ(request.fields.at("steps"), 3);
  EXPECT_EQ(request.fields.at("negative_prompt"), "rain");
  EXPECT_THAT(request.warnings, IsEmpty());
}

TEST(OpenAiRequest, RefusesAtOpenAisNames) {
  EXPECT_EQ(refusal(form_of(R"({"prompt":"fog","n":11})")).where(), "n");
  EXPECT_EQ(refusal(form_of(R"({"prompt":"fog","n":1.5})")).where(), "n");
  EXPECT_EQ(refusal(form_of(R"({"prompt":"fog","size":"large"})")).where(), "size");
  EXPECT_EQ(refusal(form_of(R"({"prompt":"fog","size":"512x"})")).where(), "size");
  EXPECT_EQ(refusal(form_of(R"({"prompt":"fog","size":"512x512x3"})")).where(), "size");
  EXPECT_EQ(refusal(form_of(R"({"prompt":"fog","output_format":"gif"})")).where(), "output_format");
  EXPECT_EQ(refusal(form_of(R"({"prompt":"fog","partial_images":4})")).where(), "partial_images");
  EXPECT_EQ(refusal(form_of(R"({"prompt":7})")).where(), "prompt");
  const Error model = refusal(form_of(R"({"prompt":"fog","model":"gone"})"));
  EXPECT_EQ(model.code(), ErrorCode::NotFound);
  EXPECT_EQ(model.where(), "model");
}

TEST(OpenAiForm, ReadsNumbersWhereNumbersAreMeant) {
  const std::vector<Part> parts{{"prompt", "", "", "7"},
                                {"n", "", "", "2"},
                                {"stream", "", "", "true"},
                                {"steps", "", "", "3"},
                                {"guidance_scale", "", "", "1.5"},
                                {"seed", "", "", "18446744073709551615"},
                                {"output_compression", "", "", "all"},
                                {"image[]", "a.png", "image/png", "first"},
                                {"image[]", "b.png", "image/png", "second"},
                                {"mask", "m.png", "image/png", "mask"}};
  const OpenAiForm form = read_openai_form(parts);
  EXPECT_EQ(form.body, parse_json(R"({"prompt":"7","n":2,"stream":true,"steps":3,"guidance_scale":1.5,
      "seed":"18446744073709551615","output_compression":"all"})",
                                  "expected"));
  EXPECT_THAT(form.images, ElementsAre("first", "second"));
  EXPECT_EQ(form.mask, "mask");
  EXPECT_EQ(refusal(form, OpenAiTask::Edit).where(), "output_compression");
}

TEST(OpenAiForm, RefusesTextThatIsNone) {
  const std::vector<Part> parts{{"prompt", "", "", "\xff"}};
  EXPECT_THROW(read_openai_form(parts), Error);
}

TEST(OpenAiRequest, EditsWhereTheMaskIsTransparent) {
  OpenAiForm form = form_of(R"({"prompt":"a hat","input_fidelity":"high"})");
  form.images = {png(8, 8, 3, 50)};
  EXPECT_EQ(read(form, OpenAiTask::Edit).fields.at("strength"), 0.5);
  Image mask{2, 1, 4, {0, 0, 0, 0, 0, 0, 0, 255}};
  form.mask = encode_image(mask, "png", {});
  const OpenAiRequest request = read(form, OpenAiTask::Edit);
  EXPECT_THAT(request.mask->pixels, ElementsAre(255, 0));
  EXPECT_EQ(request.init_image->width, 8);
  EXPECT_EQ(request.fields.at("strength"), 1.0);
}

TEST(OpenAiRequest, RefusesMasksThatSayNothingAndFormsWithoutAPicture) {
  OpenAiForm form = form_of(R"({"prompt":"a hat"})");
  EXPECT_EQ(refusal(form, OpenAiTask::Edit).where(), "image");
  form.images = {png(8, 8, 3, 50), png(8, 8, 3, 60)};
  EXPECT_THAT(read(form, OpenAiTask::Edit).warnings, ElementsAre(HasSubstr("image: the first is taken")));
  form.mask = png(8, 8, 3, 0);
  EXPECT_EQ(refusal(form, OpenAiTask::Edit).where(), "mask");
  form.mask = png(8, 8, 4, 255);
  EXPECT_EQ(refusal(form, OpenAiTask::Edit).where(), "mask");
  form.images = {"no picture"};
  EXPECT_EQ(refusal(form, OpenAiTask::Edit).where(), "image");
}

TEST(OpenAiRequest, VariesWithoutAPrompt) {
  OpenAiForm form = form_of(R"({"n":2})");
  form.images = {png(8, 8, 4, 255)};
  const OpenAiRequest request = read(form, OpenAiTask::Vary);
  EXPECT_EQ(request.fields, parse_json(R"({"count":2,"prompt":"","strength":0.6})", "expected"));
}

TEST(OpenAiPictures, KeepWhatTheySayInOtherFormats) {
  const Image image{16, 16, 3, std::vector<uint8_t>(16 * 16 * 3, 90)};
  const std::vector<TextEntry> texts{{"parameters", "fog\nSteps: 3, Sampler: Euler, Seed: 1"}};
  const std::string file = encode_image(image, "png", texts);
  EXPECT_EQ(in_format(file, "png", 100), file);
  for (const char* format : {"jpeg", "webp"}) {
    const std::string other = in_format(file, format, 0);
    EXPECT_EQ(image_texts(bytes_in(other), format), texts) << format;
    EXPECT_EQ(decode_image(bytes_in(other), format).width, 16);
  }
}

TEST(OpenAiStream, SpreadsPartialPicturesOverTheRun) {
  EXPECT_FALSE(is_partial_due(0, 0, 1));
  EXPECT_FALSE(is_partial_due(0, 2, 0.3));
  EXPECT_TRUE(is_partial_due(0, 2, 0.34));
  EXPECT_FALSE(is_partial_due(1, 2, 0.5));
  EXPECT_TRUE(is_partial_due(1, 2, 0.75));
  EXPECT_FALSE(is_partial_due(2, 2, 1));
}

}  // namespace
}  // namespace limn::server
