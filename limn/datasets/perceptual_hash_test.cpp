// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/perceptual_hash.h"

#include <bit>

#include "limn/datasets/datasets_testing.h"

namespace limn::datasets {
namespace {

TEST(PerceptualHash, EqualsScipysAndPillows) {
  const json::object expected = read_json_object(kFolder / "phash.json");
  for (const auto& [name, hash] : expected)
    EXPECT_EQ(hash_text(perceptual_hash(read_image(kPictures / std::string(name)))), hash.as_string())
        << name;
}

TEST(PerceptualHash, ChangesLittleWithThePicture) {
  Image image = read_image(kPictures / "color.jpg");
  const uint64_t before = perceptual_hash(image);
  const Image smaller = resize_lanczos(image, image.width * 3 / 4, image.height * 3 / 4);
  EXPECT_LE(std::popcount(before ^ perceptual_hash(smaller)), 6);
  EXPECT_GT(std::popcount(before ^ perceptual_hash(read_image(kPictures / "rgb.png"))), 6);
}

TEST(NearDuplicates, FindsAllWithinTheDistanceAndNoOther) {
  std::vector<uint64_t> hashes;
  uint64_t x = 88172645463325252;
  for (int i = 0; i < 300; ++i) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;  // xorshift, Marsaglia 2003
    hashes.push_back(x);
    if (i % 3 == 0) hashes.push_back(x ^ (uint64_t{1} << (i % 64)) ^ (uint64_t{1} << (i * 7 % 64)));
  }
  for (const int distance : {0, 2, 4, 9}) {
    const auto found = near_duplicates(hashes, distance);
    for (size_t i = 0; i < hashes.size(); ++i) {
      int64_t expected = -1;
      for (size_t j = 0; j < i && expected < 0; ++j)
        if (found[j] < 0 && std::popcount(hashes[i] ^ hashes[j]) <= distance)
          expected = static_cast<int64_t>(j);
      EXPECT_EQ(found[i] >= 0, expected >= 0) << i << " at " << distance;
    }
  }
}

}  // namespace
}  // namespace limn::datasets
