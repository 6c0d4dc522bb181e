// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/safetensors.h"

#include "limn/weights/testing.h"

namespace limn::weights {
namespace {

using namespace testing;

Index parse(const std::string& file) { return parse_safetensors(bytes_of(file), nullptr, "f.safetensors"); }

struct Bad {
  std::string name, header, data;
  std::string where, what;
  ErrorCode code = ErrorCode::BadFile;
};

std::ostream& operator<<(std::ostream& out, const Bad& bad) { return out << bad.name; }

class BadSafetensors : public ::testing::TestWithParam<Bad> {};

TEST_P(BadSafetensors, IsRefusedByNameAndReason) {
  const Bad& bad = GetParam();
  const Error error = error_of([&] { parse(safetensors_file(bad.header, bad.data)); });
  EXPECT_EQ(error.code(), bad.code) << error.what();
  EXPECT_THAT(error.where(), HasSubstr("f.safetensors"));
  EXPECT_THAT(error.where(), HasSubstr(bad.where));
  EXPECT_THAT(error.problem(), HasSubstr(bad.what));
}

const std::string kEight(8, 'x');

INSTANTIATE_TEST_SUITE_P(
    Safetensors, BadSafetensors,
    ::testing::Values(
        Bad{"NotJson", "{\"a\":", "", "header @5", "not valid JSON"},
        Bad{"NotAnObject", "[1]", "", "@8", "expected the header to start with '{', found '['"},
        Bad{"TwoValues", "{} {}", "", "header @3", "text after the value"},
        Bad{"DuplicateKey", R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}})", "", "header",
            "'a' stands twice"},
        Bad{"DuplicateField", R"({"a":{"dtype":"U8","dtype":"F32","shape":[0],"data_offsets":[0,0]}})", "",
            "header", "'dtype' stands twice"},
        Bad{"DeepNesting", "{\"a\":" + std::string(100000, '[') + "}", "", "header", "not valid JSON"},
        Bad{"EntryIsNoObject", R"({"a":[1]})", "", "'a'", "expected an object, found '[1]'"},
        Bad{"NoType", R"({"a":{"shape":[0],"data_offsets":[0,0]}})", "", "'a'", "has no 'dtype'"},
        Bad{"TypeIsNoText", R"({"a":{"dtype":3,"shape":[0],"data_offsets":[0,0]}})", "", "'a'",
            "'dtype' to be text"},
        Bad{"UnknownType", R"({"layer.w":{"dtype":"F4","shape":[0],"data_offsets":[0,0]}})", "", "'layer.w'",
            "no element type 'F4'", ErrorCode::Unsupported},
        Bad{"NegativeShape", R"({"a":{"dtype":"U8","shape":[-8],"data_offsets":[0,8]}})", kEight, "'a'",
            "found '[-8]'"},
        Bad{"FractionalShape", R"({"a":{"dtype":"U8","shape":[7.5],"data_offsets":[0,8]}})", kEight, "'a'",
            "'shape'"},
        Bad{"TextShape", R"({"a":{"dtype":"U8","shape":["8"],"data_offsets":[0,8]}})", kEight, "'a'",
            "'shape'"},
        Bad{"HugeShape", R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,8]}})",
            kEight, "'a'", "'shape'"},
        Bad{"OverflowingShape",
            R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", kEight, "'a'",
            "is too large"},
        Bad{"OverflowHiddenByZero",
            R"({"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]}})", "", "'a'",
            "is too large"},
        Bad{"TooManyDimensions",
            R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "x",
            "'a'", "at most 16"},
        Bad{"WrongLength", R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", kEight, "'a'",
            "shape [3] of F32 takes 12 bytes, data_offsets give 8"},
        Bad{"OffsetsBackwards", R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[8,0]}})", kEight, "'a'",
            "found [8, 0]"},
        Bad{"OffsetsBeyondTheFile", R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", kEight, "'a'",
            "inside the 8 bytes of data, found [0, 9]"},
        Bad{"ThreeOffsets", R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,4,8]}})", kEight, "'a'",
            "found [0, 4, 8]"},
        Bad{"NegativeOffset", R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[-8,0]}})", kEight, "'a'",
            "'data_offsets'"},
        Bad{"Overlap",
            R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
            kEight, "'b'", "overlaps another tensor"},
        Bad{"Gap",
            R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
            kEight, "'b'", "belong to no tensor"},
        Bad{"DataAfterTheLastTensor", R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", kEight, "",
            "take 4 bytes of data, the file has 8"},
        Bad{"MetadataIsNoObject", R"({"__metadata__":"x"})", "", "'__metadata__'", "expected an object"},
        Bad{"MetadataIsNoText", R"({"__metadata__":{"step":5}})", "", "'__metadata__'",
            "expected 'step' to be text"},
        Bad{"ControlBytesInTheKey", "{\"\\u001b[2J\":1}", "", "'\\x1b[2J'", "expected an object"}),
    [](const auto& info) { return info.param.name; });

