// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/pickle.h"
#include "limn/weights/testing.h"

namespace limn::weights {
namespace {

using namespace testing;
namespace fs = std::filesystem;

const std::string kOne = safetensors_file(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "1");
const std::string kTwo = safetensors_file(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "2");

struct Other {
  std::string name, content, what;
  ErrorCode code = ErrorCode::Unsupported;
};
std::ostream& operator<<(std::ostream& out, const Other& other) { return out << other.name; }
class OtherFormat : public ::testing::TestWithParam<Other> {};

TEST_P(OtherFormat, IsRefusedByItsName) {
  const TemporaryFolder folder;
  for (const std::string ending : {".safetensors", ".ckpt", ""}) {
    const fs::path path = folder.write("model" + ending, GetParam().content);
    const Error error = error_of([&] { open_tensor_file(path); });
    EXPECT_EQ(error.code(), GetParam().code) << error.what();
    EXPECT_EQ(error.where(), path.string());
    EXPECT_THAT(error.problem(), HasSubstr(GetParam().what));
    EXPECT_NE(error.hint(), "");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Open, OtherFormat,
    ::testing::Values(
        Other{"GitLfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
              "a Git LFS pointer, not the file", ErrorCode::BadFile},
        Other{"WebPage", "<!DOCTYPE html><html><head>", "a web page, not the file", ErrorCode::BadFile},
        Other{"Gguf", "GGUF\3\0\0\0\x7b\0\0\0\0\0\0\0"s, "a GGUF file"},
        Other{"Hdf5", "\x89HDF\r\n\x1a\n\0\0\0"s, "an HDF5 file"},
        Other{"Onnx", "\x08\x07\x12\x07pytorch\x1a\x05"s, "an ONNX file"},
        Other{"TensorFlowLite", "\x1c\0\0\0TFL3"s, "a TensorFlow Lite file"},
        Other{"Gzip", "\x1f\x8b\x08\0\0\0\0\0"s, "a gzip file"},
        Other{"Tar", std::string(257, 'a') + "ustar\0"s + std::string(300, 'b'), "a tar archive"},
        Other{"Zstandard", "\x28\xb5\x2f\xfd____", "a Zstandard file"},
        Other{"NumPy", "\x93NUMPY\1\0"s, "a NumPy array file"}),
    [](const auto& info) { return info.param.name; });

TEST(OpenTensorFile, GoesByContentAndNotByName) {
  const TemporaryFolder folder;
  EXPECT_EQ(open_tensor_file(folder.write("odd.ckpt", kOne)).format, "safetensors");
  const std::string pickle = torch_file("\x80\x02}.");
  EXPECT_EQ(open_tensor_file(folder.write("odd.safetensors", pickle)).format, "pickle (zip)");
  EXPECT_EQ(open_tensor_file(folder.write("odd", kOne)).files, std::vector<fs::path>{folder.path() / "odd"});
}

TEST(OpenTensorFile, DoesNotTakeAHeaderLengthForAnotherFormat) {
  const TemporaryFolder folder;
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  header.resize(0x8b1f, ' ');  // the first two bytes are gzip's
  EXPECT_TRUE(open_tensor_file(folder.write("x", safetensors_file(header, "1"))).has("a"));
}

TEST(OpenTensorFile, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const auto code = [&](const std::string& name, const std::string& content) {
    const Error error = error_of([&] { open_tensor_file(folder.write(name, content)); });
    EXPECT_THAT(error.where(), HasSubstr(name));
    return error.code();
  };
  EXPECT_EQ(code("empty.safetensors", ""), ErrorCode::BadFile);
  EXPECT_EQ(code("short.safetensors", "abc"), ErrorCode::BadFile);
  EXPECT_EQ(code("huge.safetensors", le(uint64_t{1} << 63) + "{}"), ErrorCode::BadFile);
  EXPECT_EQ(code("text.txt", "hello"), ErrorCode::Unsupported);
  EXPECT_EQ(code("other.json", "{}"), ErrorCode::BadFile);
  EXPECT_EQ(code("evil.ckpt", "cos\nsystem\n(S'echo'\ntR."), ErrorCode::Refused);
  EXPECT_EQ(code("evil2.ckpt", "\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93."s),
            ErrorCode::Refused);
  EXPECT_EQ(error_of([&] { open_tensor_file(folder.path() / "none"); }).code(), ErrorCode::NotFound);
  EXPECT_EQ(error_of([&] { open_tensor_file(folder.path()); }).code(), ErrorCode::BadFile);
}

/// A folder with two shards and an index that says `map`.
struct Sharded : TemporaryFolder {
  explicit Sharded(const std::string& map) {
    write("one.safetensors", kOne);
    write("two.safetensors", kTwo);
    write("model.safetensors.index.json", R"({"metadata":{"total_size":2},"weight_map":)" + map + "}");
  }
  Index open() const { return open_tensor_file(path() / "model.safetensors.index.json"); }
  Error error() const {
    return error_of([&] { open(); });
  }
};

TEST(ShardedFile, IsOneIndexOfAllShards) {
  const Sharded folder(R"({"a":"one.safetensors","b":"two.safetensors"})");
  const Index index = folder.open();
  EXPECT_TRUE(index.has("a") && index.has("b"));
  EXPECT_EQ(index.files.size(), 2u);
  EXPECT_EQ(index.format, "safetensors");
  EXPECT_EQ(index.metadata.at("total_size"), "2");
}

TEST(ShardedFile, ListsTensorsThatDiffer) {
  const Error missing =
      Sharded(R"({"a":"one.safetensors","x":"one.safetensors","b":"two.safetensors"})").error();
  EXPECT_EQ(missing.code(), ErrorCode::BadFile);
  EXPECT_THAT(missing.what(), HasSubstr("one.safetensors', found differences: 'x' is missing"));
  const Error swapped = Sharded(R"({"b":"one.safetensors","a":"two.safetensors"})").error();
  EXPECT_THAT(swapped.what(), HasSubstr("'b' is missing, 'a' is not listed"));
}

TEST(ShardedFile, RefusesNamesThatLeadElsewhere) {
  for (const std::string name :
       {"../one.safetensors", "/etc/passwd", "sub/one.safetensors", "..", ".", "", "a\\\\b", "x\\u0000"}) {
    const Error error = Sharded(R"({"a":")" + name + "\"}").error();
    EXPECT_EQ(error.code(), ErrorCode::Refused) << name;
    EXPECT_THAT(error.what(), HasSubstr("expected shards to be names of files in the same folder")) << name;
  }
}

TEST(ShardedFile, RefusesLinksOutOfTheFolder) {
  const TemporaryFolder outside;
  outside.write("secret.safetensors", kOne);
  const Sharded folder(R"({"a":"link.safetensors","b":"two.safetensors"})");
  fs::create_symlink(outside.path() / "secret.safetensors", folder.path() / "link.safetensors");
  EXPECT_EQ(folder.error().code(), ErrorCode::Refused);
  EXPECT_THAT(folder.error().what(), HasSubstr("'link.safetensors' is a link that leads out of the folder"));

  fs::remove(folder.path() / "link.safetensors");
  fs::create_symlink("one.safetensors", folder.path() / "link.safetensors");
  EXPECT_TRUE(folder.open().has("a"));
}

TEST(ShardedFile, FollowsTheLinksOfTheHuggingFaceCache) {
  const TemporaryFolder cache;
  cache.write("blobs/abc", kOne);
  const fs::path index =
      cache.write("snapshots/1/unet/model.safetensors.index.json", R"({"weight_map":{"a":"m.safetensors"}})");
  fs::create_symlink("../../../blobs/abc", index.parent_path() / "m.safetensors");
  EXPECT_TRUE(open_tensor_file(index).has("a"));
}

TEST(ShardedFile, SaysWhatIsWrongWithTheIndex) {
  EXPECT_EQ(Sharded("[]").error().code(), ErrorCode::BadFile);
  EXPECT_EQ(Sharded("{}").error().code(), ErrorCode::BadFile);
  EXPECT_EQ(Sharded(R"({"a":1})").error().code(), ErrorCode::BadFile);
  EXPECT_EQ(Sharded(R"({"a":"none.safetensors"})").error().code(), ErrorCode::NotFound);
  EXPECT_EQ(Sharded(R"({"a":"model.safetensors.index.json"})").error().code(), ErrorCode::BadFile);
  EXPECT_THAT(Sharded(R"({"a":"one.safetensors","a":"two.safetensors"})").error().what(),
              HasSubstr("'a' stands twice"));
}

TEST(ComponentFolder, PrefersPlainSafetensorsThenPicklesThenVariants) {
  const TemporaryFolder folder;
  const auto opened = [&] { return open_component_folder(folder.path()).files.front().filename().string(); };
  folder.write("model.ema.safetensors", kOne);
  EXPECT_EQ(opened(), "model.ema.safetensors");
  folder.write("model.fp16.safetensors", kOne);
  EXPECT_EQ(opened(), "model.fp16.safetensors");
  folder.write("pytorch_model.bin", torch_file("\x80\x02}."));
  EXPECT_EQ(opened(), "pytorch_model.bin");
  folder.write("model.safetensors.index.json", R"({"weight_map":{"a":"shard-1"}})");
  folder.write("shard-1", kOne);
  EXPECT_EQ(opened(), "shard-1");
  folder.write("diffusion_pytorch_model.safetensors", kOne);
  EXPECT_EQ(opened(), "diffusion_pytorch_model.safetensors");
}

TEST(ComponentFolder, TakesShardedVariantsAndNoShardForAVariant) {
  const TemporaryFolder folder;
  folder.write("model.fp16-00001-of-00001.safetensors", kOne);
  EXPECT_EQ(error_of([&] { open_component_folder(folder.path()); }).code(), ErrorCode::NotFound);
  folder.write("model.safetensors.index.fp16.json",
               R"({"weight_map":{"a":"model.fp16-00001-of-00001.safetensors"}})");
  EXPECT_TRUE(open_component_folder(folder.path()).has("a"));
}

TEST(ComponentFolder, SaysWhatItFoundInstead) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { open_component_folder(folder.path()); }).what(),
              HasSubstr("found an empty folder"));
  folder.write("flax_model.msgpack", "x");
  const Error error = error_of([&] { open_component_folder(folder.path()); });
  EXPECT_EQ(error.code(), ErrorCode::NotFound);
  EXPECT_THAT(error.what(), HasSubstr("found flax_model.msgpack"));
  EXPECT_EQ(error_of([&] { open_component_folder(folder.path() / "none"); }).code(), ErrorCode::NotFound);
}

}  // namespace
}  // namespace limn::weights
