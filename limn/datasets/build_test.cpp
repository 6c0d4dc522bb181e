// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/dataset.h"
#include "limn/datasets/datasets_testing.h"
#include "limn/datasets/fit.h"
#include "limn/datasets/sources.h"
#include "limn/text/clip_tokenizer.h"

namespace limn::datasets {
namespace {

using BuildShards = DataSet;

TEST_F(BuildShards, BuildsShardsThatHoldTheExamples) {
  for (int i = 0; i < 6; ++i) {
    write(in / (std::to_string(i) + ".png"), picture(i, i % 2 ? 32 : 64, 32));
    write(in / (std::to_string(i) + ".txt"), "picture number " + std::to_string(i));
  }
  add();
  build({.resolution = 32, .buckets = 3, .near_duplicates = -1});
  const Dataset data = Dataset::open(set, "train");
  ASSERT_EQ(data.size(), 6);
  EXPECT_EQ(Dataset::open(set, "validation").size(), 0);
  EXPECT_EQ(data.buckets().size(), 2u);
  const auto tokenizer = text::CLIPTokenizer::built_in();
  const auto manifest = rows();
  for (int64_t i = 0; i < data.size(); ++i) {
    const Example example = data.at(i);
    const Row& row = manifest[static_cast<size_t>(example.row)];
    EXPECT_EQ(example.caption, row.caption);
    EXPECT_EQ(std::vector<int64_t>(example.input_ids.begin(), example.input_ids.end()),
              tokenizer.encode(row.caption));
    EXPECT_EQ(example.pixels.size(), static_cast<size_t>(example.width * example.height * 3));
    if (row.width == 32) {  // squares stay as they are
      const Image original = read_image(set / row.file);
      EXPECT_TRUE(std::ranges::equal(example.pixels, original.pixels));
    }
  }
  EXPECT_TRUE(check_data_set(set, [](const Progress&) {}).empty());
}

TEST_F(BuildShards, BuildsTheSameBytesTwiceAndNoticesChanges) {
  for (int i = 0; i < 4; ++i) write(in / (std::to_string(i) + ".png"), picture(i));
  add();
  build();
  const auto shard = set / "shards" / "train-32x32-00000.safetensors";
  const std::string before = sha256_of_file(shard);
  build();
  EXPECT_EQ(sha256_of_file(shard), before);

  auto changed = rows();
  write(set / changed[0].file, "other bytes");
  const auto problems = check_data_set(set, [](const Progress&) {});
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_THAT(problems[0],
              testing::AllOf(HasSubstr("manifest.jsonl:1"), HasSubstr("expected " + changed[0].sha256)));
  build();
  EXPECT_THAT(*rows()[0].excluded, HasSubstr("broken"));
}

TEST_F(BuildShards, DoesNotBuildTwiceWhatFits) {
  for (int i = 0; i < 4; ++i) write(in / (std::to_string(i) + ".png"), picture(i));
  add();
  BuildOptions options{.resolution = 32, .near_duplicates = -1};
  build(options);
  const auto shard = set / "shards" / "train-32x32-00000.safetensors";
  const auto before = fs::last_write_time(shard);
  build(options);
  EXPECT_EQ(fs::last_write_time(shard), before);
  options.resolution = 16;
  build(options);
  EXPECT_FALSE(fs::exists(shard));
}

TEST_F(BuildShards, LeavesOutSmallAndNarrowPicturesUntilOptionsChange) {
  write(in / "a.png", picture(1, 64, 64));
  write(in / "b.png", picture(2, 64, 30));
  write(in / "c.png", picture(3, 300, 33));
  add();
  build({.resolution = 32, .near_duplicates = -1, .min_side = 32});
  EXPECT_EQ(Dataset::open(set, "train").size(), 1);
  EXPECT_EQ(rows()[1].excluded, "small: 64 × 30 pixels");
  EXPECT_EQ(rows()[2].excluded, "narrow: 300 × 33 pixels");
  build({.resolution = 32, .near_duplicates = -1});
  EXPECT_EQ(Dataset::open(set, "train").size(), 2);
}

TEST_F(BuildShards, FindsRowsInShards) {
  for (int i = 0; i < 5; ++i) write(in / (std::to_string(i) + ".png"), picture(i, i % 2 ? 32 : 64, 32));
  add();
  build({.resolution = 32, .buckets = 3, .near_duplicates = -1});
  const Dataset data = Dataset::open(set, "train");
  for (int64_t row = 0; row < 5; ++row) {
    const auto place = data.find(row);
    ASSERT_TRUE(place) << row;
    EXPECT_THAT(place->shard.filename().string(), HasSubstr(row % 2 ? "train-32x32" : "train-48x24"));
    EXPECT_EQ(place->index, row / 2);
  }
  EXPECT_FALSE(data.find(5));
}

TEST_F(BuildShards, NoticesOneChangedPixel) {
  write(in / "a.png", picture(1));
  add();
  build();
  const auto shard = set / "shards" / "train-32x32-00000.safetensors";
  std::string bytes = read_file(shard, 1 << 24);
  bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 1);
  write(shard, bytes);
  EXPECT_THAT(check_data_set(set, [](const Progress&) {}),
              testing::ElementsAre(HasSubstr("train-32x32-00000.safetensors: sha256: expected")));
}

TEST(BucketSizes, HoldTheSquareAndAboutAsManyPixels) {
  for (const int resolution : {64, 128, 512, 1024})
    for (const int buckets : {1, 2, 7, 9}) {
      const auto sizes = bucket_sizes(resolution, buckets);
      EXPECT_THAT(sizes, testing::Contains(Size{resolution, resolution}));
      EXPECT_EQ(sizes.size() == 1, buckets == 1);
      for (const Size& size : sizes) {
        const int step = resolution >= 512 ? 64 : 8;
        EXPECT_EQ(size.width % step + size.height % step, 0);
        EXPECT_NEAR(size.width * size.height, resolution * resolution, resolution * resolution * 0.15);
        EXPECT_THAT(sizes, testing::Contains(Size{size.height, size.width}));
      }
    }
}

TEST_F(BuildShards, KeepsOneOfNearDuplicates) {
  const Image image = read_image(kPictures / "color.jpg");
  write(in / "a.png", encode_image(image, "png", {}));
  Image twin = image;
  for (size_t i = 0; i < twin.pixels.size(); i += 97)
    twin.pixels[i] = static_cast<uint8_t>(twin.pixels[i] ^ 1);
  write(in / "b.png", encode_image(twin, "png", {}));
  write(in / "c.png", picture(5));
  add();
  build({.resolution = 32, .near_duplicates = 4});
  EXPECT_EQ(Dataset::open(set, "train").size(), 2);
  build({.resolution = 32, .near_duplicates = -1});
  EXPECT_EQ(Dataset::open(set, "train").size(), 3);
}

TEST_F(BuildShards, PutsTransparencyOnWhiteAndPads) {
  const Image clear{8, 4, 4, std::vector<uint8_t>(8 * 4 * 4, 0)};
  write(in / "a.png", encode_image(clear, "png", {}));
  add();
  build({.resolution = 16, .near_duplicates = -1, .pad = true});
  const Dataset data = Dataset::open(set, "train");
  for (const uint8_t value : data.at(0).pixels) ASSERT_EQ(value, 255);
}

TEST_F(BuildShards, SaysWhatIsMissingOrDamaged) {
  EXPECT_THROW(Dataset::open(set, "train"), Error);
  EXPECT_THROW(build(), Error);
  write(in / "a.png", picture(1));
  add();
  build();
  const auto shard = set / "shards" / "train-32x32-00000.safetensors";
  write(shard, read_file(shard, 1 << 24).substr(0, 2000));
  EXPECT_THROW(Dataset::open(set, "train"), Error);
  EXPECT_THROW(for_each_item(
                   in / "nothing", [](const Item&) {}, [](const auto&, const auto&) {}),
               Error);
}

}  // namespace
}  // namespace limn::datasets
