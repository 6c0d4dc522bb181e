// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "limn/base/json.h"
#include "limn/weights/bytes.h"
#include "limn/weights/pickle.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/tensor.h"
#include "limn/weights/testing.h"

namespace limn::weights {
namespace {

using namespace testing;
namespace fs = std::filesystem;

const fs::path kData = fs::path(LIMN_SOURCE_DIR) / "limn/weights/testdata";

const json::object& expected_files() {
  static const json::object all = read_json_object(kData / "expected.json");
  return all.at("files").as_object();
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const unsigned char byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

json::object described(const TensorEntry& entry) {
  const at::Tensor tensor = to_tensor(entry).contiguous();
  EXPECT_EQ(dtype_of(tensor.scalar_type()), entry.dtype);
  const std::string_view bytes(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  return {{"dtype", info_of(entry.dtype).long_name},
          {"shape", json::array(tensor.sizes().begin(), tensor.sizes().end())},
          {"bytes", hex(bytes)}};
}

json::object described(const Index& index) {
  json::object tensors, metadata;
  for (const auto& [key, entry] : index.tensors) tensors[key] = described(entry);
  for (const auto& [key, value] : index.metadata) metadata[key] = value;
  return {{"format", index.format}, {"metadata", metadata}, {"tensors", tensors}};
}

TEST(TensorFile, HoldsWhatTorchAndSafetensorsRead) {
  for (const auto& [name, expected] : expected_files()) {
    const Index index = open_tensor_file(kData / std::string(name));
    EXPECT_EQ(json::value(described(index)), expected) << name << to_text(described(index));
    EXPECT_EQ(index.origin, (kData / std::string(name)).string());
  }
  EXPECT_EQ(expected_files().size(), 14u);
}

TEST(TensorFile, SharesMappedBytesAndOutlivesTheIndex) {
  at::Tensor tensor;
  {
    const Index index = open_tensor_file(kData / "zip.pt");
    tensor = to_tensor(index.tensors.at("view.base"));
    EXPECT_EQ(tensor.const_data_ptr(), index.tensors.at("view.base").bytes.data());
    EXPECT_EQ(index.tensors.at("view.transposed").bytes.data(), index.tensors.at("view.base").bytes.data());
  }
  EXPECT_EQ(tensor.sizes(), (std::vector<int64_t>{4, 6}));
  EXPECT_GT(tensor.nbytes(), 0u);
  EXPECT_NE(hex({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}), std::string(192, '0'));
}

TEST(TensorFile, KeepsViewsStridedAndDenseOnesDense) {
  const Index index = open_tensor_file(kData / "zip.pt");
  EXPECT_EQ(index.tensors.at("view.transposed").strides, (std::vector<int64_t>{1, 6}));
  EXPECT_EQ(index.tensors.at("view.part").strides, (std::vector<int64_t>{6, 1}));
  EXPECT_EQ(index.tensors.at("view.part").bytes.size(), (6 + 3) * sizeof(float));
  EXPECT_TRUE(index.tensors.at("view.row").strides.empty());
  EXPECT_TRUE(index.tensors.at("view.position_ids").strides.empty());
}

TEST(LoadTensors, GivesEveryTensorByName) {
  const auto tensors = load_tensors(kData / "float32.safetensors");
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("block.2.weight").sizes(), (std::vector<int64_t>{3, 3}));
  EXPECT_EQ(tensors.at("block.2.weight").scalar_type(), at::kFloat);
}

TEST(ToTensor, CopiesUnalignedData) {
  const std::string data = "x" + le(1.5f) + le(-2.0f);
  const TensorEntry entry{DType::F32, {2}, {}, bytes_of(data).subspan(1), nullptr};
  const at::Tensor tensor = to_tensor(entry);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 4, 0u);
  EXPECT_EQ(tensor.const_data_ptr<float>()[0], 1.5f);
  EXPECT_EQ(tensor.const_data_ptr<float>()[1], -2.0f);
}

TEST(ToEntry, GivesBackTheTensor) {
  const Index index = open_tensor_file(kData / "zip.pt");
  for (const auto& [key, entry] : index.tensors) {
    const TensorEntry again = to_entry(to_tensor(entry));
    EXPECT_TRUE(again.strides.empty());
    EXPECT_EQ(described(again), described(entry)) << key;
  }
}

TEST(ScalarTypes, AreOneToOneWithTheTable) {
  for (const DTypeInfo& info : all_dtypes()) {
    EXPECT_EQ(dtype_of(scalar_type_of(info.dtype)), info.dtype);
    EXPECT_EQ(c10::elementSize(scalar_type_of(info.dtype)), info.bytes);
    EXPECT_EQ(info_of(info.dtype).name, info.name);
  }
  EXPECT_EQ(error_of([] { dtype_of(at::kComplexFloat); }).code(), ErrorCode::Unsupported);
}

TEST(WriteSafetensors, WritesTheBytesOfTheReferenceLibrary) {
  const TemporaryFolder folder;
  const Index index = open_tensor_file(kData / "float32.safetensors");
  write_safetensors(folder.path() / "copy.safetensors", index.tensors, index.metadata);
  EXPECT_EQ(read_file(folder.path() / "copy.safetensors", 4096),
            read_file(kData / "float32.safetensors", 4096));
}

TEST(WriteSafetensors, KeepsEveryTensorOfEveryFile) {
  const TemporaryFolder folder;
  for (const auto& [name, expected] : expected_files()) {
    const Index index = open_tensor_file(kData / std::string(name));
    write_safetensors(folder.path() / "copy.safetensors", index.tensors, index.metadata);
    const Index copy = open_tensor_file(folder.path() / "copy.safetensors");
    EXPECT_EQ(described(copy)["tensors"], described(index)["tensors"]) << name;
    EXPECT_EQ(copy.metadata, index.metadata) << name;
    for (const auto& [key, entry] : copy.tensors) EXPECT_TRUE(entry.strides.empty()) << key;
  }
}

/// Every sample as bytes with the parser it belongs to.
struct Sample {
  std::string name, content;
  Index parse(std::string_view bytes) const {
    const auto parser = name.ends_with(".safetensors") ? parse_safetensors : parse_pickle;
    return parser(bytes_of(bytes), nullptr, name);
  }
};

std::vector<Sample> samples() {
  std::vector<Sample> all;
  for (const auto& [name, expected] : expected_files())
    if (!name.ends_with(".json"))
      all.push_back({std::string(name), read_file(kData / std::string(name), 1 << 20)});
  return all;
}

TEST(DamagedFile, CutShortAtAnyByteIsRefused) {
  for (const Sample& sample : samples())
    for (size_t length = 0; length < sample.content.size(); ++length) {
      // A copy of exactly this length lets AddressSanitizer see a read beyond it.
      const std::string cut = sample.content.substr(0, length);
      const Error error = error_of([&] { sample.parse(cut); });
      ASSERT_EQ(error.code(), ErrorCode::BadFile)
          << sample.name << " cut to " << length << ": " << error.what();
      ASSERT_THAT(error.where(), HasSubstr(sample.name));
    }
}

TEST(DamagedFile, WithAnyByteChangedIsReadOrRefusedButNeverHarms) {
  std::mt19937 random(7);
  size_t refused = 0;
  for (const Sample& sample : samples())
    for (int i = 0; i < 4000; ++i) {
      std::string damaged = sample.content;
      damaged[random() % damaged.size()] = static_cast<char>(random());
      try {
        const Index index = sample.parse(damaged);
        for (const auto& [key, entry] : index.tensors) described(entry);
      } catch (const Error& error) {
        ++refused;
        ASSERT_TRUE(error.code() == ErrorCode::BadFile || error.code() == ErrorCode::Refused ||
                    error.code() == ErrorCode::Unsupported)
            << error.what();
        ASSERT_THAT(error.where(), HasSubstr(sample.name));
      }
    }
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace limn::weights
