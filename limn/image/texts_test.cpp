// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/base/json.h"
#include "limn/image/exif.h"
#include "limn/image/image_testing.h"
#include "limn/image/png_texts.h"
#include "limn/image/unicode.h"

namespace limn {
namespace {

using namespace std::string_literals;
using testing::error_of;
using testing::gradient;
using ::testing::HasSubstr;
using testing::load;
using testing::texts_of;

std::vector<TextEntry> round_trip(const std::vector<TextEntry>& texts, std::string_view format) {
  return texts_of(encode_image(gradient(3, 2, 3), format, texts));
}

TEST(Texts, OfOtherWritersAreRead) {
  const json::object expected = read_json_object(testing::testdata("texts.json"));
  EXPECT_EQ(expected.size(), 7u);
  for (const auto& [file, pairs] : expected) {
    std::vector<TextEntry> texts;
    for (const json::value& pair : pairs.as_array())
      texts.push_back({std::string(pair.at(0).as_string()), std::string(pair.at(1).as_string())});
    EXPECT_EQ(texts_of(load(file)), texts) << file;
  }
}

class EveryFormatsTexts : public ::testing::TestWithParam<ImageFormat> {};
INSTANTIATE_TEST_SUITE_P(Table, EveryFormatsTexts,
                         ::testing::ValuesIn(image_formats().begin(), image_formats().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(EveryFormatsTexts, ComeBackAsTheyWere) {
  std::string characters;
  for (char c = 1; c < 127; ++c) characters += c;
  const std::vector<std::string> samples = {"plain",
                                            "café",
                                            "Ã©",
                                            "naïve 灯台 🌊 \U0010FFFF",
                                            "line\r\nline\ttab",
                                            "</limn:texts>&amp;<![CDATA[]]>",
                                            characters,
                                            std::string(15'000, 'x')};
  for (const std::string& text : samples) {
    const std::vector<TextEntry> texts = {{"parameters", text}, {"limn", text}, {"Ärger", "second"}};
    EXPECT_EQ(round_trip(texts, GetParam().name), texts) << text.substr(0, 40);
  }
}

TEST_P(EveryFormatsTexts, MayBeNone) { EXPECT_TRUE(round_trip({}, GetParam().name).empty()); }

TEST_P(EveryFormatsTexts, AreRefusedWhenTheyAreNotUtf8) {
  for (const std::string& text : {"\xFF"s, "\xC0\x80"s, "\xED\xA0\x80"s, "\xE2\x82"s, "nul\0"s})
    EXPECT_EQ(error_of([&] {
                round_trip({{"parameters", text}}, GetParam().name);
              }).code(),
              ErrorCode::InvalidArgument);
}

TEST(PngTexts, AreLatin1WhereThatHoldsThemAsPillowWritesThem) {
  EXPECT_EQ(make_png_text({"parameters", "café"}).type, "tEXt");
  EXPECT_EQ(make_png_text({"parameters", "café"}).data, "parameters\0caf\xE9"s);
  EXPECT_EQ(make_png_text({"parameters", "灯台"}).type, "iTXt");
}

TEST(PngTexts, RefusesKeywordsPngCannotHold) {
  for (const std::string& keyword : {""s, std::string(80, 'k'), "灯台"s})
    EXPECT_EQ(error_of([&] { make_png_text({keyword, "text"}); }).code(), ErrorCode::InvalidArgument);
}

PngChunk chunk_of(std::string_view type, const std::string& data) { return {type, as_byte_span(data), 0}; }

TEST(PngTexts, TakesUtf8InLatin1ChunksForWhatItIs) {
  const std::string data = "parameters\0灯台"s;
  const PngChunk chunk = chunk_of("tEXt", data);
  EXPECT_EQ(png_texts({&chunk, 1}, "test").at(0).text, "灯台");
}

std::string packed(size_t size) {
  std::string out(compressBound(size), '\0');
  uLongf length = out.size();
  const std::string zeros(size, 'z');
  compress(reinterpret_cast<Bytef*>(out.data()), &length, reinterpret_cast<const Bytef*>(zeros.data()), size);
  return out.substr(0, length);
}

TEST(PngTexts, UnpacksAtMost16MebibytesInAll) {
  const std::string half = "k\0\0"s + packed(8 << 20), bomb = "k\0\0"s + packed(17 << 20);
  const PngChunk two[] = {chunk_of("zTXt", half), chunk_of("zTXt", half)};
  EXPECT_EQ(png_texts(two, "test").size(), 2u);
  const PngChunk three[] = {chunk_of("zTXt", half), chunk_of("zTXt", half), chunk_of("zTXt", half)};
  EXPECT_EQ(error_of([&] { png_texts(three, "test"); }).code(), ErrorCode::BadFile);
  const PngChunk one = chunk_of("zTXt", bomb);
  EXPECT_EQ(error_of([&] { png_texts({&one, 1}, "test"); }).code(), ErrorCode::BadFile);
}

TEST(PngTexts, NamesWhatIsDamaged) {
  const struct {
    std::string type, data, problem;
  } cases[] = {
      {"tEXt", "no end", "no end of its keyword"},
      {"zTXt", "k\0\1x"s, "unknown compression"},
      {"zTXt", "k\0\0garbage"s, "damaged compressed"},
      {"iTXt", "k\0"s, "no compression flag"},
      {"iTXt", "k\0\0\0en"s, "no end"},
      {"iTXt", "k\0\0\0\0\0\xFF"s, "not UTF-8"},
  };
  for (const auto& [type, data, problem] : cases) {
    const PngChunk chunk = chunk_of(type, data);
    const Error error = error_of([&] { png_texts({&chunk, 1}, "test"); });
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    EXPECT_THAT(error.what(), HasSubstr(problem));
  }
}

TEST(JpegTexts, OverASegmentAreRefusedWithAWayOut) {
  const Error error = error_of([] { round_trip({{"parameters", std::string(40'000, 'x')}}, "jpeg"); });
  EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(error.hint(), "save as PNG or WebP");
}

TEST(ExifTexts, HaveOneParametersOnly) {
  EXPECT_EQ(error_of([] {
              make_text_blocks(std::vector<TextEntry>{{"parameters", "a"}, {"parameters", "b"}});
            }).code(),
            ErrorCode::InvalidArgument);
}

TEST(Exif, CutAtAnyByteIsDamagedAndUpright) {
  const std::string whole = make_exif("a comment");
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    EXPECT_EQ(error_of([&] { exif_texts(as_byte_span(cut), "test", 0); }).code(), ErrorCode::BadFile) << size;
    EXPECT_EQ(exif_orientation(as_byte_span(cut)), 1);
  }
}

TEST(Exif, ImageDescriptionIsADescription) {
  const std::string exif = "II*\0\x08\0\0\0\x01\0\x0E\x01\x02\0\x06\0\0\0\x1A\0\0\0\0\0\0\0a cat\0"s;
  EXPECT_EQ(exif_texts(as_byte_span(exif), "test", 0), (std::vector<TextEntry>{{"Description", "a cat"}}));
}

TEST(Xmp, DescriptionIsFoundAndUnescaped) {
  EXPECT_EQ(
      xmp_description("<x><dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">cats &amp; dogs</rdf:li>"
                      "<rdf:li xml:lang=\"de\">Katzen</rdf:li></rdf:Alt></dc:description></x>"),
      "cats & dogs");
  for (const char* damaged :
       {"", "<dc:description", "<dc:description></dc:description>",
        "<dc:description><rdf:li</dc:description>", "</dc:description><dc:description>"})
    EXPECT_EQ(xmp_description(damaged), "") << damaged;
}

TEST(Exif, ValuesThatOverlapAreRefused) {
  std::string exif = "II*\0\x08\0\0\0\xFF\0"s;
  for (int i = 0; i < 255; ++i)
    exif += "\x10\x01\x02\0\0\x02\0\0\0\0\0\0"s;  // 512 bytes of text from the start
  EXPECT_THAT(error_of([&] { exif_texts(as_byte_span(exif), "test", 0); }).what(), HasSubstr("overlap"));
}

TEST(Xmp, WithADamagedPropertyIsRefused) {
  for (const std::string& inside : {"not json"s, "{}"s, "[1]"s, "[[1,2]]"s, "[[\"a\"]]"s})
    EXPECT_EQ(error_of([&] { xmp_texts("<limn:texts>" + inside + "</limn:texts>", "test"); }).code(),
              ErrorCode::BadFile)
        << inside;
}

TEST(Unicode, ReadsBothOrdersOfUtf16AndMarksLoneSurrogates) {
  EXPECT_EQ(utf16_to_utf8("\x00"
                          "A\xD8\x3C\xDF\x0A"s,
                          Utf16Order::BigEndian),
            "A🌊");
  EXPECT_EQ(utf16_to_utf8("A\x00\x3C\xD8\x0A\xDF\x00\x00"s, Utf16Order::LittleEndian), "A🌊");
  EXPECT_EQ(utf16_to_utf8("\xD8\x3C\x00"
                          "A"s,
                          Utf16Order::BigEndian),
            "\uFFFDA");
  EXPECT_EQ(utf16_to_utf8("\xDF\x0A"s, Utf16Order::BigEndian), "\uFFFD");
}

}  // namespace
}  // namespace limn
