// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/pickle.h"

#include "limn/weights/testing.h"

namespace limn::weights {
namespace {

using namespace testing;

const std::string kProtocol2 = "\x80\x02";

std::string text(const std::string& value) { return "X" + le(static_cast<uint32_t>(value.size())) + value; }
std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string number(int64_t value) { return "\x8a\x08"s + le(value); }
std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += number(value);
  return out + "t";
}
std::string storage(int64_t elements, const std::string& type = "FloatStorage",
                    const std::string& view = "") {
  return "(" + text("storage") + global("torch", type) + text("0") + text("cpu") + number(elements) + view +
         "tQ";
}
std::string tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + number(offset) + tuple(shape) +
         tuple(strides) + "\x89}tR";
}
std::string dict(const std::string& key, const std::string& value) {
  return kProtocol2 + "}" + text(key) + value + "s.";
}

const std::string kFour = le(1.0f) + le(2.0f) + le(3.0f) + le(4.0f);

Index parse(const std::string& file) { return parse_pickle(bytes_of(file), nullptr, "f.ckpt"); }
Error error_in(const std::string& file) {
  return error_of([&] { parse(file); });
}
Error error_in_pickle(const std::string& pickle, const std::string& storage = kFour) {
  return error_in(torch_file(pickle, storage));
}

/// A file of torch's legacy format around these parts.
std::string legacy_file(const std::string& pickle, const std::string& keys, const std::string& storages,
                        bool little = true) {
  const std::string magic = kProtocol2 + "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  const std::string system = kProtocol2 + "}" + text("little_endian") + (little ? "\x88" : "\x89") + "s.";
  return magic + kProtocol2 + "M\xe9\x03." + system + pickle + kProtocol2 + keys + "." + storages;
}

