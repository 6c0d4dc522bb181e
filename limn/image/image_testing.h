// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <zlib.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/image/codec.h"

namespace limn::testing {

inline std::filesystem::path testdata(const std::string& name) {
  return std::filesystem::path(LIMN_SOURCE_DIR) / "limn/image/testdata" / name;
}

inline std::string load(const std::string& name) { return read_file(testdata(name), 1 << 20); }

/// The picture in NAME.pixels, as tools/goldens/images.py packs it.
inline Image load_pixels(const std::string& name) {
  const std::string packed = load(name + ".pixels");
  std::string raw(1 << 20, '\0');
  uLongf size = raw.size();
  const auto* source = reinterpret_cast<const Bytef*>(packed.data());
  EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(raw.data()), &size, source, packed.size()), Z_OK) << name;
  Image image;
  EXPECT_EQ(std::sscanf(raw.c_str(), "%d %d %d", &image.width, &image.height, &image.channels), 3) << name;
  const size_t start = raw.find('\n') + 1;
  image.pixels.assign(raw.begin() + start, raw.begin() + size);
  return image;
}

/// A picture with every value of a byte in it.
inline Image gradient(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (size_t i = 0; i < size_t(width) * height * channels; ++i)
    image.pixels.push_back(static_cast<uint8_t>(i * 7 + i / 64));
  return image;
}

/// The error that `call` ends in; Internal, with an empty message, when it does not.
inline Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::Internal, "", "");
}

inline Image decode(const std::string& file, int64_t most_pixels = kMaxPixels) {
  return decode_image(as_byte_span(file), "test", most_pixels);
}
inline std::vector<TextEntry> texts_of(const std::string& file) {
  return image_texts(as_byte_span(file), "test");
}

}  // namespace limn::testing
