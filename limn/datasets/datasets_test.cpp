// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/build.h"
#include "limn/datasets/dataset.h"
#include "limn/datasets/perceptual_hash.h"
#include "limn/datasets/sources.h"
#include "limn/image/image.h"
#include "limn/text/clip_tokenizer.h"

namespace limn::datasets {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kFolder = fs::path(LIMN_SOURCE_DIR) / "limn" / "datasets" / "testdata";
const fs::path kPictures = fs::path(LIMN_SOURCE_DIR) / "limn" / "image" / "testdata";

void write(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// A picture of one colour with a lighter square somewhere.
std::string picture(int seed, int width = 40, int height = 32, std::span<const TextEntry> texts = {}) {
  Image image{width, height, 3,
              std::vector<uint8_t>(static_cast<size_t>(width * height * 3), static_cast<uint8_t>(seed * 37))};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      if ((x * 3 + y * 5 + seed * 11) % (7 + seed) < 4)
        image.pixels[static_cast<size_t>((y * width + x) * 3 + seed % 3)] =
            static_cast<uint8_t>(255 - seed * 9);
  return encode_image(image, "png", texts);
}

class Folder : public testing::Test {
 protected:
  fs::path root = fs::temp_directory_path() / ("limn_datasets_" + std::to_string(::getpid()));
  fs::path set = root / "set", in = root / "in";
  AddOptions options{.licence = "CC0-1.0", .attribution = "somebody", .split = "train"};
  void SetUp() override { fs::create_directories(in); }
  void TearDown() override { fs::remove_all(root); }
  AddResult add(std::vector<fs::path> sources = {}) {
    if (sources.empty()) sources = {in};
    return add_pictures(set, sources, options, [](const Progress&) {});
  }
  std::vector<Row> rows() { return read_manifest(set / "manifest.jsonl"); }
  json::object build(BuildOptions build = {.resolution = 32, .near_duplicates = -1, .force = true}) {
    return build_shards(set, build, [](const Progress&) {});
  }
};

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

TEST(Tar, ReadsWhatPythonWrites) {
  for (const char* kind : {"ustar", "gnu", "pax"}) {
    const auto file = MappedFile::open(kFolder / (std::string(kind) + ".tar"));
    const auto members = read_tar(file->bytes(), kind);
    ASSERT_EQ(members.size(), std::string(kind) == "ustar" ? 3u : 4u) << kind;
    EXPECT_EQ(members[0].name, "folder/first.png");
    EXPECT_EQ(members[0].bytes.size(), 7u);
    EXPECT_EQ(members.back().name, "third.empty");
    if (members.size() == 4) EXPECT_THAT(members[2].name, HasSubstr("long name beyond what ustar holds"));
  }
}

TEST(Tar, RefusesDamageAtEveryByteOrReadsIt) {
  const std::string whole = read_file(kFolder / "pax.tar", 1 << 20);
  for (size_t length = 1; length < 4096; length += 37) {
    const std::string cut = whole.substr(0, length);
    try {
      read_tar(std::as_bytes(std::span(cut)), "cut.tar");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
    }
  }
  for (size_t at = 0; at < 3000; at += 7) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x5a);
    try {
      read_tar(std::as_bytes(std::span(changed)), "changed.tar");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadFile);
    }
  }
}

TEST_F(Folder, TakesCaptionsFromWhereTheyAre) {
  write(in / "a.png", picture(1));
  write(in / "a.txt", "  a cat\n on   a mat ");
  write(in / "b.png", picture(2));
  write(in / "b.json",
        R"({"caption": "a dog", "licence": "MIT", "attribution": "Ann", "people": "none", "source": "box"})");
  const std::vector<TextEntry> texts{{"parameters", "a bird\nSteps: 20, Sampler: Euler a, Seed: 1"}};
  write(in / "c.png", picture(3, 40, 32, texts));
  write(in / "d.png", picture(4));
  EXPECT_EQ(add().added, 4);
  const auto found = rows();
  EXPECT_EQ(found[0].caption, "a cat on a mat");
  EXPECT_EQ(found[0].caption_origin, "file");
  EXPECT_EQ(found[0].licence, "CC0-1.0");
  EXPECT_EQ(found[1].caption, "a dog");
  EXPECT_EQ(found[1].licence, "MIT");
  EXPECT_EQ(found[1].people, "none");
  EXPECT_EQ(found[2].caption, "a bird");
  EXPECT_EQ(found[2].caption_origin, "metadata");
  EXPECT_EQ(found[3].caption_origin, "none");
  EXPECT_TRUE(fs::exists(set / found[3].file));
}

TEST_F(Folder, RefusesPicturesWithoutALicence) {
  write(in / "a.png", picture(1));
  options.licence = "";
  try {
    add();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("a.png"), HasSubstr("--allow-unlicensed")));
  }
  options.allow_unlicensed = true;
  EXPECT_EQ(add().added, 1);
  EXPECT_EQ(rows()[0].licence, "unknown");
}