class ForbiddenGlobal : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ForbiddenGlobal, IsRefusedByNameInEveryWayToAskForIt) {
  const auto [module, name] = GetParam();
  const std::string callee = global(module, name), full = "'"s + module + "." + name + "'";
  const std::string arguments = text("echo pwned");
  const std::vector<std::string> pickles = {
      kProtocol2 + callee + arguments + "\x85R.",                      // REDUCE
      kProtocol2 + callee + arguments + "\x85\x81.",                   // NEWOBJ
      kProtocol2 + callee + arguments + "\x85}\x92.",                  // NEWOBJ_EX
      kProtocol2 + callee + ")\x81}" + text("x") + arguments + "sb.",  // BUILD
      "("s + arguments + "i" + module + "\n" + name + "\n.",           // INST
      "("s + callee + arguments + "o.",                                // OBJ
      "\x80\x04\x8c"s + static_cast<char>(std::strlen(module)) + module + "\x8c" +
          static_cast<char>(std::strlen(name)) + name + "\x93" + arguments + "\x85R.",  // STACK_GLOBAL
      dict("weight", callee),                                                           // never called
  };
  for (const std::string& pickle : pickles)
    for (const std::string& file : {torch_file(pickle), legacy_file(pickle, "]", ""), pickle}) {
      const Error error = error_in(file);
      EXPECT_EQ(error.code(), ErrorCode::Refused) << error.what();
      EXPECT_THAT(error.problem(), HasSubstr(full));
      EXPECT_THAT(error.where(), HasSubstr("f.ckpt @"));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Pickle, ForbiddenGlobal,
    ::testing::Values(std::pair{"os", "system"}, std::pair{"posix", "system"}, std::pair{"nt", "system"},
                      std::pair{"subprocess", "Popen"}, std::pair{"builtins", "eval"},
                      std::pair{"builtins", "exec"}, std::pair{"__builtin__", "eval"},
                      std::pair{"builtins", "getattr"}, std::pair{"builtins", "open"},
                      std::pair{"builtins", "__import__"}, std::pair{"runpy", "run_path"},
                      std::pair{"torch", "load"}, std::pair{"torch.hub", "load"}, std::pair{"numpy", "load"},
                      std::pair{"_codecs", "lookup"}, std::pair{"collections", "namedtuple"},
                      std::pair{"torch.nn.modules.conv", "Conv2d"}, std::pair{"pytorch_lightning", "Trainer"},
                      std::pair{"torch", "os.system"}, std::pair{"torch.cuda.os", "FloatStorage"},
                      std::pair{"webbrowser", "open"}));

TEST(Pickle, ProtocolZeroAttackIsRefusedByName) {
  const Error error = error_in("cos\nsystem\n(S'echo pwned'\ntR.");
  EXPECT_EQ(error.code(), ErrorCode::Refused);
  EXPECT_STREQ(error.what(),
               "f.ckpt @0: the pickle asks for 'os.system', which is not on the list (limn reads tensors and "
               "plain data "
               "and never runs code from a file; if you trust where it comes from, convert it to safetensors "
               "elsewhere)");
}

TEST(Pickle, TrainerObjectsAreKeptEmpty) {
  const std::string object = global("pytorch_lightning.callbacks", "X") + ")\x81}" + text("hook") + "Nsb";
  const Index index = parse(torch_file(
      kProtocol2 + "}(" + text("w") + tensor(storage(4), 0, {4}, {1}) + text("callback") + object + "u.",
      kFour));
  EXPECT_EQ(index.tensors.size(), 1u);
  EXPECT_TRUE(index.has("w"));
}

TEST(Pickle, ReadsViewsWithTheirStridesAndOffsets) {
  const std::string file = torch_file(dict("w", tensor(storage(4), 1, {2, 1}, {2, 7})), kFour);
  const Index index = parse(file);
  const TensorEntry& entry = index.tensors.at("w");
  EXPECT_EQ(entry.strides, (std::vector<int64_t>{2, 7}));
  ASSERT_EQ(entry.bytes.size(), 3 * sizeof(float));
  float first = 0;
  std::memcpy(&first, entry.bytes.data(), sizeof(first));
  EXPECT_EQ(first, 2.0f);
}

struct Bad {
  std::string name, pickle, what;
  ErrorCode code = ErrorCode::BadFile;
};
std::ostream& operator<<(std::ostream& out, const Bad& bad) { return out << bad.name; }
class BadPickle : public ::testing::TestWithParam<Bad> {};

TEST_P(BadPickle, IsRefusedWithTheReason) {
  const Error error = error_in_pickle(GetParam().pickle);
  EXPECT_EQ(error.code(), GetParam().code) << error.what();
  EXPECT_THAT(error.where(), HasSubstr("f.ckpt"));
  EXPECT_THAT(error.what(), HasSubstr(GetParam().what));
}

std::string nested(int levels, const std::string& inner) {
  std::string out = inner;
  for (int i = 0; i < levels; ++i) out = "}" + text("k") + out + "s";
  return out;
}

/// Lists that hold the one before twice: 2^60 tensors to walk in 300 bytes.
std::string doubling_lists() {
  std::string out = "]" + tensor(storage(4), 0, {4}, {1}) + "a";
  for (int i = 0; i < 60; ++i)
    out = "]" + out + "q" + static_cast<char>(i) + "ah" + static_cast<char>(i) + "a";
  return kProtocol2 + out + ".";
}

INSTANTIATE_TEST_SUITE_P(
    Pickle, BadPickle,
    ::testing::Values(
        Bad{"ViewBeyondStorage", dict("layer.w", tensor(storage(4), 2, {3}, {1})),
            "'layer.w': its farthest element is number 5 of a storage of 4"},
        Bad{"StridesBeyondStorage", dict("w", tensor(storage(4), 0, {2, 2}, {3, 1})),
            "number 5 of a storage of 4"},
        Bad{"OffsetBeyondStorage", dict("w", tensor(storage(4), 5, {0}, {1})), "number 5 of a storage of 4"},
        Bad{"StorageLargerThanEntry", dict("w", tensor(storage(400), 0, {400}, {1})),
            "storage '0': expected 1600 bytes, found 16"},
        Bad{"StorageSmallerThanEntry", dict("w", tensor(storage(3), 0, {3}, {1})),
            "expected 12 bytes, found 16"},
        Bad{"NegativeShape", dict("w", tensor(storage(4), 0, {-4}, {1})),
            "tensor size from 0 to 2^56, found -4"},
        Bad{"NegativeStride", dict("w", tensor(storage(4), 3, {4}, {-1})),
            "tensor stride from 0 to 2^56, found -1"},
        Bad{"NegativeOffset", dict("w", tensor(storage(4), -1, {1}, {1})),
            "storage offset from 0 to 2^56, found -1"},
        Bad{"NegativeStorage", dict("w", tensor(storage(-4), 0, {1}, {1})),
            "storage size from 0 to 2^56, found -4"},
        Bad{"OverflowingShape",
            dict("w", tensor(storage(4), 0, {int64_t{1} << 40, int64_t{1} << 40}, {1, 1})),
            "impossible size [1099511627776, 1099511627776]"},
        Bad{"OverflowingStrides", dict("w", tensor(storage(4), 0, {1 << 20, 2}, {int64_t{1} << 50, 1})),
            "impossible size"},
        Bad{"StridesOfAnotherRank", dict("w", tensor(storage(4), 0, {2, 2}, {1})), "impossible size"},
        Bad{"TooManyDimensions",
            dict("w", tensor(storage(4), 0, std::vector<int64_t>(17, 1), std::vector<int64_t>(17, 1))),
            "17 dimensions"},
        Bad{"ExpandedView", dict("w", tensor(storage(4), 0, {1'000'000'000}, {0})),
            "an expanded view: 1000000000 elements", ErrorCode::Unsupported},
        Bad{"ComplexStorage", dict("w", tensor(storage(4, "ComplexFloatStorage"), 0, {4}, {1})),
            "no element type 'torch.ComplexFloatStorage'", ErrorCode::Unsupported},
        Bad{"UntypedStorage", dict("w", tensor(storage(16, "UntypedStorage"), 0, {4}, {1})),
            "without an element type"},
        Bad{"SizeIsText",
            dict("w", tensor("(" + text("storage") + global("torch", "FloatStorage") + text("0") +
                                 text("cpu") + text("4") + "tQ",
                             0, {4}, {1})),
            "expected an int, found text"},
        Bad{"StorageIsNoStorage", dict("w", tensor("N", 0, {4}, {1})), "expected a storage, found None"},
        Bad{"OtherReference", dict("w", text("module") + "\x85Q"), "expected a reference to a storage"},
        Bad{"TwoKindsOfOneStorage",
            kProtocol2 + "}(" + text("a") + tensor(storage(4), 0, {4}, {1}) + text("b") +
                tensor(storage(8, "HalfStorage"), 0, {8}, {1}) + "u.",
            "storage '0' was described otherwise before"},
        Bad{"TwoTensorsOfOneName",
            kProtocol2 + "}(" + text("a.b") + tensor(storage(4), 0, {4}, {1}) + text("a") + "}" + text("b") +
                tensor(storage(4), 0, {4}, {1}) + "su.",
            "'a.b': two tensors have this name"},
        Bad{"LongName", dict(std::string(600, 'k'), tensor(storage(4), 0, {4}, {1})), "under 512 bytes"},
        Bad{"NameIsNotUtf8", dict("\xff", tensor(storage(4), 0, {4}, {1})),
            "UTF-8 text under 512 bytes, found '\\xff'"},
        Bad{"DeepDicts", kProtocol2 + nested(200, tensor(storage(4), 0, {4}, {1})) + ".",
            "nested or repeated"},
        Bad{"DictInItself", kProtocol2 + "}q\x01" + text("k") + "h\x01s.", "nested or repeated"},
        Bad{"DoublingLists", doubling_lists(), "nested or repeated"},
        Bad{"EndlessSteps", kProtocol2 + "]" + std::string(2'100'000, '2') + ".",
            "larger than any checkpoint"},
        Bad{"UnknownOpcode", kProtocol2 + "~.", "found byte 126"},
        Bad{"ExtensionRegistry", kProtocol2 + "\x82\x01.", "found byte 130"},
        Bad{"NewerProtocol", "\x80\x06N.", "pickle protocol 6", ErrorCode::Unsupported},
        Bad{"EmptyStack", kProtocol2 + ".", "from an empty stack"},
        Bad{"NoMark", kProtocol2 + "t.", "never set"},
        Bad{"NoMemo", kProtocol2 + "h\x05.", "value 5, which it never stored"},
        Bad{"NoStop", kProtocol2 + "}", "expected 1 more bytes, found 0"},
        Bad{"TextLongerThanFile", kProtocol2 + "X" + le<uint32_t>(4'000'000'000),
            "expected 4000000000 more bytes"},
        Bad{"Text64LongerThanFile", kProtocol2 + "\x8d" + le<uint64_t>(UINT64_MAX),
            "expected 18446744073709551615 more"},
        Bad{"KeyWithoutValue", kProtocol2 + "}(Nu.", "a key without a value"},
        Bad{"AppendToDict", kProtocol2 + "}Na.", "expected a list or set to add to, found a dict"},
        Bad{"ItemsOfNone", kProtocol2 + "N(NNu.", "expected a dict to add to, found None"},
        Bad{"CallOfText", kProtocol2 + text("f") + ")R.", "found text and a tuple"},
        Bad{"CallOfType", kProtocol2 + global("torch", "float32") + ")R.",
            "'float32' is a type and cannot be called"},
        Bad{"BuildOfList", kProtocol2 + "]Nb.", "expected an object to set the state of, found a list"},
        Bad{"DictOfNoPairs", kProtocol2 + global("collections", "OrderedDict") + "]Na\x85R.",
            "expected pairs"},
        Bad{"JustANumber", kProtocol2 + "K\x05.", "expected tensors, found an int"},
        Bad{"BadInteger", "Iabc\n.", "expected an integer, found 'abc'"},
        Bad{"BadFloat", "Fabc\n.", "expected a number, found 'abc'"},
        Bad{"BadQuotes", "Sabc\n.", "expected text in quotes"},
        Bad{"UnendedLine", "cos", "expected a line of text"}),
    [](const auto& info) { return info.param.name; });

TEST(Pickle, SharedContainersNeitherCostNorLeak) {
  std::string pickle = kProtocol2 + "]q\x01(" + std::string(100'000, 'N') + "e";
  const std::string copy = global("collections", "OrderedDict") + "h\x01\x85R";
  for (int i = 0; i < 100; ++i) pickle += copy;
  EXPECT_EQ(error_in_pickle(pickle + ".").code(), ErrorCode::BadFile);
}

TEST(Pickle, UnderstandsOldAndNewOpcodesForPlainData) {
  const std::string proto0 =
      "(dp0\nS'epoch'\np1\nI7\nsS'ok'\nI01\nsS'rate'\nF0.25\nsS'big'\nL12L\nsV\xd0\xb8\nI1\ns.";
  const Index old = parse(torch_file(proto0));
  EXPECT_EQ(old.metadata, (std::map<std::string, std::string>{
                              {"epoch", "7"}, {"ok", "true"}, {"rate", "0.25"}, {"big", "12"}, {"и", "1"}}));
  const std::string proto5 = "\x80\x05\x95" + le<uint64_t>(40) + "}\x94(\x8c\x01" + "a\x94J" +
                             le<int32_t>(-5) + "\x8c\x01" + "bG" + std::string("\xbf\xf0\0\0\0\0\0\0", 8) +
                             "\x8c\x01" + "cC\x02\xff\xffu.";
  EXPECT_EQ(parse(torch_file(proto5)).metadata,
            (std::map<std::string, std::string>{{"a", "-5"}, {"b", "-1"}}));
}

TEST(TorchZip, NeedsOnePickleInLittleEndianOrder) {
  const std::string pickle = dict("w", "N");
  EXPECT_EQ(error_in(zip_file({{"x.npy", ""}})).code(), ErrorCode::Unsupported);
  EXPECT_THAT(error_in(zip_file({{"a/data.pkl", pickle}, {"b/data.pkl", pickle}})).what(),
              HasSubstr("found several"));
  EXPECT_EQ(error_in(zip_file({{"a/data.pkl", pickle}, {"a/byteorder", "big"}})).code(),
            ErrorCode::Unsupported);
  EXPECT_THAT(error_in(zip_file({{"a/data.pkl", pickle}, {"a/constants.pkl", ""}})).what(),
              HasSubstr("TorchScript"));
  EXPECT_TRUE(parse(zip_file({{"data.pkl", pickle}})).tensors.empty());
}

TEST(TorchZip, StorageMustBeInTheArchive) {
  const Error error = error_in(zip_file({{"a/data.pkl", dict("w", tensor(storage(4), 0, {4}, {1}))}}));
  EXPECT_STREQ(error.what(), "f.ckpt: storage '0': is not in the archive");
}

TEST(TorchLegacy, ReadsViewsOfStorages) {
  const std::string view = "(" + text("view") + number(1) + number(2) + "t";
  const std::string pickle = dict("w", tensor(storage(4, "FloatStorage", view), 0, {2}, {1}));
  const std::string storages = le<int64_t>(4) + kFour;
  const std::string file = legacy_file(pickle, "]" + text("0") + "a", storages);
  const Index index = parse(file);
  float values[2];
  ASSERT_EQ(index.tensors.at("w").bytes.size(), sizeof(values));
  std::memcpy(values, index.tensors.at("w").bytes.data(), sizeof(values));
  EXPECT_EQ(values[0], 2.0f);
  EXPECT_EQ(values[1], 3.0f);

  const std::string beyond = dict("w", tensor(storage(4, "FloatStorage", view), 0, {3}, {1}));
  EXPECT_THAT(error_in(legacy_file(beyond, "]" + text("0") + "a", storages)).what(),
              HasSubstr("a storage of 2"));
  const std::string outside = "(" + text("view") + number(3) + number(2) + "t";
  const std::string leaving = dict("w", tensor(storage(4, "FloatStorage", outside), 0, {2}, {1}));
  EXPECT_THAT(error_in(legacy_file(leaving, "]" + text("0") + "a", storages)).what(),
              HasSubstr("a view leaves storage '0'"));
}

TEST(TorchLegacy, StoragesMustBeWhatThePickleSays) {
  const std::string pickle = dict("w", tensor(storage(4), 0, {4}, {1})), keys = "]" + text("0") + "a";
  const auto what = [&](const std::string& keys, const std::string& storages) {
    const Error error = error_in(legacy_file(pickle, keys, storages));
    EXPECT_EQ(error.code(), ErrorCode::BadFile);
    return std::string(error.what());
  };
  EXPECT_THAT(what(keys, le<int64_t>(5) + kFour), HasSubstr("expected storage '0' of 4 elements, found 5"));
  EXPECT_THAT(what(keys, le<int64_t>(-1) + kFour), HasSubstr("found -1"));
  EXPECT_THAT(what(keys, le<int64_t>(4)), HasSubstr("expected 16 more bytes, found 0"));
  EXPECT_THAT(what(keys, le<int64_t>(4) + kFour + "x"),
              HasSubstr("expected the end of the file, found 1 bytes"));
  EXPECT_THAT(what("]", ""), HasSubstr("storage '0': is not in the file"));
  EXPECT_THAT(what("]" + text("9") + "a", le<int64_t>(4) + kFour), HasSubstr("no tensor uses storage '9'"));
  EXPECT_THAT(what("]" + text("0") + "a" + text("0") + "a", le<int64_t>(4) + kFour + le<int64_t>(4) + kFour),
              HasSubstr("'0' stands twice"));
  EXPECT_THAT(what("N", ""), HasSubstr("expected a list of storages"));
  EXPECT_EQ(error_in(legacy_file(pickle, keys, le<int64_t>(4) + kFour, false)).code(),
            ErrorCode::Unsupported);
}

TEST(TorchLegacy, OtherPicklesAreNotTorchFiles) {
  const Error error = error_in(kProtocol2 + "}.");
  EXPECT_STREQ(error.what(), "f.ckpt @0: expected the mark of a torch.save file, found another pickle");
}

}  // namespace
}  // namespace limn::weights