TEST(Safetensors, HeaderLengthMustFitTheFile) {
  const Error longer = error_of([] { parse(le<uint64_t>(50) + "{}"); });
  EXPECT_STREQ(longer.what(), "f.safetensors @8: expected 50 more bytes, found 2");
  const Error absurd = error_of([] { parse(le(uint64_t{1} << 63) + "{}"); });
  EXPECT_STREQ(absurd.what(),
               "f.safetensors @0: a header of 9223372036854775808 bytes, the limit is 100000000");
  const Error tiny = error_of([] { parse("abc"); });
  EXPECT_STREQ(tiny.what(), "f.safetensors @0: expected 8 more bytes, found 3");
}

TEST(Safetensors, TakesPaddingEmptyTensorsScalarsAndAnyOrder) {
  const std::string header = R"({"b":{"dtype":"I16","shape":[],"data_offsets":[4,6]},)"
                             R"("none":{"dtype":"F64","shape":[3,0],"data_offsets":[4,4]},)"
                             R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   )";
  const std::string file = safetensors_file(header, le(0.5f) + le<int16_t>(-7));
  const Index index = parse(file);
  EXPECT_EQ(index.tensors.size(), 3u);
  EXPECT_EQ(index.tensors.at("b").elements(), 1);
  EXPECT_EQ(index.tensors.at("none").elements(), 0);
  int16_t value = 0;
  std::memcpy(&value, index.tensors.at("b").bytes.data(), 2);
  EXPECT_EQ(value, -7);
  EXPECT_TRUE(parse(safetensors_file("{}", "")).tensors.empty());
}

TEST(Index, AnswersQuestionsAboutKeys) {
  const std::string header = R"({"unet.conv":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]}})";
  const std::string file = safetensors_file(header, "xy");
  const Index index = parse(file);
  EXPECT_TRUE(index.has("unet.conv"));
  EXPECT_TRUE(index.has_prefix("unet."));
  EXPECT_FALSE(index.has_prefix("vae."));
  EXPECT_FALSE(index.has_prefix("unet.conv.x"));
  EXPECT_EQ(index.shape_of("unet.conv"), (std::vector<int64_t>{2, 1}));
  EXPECT_TRUE(index.shape_of("vae").empty());
  EXPECT_EQ(index.find("vae"), nullptr);
}

TEST(WriteSafetensors, AlignsTheDataAndIsDeterministic) {
  const TemporaryFolder folder;
  const std::string data = le(1.0f) + le(2.0f);
  const std::map<std::string, TensorEntry> tensors = {{"x", {DType::F32, {2}, {}, bytes_of(data), nullptr}}};
  for (const char* name : {"one", "two"}) write_safetensors(folder.path() / name, tensors, {{"by", "test"}});
  const std::string one = read_file(folder.path() / "one", 4096);
  EXPECT_EQ(one, read_file(folder.path() / "two", 4096));
  uint64_t length = 0;
  std::memcpy(&length, one.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(one.substr(8 + length), data);
}

TEST(WriteSafetensors, MakesStridedTensorsDense) {
  const TemporaryFolder folder;
  const std::string data = "abcdef";  // 2×3, read as its 3×2 transpose
  write_safetensors(folder.path() / "t", {{"t", {DType::U8, {3, 2}, {1, 3}, bytes_of(data), nullptr}}});
  EXPECT_TRUE(read_file(folder.path() / "t", 4096).ends_with("adbecf"));
}

TEST(WriteSafetensors, StreamsTensorsLargerThanItsBuffer) {
  const TemporaryFolder folder;
  constexpr int64_t kSide = 1100;
  std::string data(kSide * kSide, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 % 251);
  write_safetensors(folder.path() / "t",
                    {{"t", {DType::U8, {kSide, kSide}, {1, kSide}, bytes_of(data), nullptr}}});
  const Index index = open_tensor_file(folder.path() / "t");
  const auto written = index.tensors.at("t").bytes;
  for (int64_t row = 0; row < kSide; ++row)
    for (int64_t column = 0; column < kSide; ++column)
      ASSERT_EQ(static_cast<char>(written[row * kSide + column]), data[column * kSide + row]);
}

TEST(WriteSafetensors, RefusesNamesTheFormatCannotHold) {
  const TemporaryFolder folder;
  const TensorEntry entry{DType::U8, {0}, {}, {}, nullptr};
  for (const std::string key : {"__metadata__", "\xff"}) {
    const Error error = error_of([&] { write_safetensors(folder.path() / "t", {{key, entry}}); });
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
  }
  EXPECT_EQ(error_of([&] {
              write_safetensors(folder.path() / "t", {}, {{"k", "\xc0"}});
            }).code(),
            ErrorCode::InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "t"));
}

TEST(WriteSafetensors, RefusesEntriesThatLeaveTheirBytes) {
  const TemporaryFolder folder;
  const TensorEntry entry{DType::F32, {2, 2}, {2, 1}, bytes_of("0123456789ab"), nullptr};
  EXPECT_EQ(error_of([&] {
              write_safetensors(folder.path() / "t", {{"t", entry}});
            }).code(),
            ErrorCode::Internal);
}

}  // namespace
}  // namespace limn::weights
