// SPDX-License-Identifier: Apache-2.0
#include "limn/image/image.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "limn/image/image_testing.h"

namespace limn {
namespace {

using testing::decode;
using testing::error_of;
using testing::gradient;
using ::testing::HasSubstr;
using testing::load;
using testing::load_pixels;
using testing::texts_of;
using ::testing::Values;
using ::testing::ValuesIn;

int largest_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.channels, b.channels);
  if (a.pixels.size() != b.pixels.size()) return 256;
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i)
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

class PillowFile : public ::testing::TestWithParam<const char*> {};

TEST_P(PillowFile, DecodesToPillowsPixels) {
  EXPECT_EQ(largest_difference(decode(load(GetParam())), load_pixels(GetParam())), 0);
}
INSTANTIATE_TEST_SUITE_P(Png, PillowFile,
                         Values("rgb.png", "rgba.png", "grey.png", "grey_alpha.png", "palette.png",
                                "palette_transparent.png", "bits_1.png", "grey_16.png", "interlaced.png"));
INSTANTIATE_TEST_SUITE_P(JpegAndWebp, PillowFile,
                         Values("color.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "lossy.webp",
                                "lossless.webp"));
INSTANTIATE_TEST_SUITE_P(Oriented, PillowFile,
                         Values("orientation_1.webp", "orientation_2.webp", "orientation_3.webp",
                                "orientation_4.webp", "orientation_5.webp", "orientation_6.webp",
                                "orientation_7.webp", "orientation_8.webp", "orientation_6.png",
                                "orientation_6.jpg"));

class EveryFormat : public ::testing::TestWithParam<ImageFormat> {
 protected:
  std::string format() const { return std::string(GetParam().name); }
  std::string encoded() const {
    const TextEntry texts[] = {{"parameters", "words, 灯台"}, {"limn", "{\"seed\":1}"}};
    return encode_image(gradient(19, 11, 3), format(), texts);
  }
};
INSTANTIATE_TEST_SUITE_P(Table, EveryFormat, ValuesIn(image_formats().begin(), image_formats().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(EveryFormat, KeepsSizeAndRoughColorsOfSmoothPictures) {
  Image image{64, 48, 3, {}};
  for (int y = 0; y < 48; ++y)
    for (int x = 0; x < 64; ++x)
      for (const int value : {x * 3, y * 4, 255 - x}) image.pixels.push_back(static_cast<uint8_t>(value));
  EXPECT_LE(largest_difference(decode(encode_image(image, format(), {}, 95)), image), 24);
}

TEST_P(EveryFormat, WritesTheSameBytesEveryTime) { EXPECT_EQ(encoded(), encoded()); }

TEST_P(EveryFormat, RefusesAFileCutAtAnyByte) {
  const std::string whole = encoded();
  ASSERT_NO_THROW(decode(whole));
  for (size_t size = 0; size < whole.size(); ++size)
    ASSERT_EQ(error_of([&] { decode(whole.substr(0, size)); }).code(), ErrorCode::BadFile) << size;
}

TEST_P(EveryFormat, ReadsNoTextFromAFileCutInItsTexts) {
  const std::string whole = encoded();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    try {  // JPEG's texts stand before the pixels, so a cut in the pixels leaves them whole
      EXPECT_EQ(texts_of(cut), texts_of(whole)) << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile) << size;
    }
  }
}

TEST_P(EveryFormat, SurvivesEveryByteChanged) {
  const std::string whole = encoded();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0xFF);
    for (const auto& call : {std::function<void()>([&] { decode(damaged, 1 << 20); }),
                             std::function<void()>([&] { texts_of(damaged); })}) {
      const Error error = error_of(call);
      const bool fine = error.what()[0] == '\0';
      EXPECT_TRUE(fine || error.code() == ErrorCode::BadFile || error.code() == ErrorCode::Unsupported)
          << i << error.what();
    }
  }
}