TEST_F(Folder, KeepsOutWhatOptsOut) {
  const std::vector<TextEntry> noai{{"robots", "noai, noimageai"}};
  const std::vector<TextEntry> tdm{{"XML:com.adobe.xmp", "<x tdm:reservation=\"1\"/>"}};
  const std::vector<TextEntry> plus{
      {"XML:com.adobe.xmp", "<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"}};
  const std::vector<TextEntry> c2pa{
      {"box", "cawg.training-mining ... cawg.ai_generative_training use notAllowed"}};
  write(in / "noai.png", picture(1, 40, 32, noai));
  write(in / "tdm.png", picture(2, 40, 32, tdm));
  write(in / "plus.png", picture(3, 40, 32, plus));
  write(in / "c2pa.png", picture(4, 40, 32, c2pa));
  write(in / "aipref.png", picture(5));
  write(in / "aipref.json", R"({"content-usage": "train-ai=n"})");
  write(in / "reserved" / "x.png", picture(6));
  write(in / "reserved" / "tdmrep.json", R"([{"location": "/", "tdm-reservation": 1}])");
  write(in / "forbidden" / "y.png", picture(7));
  write(in / "forbidden" / "robots.txt", "User-Agent: *\nContent-Usage: train-ai=n\n");
  write(in / "free.png", picture(8));
  write(in / "free.txt", "canoaing on a lake, reservation 1");
  const AddResult result = add();
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(result.excluded, 7);
  std::map<std::string, std::string> signals;
  for (const Row& row : rows()) signals[row.name] = row.opt_out.value_or("");
  EXPECT_THAT(signals["noai"], HasSubstr("noai"));
  EXPECT_THAT(signals["tdm"], HasSubstr("TDMRep"));
  EXPECT_THAT(signals["plus"], HasSubstr("DMI-PROHIBITED-AIMLTRAINING"));
  EXPECT_THAT(signals["c2pa"], HasSubstr("cawg.training-mining"));
  EXPECT_THAT(signals["aipref"], HasSubstr("AIPREF"));
  EXPECT_THAT(signals["x"], HasSubstr("tdmrep.json"));
  EXPECT_THAT(signals["y"], HasSubstr("robots.txt"));
  EXPECT_EQ(signals["free"], "");
}

TEST_F(Folder, CountsWhatIsBrokenAndGoesOn) {
  write(in / "cut.png", picture(1).substr(0, 60));
  write(in / "text.png", "no picture at all");
  write(in / "animated.webp", read_file(kPictures / "animated.webp", 1 << 20));
  write(in / "cmyk.jpg", read_file(kPictures / "cmyk.jpg", 1 << 20));
  write(in / "good.png", picture(2));
  write(in / "twin.png", picture(2));
  write(in / "side.png", picture(3));
  write(in / "side.json", "{broken");
  write(in / "latin.png", picture(4));
  write(in / "latin.txt", "caf\xe9");
  const AddResult result = add();
  EXPECT_EQ(result.added, 3);  // cmyk, good, latin
  EXPECT_EQ(result.known, 1);
  EXPECT_EQ(result.broken, 4);
  EXPECT_THAT(result.problems, testing::Contains(HasSubstr("latin.png: its caption is not valid UTF-8")));
  EXPECT_EQ(add().added, 0) << "a second time finds nothing new";
}

TEST_F(Folder, ListsAManifestsLies) {
  write(in / "a.png", picture(1));
  write(in / "b.png", picture(2));
  write(in / "m.jsonl",
        "{\"file\": \"a.png\", \"caption\": \"x\", \"sha256\": \"" + std::string(64, '0') +
            "\"}\n{\"file\": \"gone.png\"}\nnot json\n{\"file\": \"b.png\", \"caption\": \"good\"}\n");
  const AddResult result = add({in / "m.jsonl"});
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(result.excluded, 1);
  EXPECT_EQ(result.broken, 2);
  EXPECT_THAT(result.problems, testing::ElementsAre(HasSubstr("m.jsonl:1: sha256: expected 000"),
                                                    HasSubstr("m.jsonl:2"), HasSubstr("m.jsonl:3")));
  EXPECT_EQ(rows()[1].caption, "good");
  EXPECT_EQ(rows()[1].caption_origin, "manifest");
}

TEST_F(Folder, BuildsShardsThatHoldTheExamples) {
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

TEST_F(Folder, BuildsTheSameBytesTwiceAndNoticesChanges) {
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

TEST_F(Folder, KeepsOneOfNearDuplicates) {
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

TEST_F(Folder, PutsTransparencyOnWhiteAndPads) {
  const Image clear{8, 4, 4, std::vector<uint8_t>(8 * 4 * 4, 0)};
  write(in / "a.png", encode_image(clear, "png", {}));
  add();
  build({.resolution = 16, .near_duplicates = -1, .pad = true});
  const Dataset data = Dataset::open(set, "train");
  for (const uint8_t value : data.at(0).pixels) ASSERT_EQ(value, 255);
}

TEST_F(Folder, SaysWhatIsMissingOrDamaged) {
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
