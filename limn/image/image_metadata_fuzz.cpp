// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include <zlib.h>

#include "limn/base/error.h"
#include "limn/image/codec.h"
#include "limn/image/png_texts.h"

namespace {

using limn::Bytes;

constexpr int64_t kMostPixels = 1 << 16;

template <typename Call>
void run(const Call& call) {
  try {
    call();
  } catch (const limn::Error& error) {
    if (error.code() == limn::ErrorCode::Internal) throw;
  }
}

void read(Bytes bytes) {
  run([&] { limn::image_texts(bytes, "fuzz"); });
  run([&] { limn::decode_image(bytes, "fuzz", kMostPixels); });
}

/// A PNG with the right checksums, which mutation alone would never find again.
std::vector<std::byte> with_checksums(Bytes png) {
  std::vector<std::byte> out(png.begin(), png.end());
  for (size_t at = limn::kPngSignature.size(); out.size() - at >= 12;) {
    const size_t size = limn::big_endian_32(out, at);
    if (size > out.size() - at - 12) break;
    const uLong sum = crc32_z(0, reinterpret_cast<const Bytef*>(out.data()) + at + 4, size + 4);
    for (size_t i = 0; i < 4; ++i) out[at + 8 + size + i] = static_cast<std::byte>(sum >> (24 - 8 * i));
    at += size + 12;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  read(bytes);
  if (limn::as_text(bytes).starts_with(limn::kPngSignature)) read(with_checksums(bytes));
  return 0;
}