TEST_P(EveryFormat, StopsAtTheCallersLimitOfPixels) {
  EXPECT_NO_THROW(decode(encoded(), 19 * 11));
  const Error error = error_of([&] { decode(encoded(), 19 * 11 - 1); });
  EXPECT_EQ(error.code(), ErrorCode::BadFile);
  EXPECT_THAT(error.what(), HasSubstr("19 × 11"));
}

TEST_P(EveryFormat, RefusesAnImageThatContradictsItself) {
  EXPECT_EQ(error_of([&] {
              encode_image({2, 2, 3, {1, 2, 3}}, format(), {});
            }).code(),
            ErrorCode::InvalidArgument);
  EXPECT_EQ(error_of([&] { encode_image({0, 2, 3, {}}, format(), {}); }).code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(error_of([&] { encode_image(gradient(2, 2, 2), format(), {}); }).code(),
            ErrorCode::InvalidArgument);
  EXPECT_EQ(error_of([&] { encode_image(gradient(2, 2, 3), format(), {}, 0); }).code(),
            ErrorCode::InvalidArgument);
  EXPECT_EQ(error_of([&] { encode_image(gradient(65'536, 1, 1), format(), {}); }).code(),
            ErrorCode::InvalidArgument);
}

TEST(Png, IsLosslessForGreyColorAndAlpha) {
  const Image grey = gradient(17, 5, 1);
  EXPECT_EQ(decode(encode_image(grey, "png", {})).pixels, to_rgb(grey).pixels);
  for (const int channels : {3, 4}) {
    const Image image = gradient(17, 5, channels);
    EXPECT_EQ(decode(encode_image(image, "png", {})).pixels, image.pixels);
  }
}

TEST(Png, NamesTheDamagedChunkAndItsPlace) {
  std::string file = load("rgb.png");
  const size_t data = file.find("IDAT") + 10;
  file[data] = static_cast<char>(file[data] ^ 1);
  const Error error = error_of([&] { decode(file); });
  EXPECT_EQ(error.code(), ErrorCode::BadFile);
  EXPECT_EQ(error.where(), "test @" + std::to_string(file.find("IDAT") - 4));
  EXPECT_THAT(error.what(), HasSubstr("IDAT does not match its checksum"));
}

/// `file` with another size in IHDR and a fitting checksum.
std::string with_size(std::string file, uint32_t width, uint32_t height) {
  for (int i = 0; i < 4; ++i) {
    file[16 + i] = static_cast<char>(width >> (24 - 8 * i));
    file[20 + i] = static_cast<char>(height >> (24 - 8 * i));
  }
  const uint32_t sum = crc32(0, reinterpret_cast<const Bytef*>(file.data()) + 12, 17);
  for (int i = 0; i < 4; ++i) file[29 + i] = static_cast<char>(sum >> (24 - 8 * i));
  return file;
}

TEST(Png, RefusesSizesItsDataCannotHoldBeforeTakingMemory) {
  for (const auto& [width, height] :
       {std::pair{16'000u, 16'000u}, {65'536u, 1u}, {0u, 5u}, {0x7FFFFFFFu, 0x7FFFFFFFu}})
    EXPECT_EQ(error_of([&] { decode(with_size(load("rgb.png"), width, height)); }).code(),
              ErrorCode::BadFile);
}

TEST(Jpeg, RefusesSizesItsDataCannotHoldBeforeTakingMemory) {
  std::string file = load("color.jpg");
  const size_t frame = file.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  for (int i = 0; i < 4; ++i) file[frame + 5 + i] = '\x3F';
  const Error error = error_of([&] { decode(file); });
  EXPECT_EQ(error.code(), ErrorCode::BadFile);
  EXPECT_THAT(error.what(), HasSubstr("cannot hold"));
}

TEST(Jpeg, DropsAlphaAndWritesGrey) {
  const Image image = gradient(16, 16, 4);
  EXPECT_EQ(encode_image(image, "jpeg", {}), encode_image(to_rgb(image), "jpeg", {}));
  EXPECT_EQ(decode(encode_image(gradient(16, 16, 1), "jpeg", {})).channels, 3);
}

TEST(Webp, SaysThatAnimationIsNotRead) {
  const Error error = error_of([] { decode(load("animated.webp")); });
  EXPECT_EQ(error.code(), ErrorCode::Unsupported);
  EXPECT_THAT(error.what(), HasSubstr("animated"));
}

TEST(Webp, RefusesSidesItCannotHold) {
  EXPECT_EQ(error_of([] { encode_image(gradient(16'384, 1, 3), "webp", {}); }).code(),
            ErrorCode::InvalidArgument);
}

struct OtherFormat {
  std::string start;
  std::string name;
};
class OtherFormats : public ::testing::TestWithParam<OtherFormat> {};
TEST_P(OtherFormats, AreUnsupportedByName) {
  const Error error = error_of([] { decode(GetParam().start + std::string(64, '\0')); });
  EXPECT_EQ(error.code(), ErrorCode::Unsupported);
  EXPECT_THAT(error.what(), HasSubstr(GetParam().name));
}
INSTANTIATE_TEST_SUITE_P(All, OtherFormats,
                         Values(OtherFormat{"GIF89a", "GIF"}, OtherFormat{std::string("II*\0", 4), "TIFF"},
                                OtherFormat{"BM", "BMP"},
                                OtherFormat{std::string("\0\0\0\x20", 4) + "ftypavif", "AVIF"},
                                OtherFormat{std::string("\0\0\0\x18", 4) + "ftypheic", "HEIC"},
                                OtherFormat{"\xFF\x0A", "JPEG XL"}, OtherFormat{"8BPS", "Photoshop"}));

TEST(Image, SaysThatOtherBytesAreNoPicture) {
  EXPECT_EQ(error_of([] { decode(""); }).code(), ErrorCode::BadFile);
  EXPECT_EQ(error_of([] { decode("hello"); }).code(), ErrorCode::BadFile);
}

TEST(Image, ReadsFilesAndMissesMissingOnes) {
  EXPECT_EQ(read_image(testing::testdata("rgb.png")).width, 13);
  EXPECT_EQ(error_of([] { read_image("/nowhere/picture.png"); }).code(), ErrorCode::NotFound);
}

TEST(Image, ListsTheFormatsWhenOneIsUnknown) {
  const Error error = error_of([] { encode_image(gradient(1, 1, 3), "gif", {}); });
  EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(error.hint(), "known: png, jpeg, webp");
}

class PillowResize : public ::testing::TestWithParam<const char*> {};
TEST_P(PillowResize, GivesPillowsBits) {
  const std::string name = GetParam();
  const Image expected = load_pixels("resize_" + name);
  const Image from = load_pixels("resize_" + name.substr(0, name.find('_')) + "_from");
  EXPECT_EQ(largest_difference(resize_lanczos(from, expected.width, expected.height), expected), 0);
}
INSTANTIATE_TEST_SUITE_P(Sizes, PillowResize,
                         Values("L_16x16", "L_50x29", "RGB_16x11", "RGB_61x43", "RGB_61x20", "RGB_33x8",
                                "RGB_33x21", "RGB_20x50", "RGB_37x8", "RGB_1x1", "RGBA_20x15", "RGBA_55x31",
                                "RGBA_37x29"));

TEST(Resize, RefusesImpossibleSizes) {
  const Image image = gradient(8, 8, 3);
  for (const auto& [width, height] : {std::pair{0, 8}, {8, -1}, {65'536, 8}, {65'535, 65'535}})
    EXPECT_EQ(error_of([&] { resize_lanczos(image, width, height); }).code(), ErrorCode::InvalidArgument);
}

TEST(Resize, KeepsFlatColors) {
  const Image flat{30, 20, 3, std::vector<uint8_t>(30 * 20 * 3, 200)};
  const Image resized = resize_lanczos(flat, 77, 5);
  EXPECT_TRUE(
      std::all_of(resized.pixels.begin(), resized.pixels.end(), [](uint8_t value) { return value == 200; }));
}

}  // namespace
}  // namespace limn
