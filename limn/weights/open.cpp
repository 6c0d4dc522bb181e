// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "limn/base/error.h"
#include "limn/weights/bytes.h"
#include "limn/weights/index.h"
#include "limn/weights/pickle.h"
#include "limn/weights/safetensors.h"
#include "limn/weights/sharded.h"

namespace limn::weights {
namespace {

using namespace std::string_view_literals;

constexpr size_t kLength = 8;  // of the header length before a safetensors header

struct OtherFormat {
  size_t offset;
  std::string_view mark;
  ErrorCode code;
  std::string_view name, hint;
};

constexpr std::string_view kDownload = "download the file itself; `git lfs pull` does it in a clone";
constexpr std::string_view kConvert = "convert it to safetensors";
constexpr std::string_view kUnpack = "unpack it first";

/// What people hand in instead of a tensor file limn reads.
constexpr OtherFormat kOtherFormats[] = {
    {0, "version https://git-lfs", ErrorCode::BadFile, "a Git LFS pointer, not the file", kDownload},
    {0, "<!DOCTYPE", ErrorCode::BadFile, "a web page, not the file", "the download failed or wanted a login"},
    {0, "<!doctype", ErrorCode::BadFile, "a web page, not the file", "the download failed or wanted a login"},
    {0, "<html", ErrorCode::BadFile, "a web page, not the file", "the download failed or wanted a login"},
    {0, "GGUF", ErrorCode::Unsupported, "a GGUF file", kConvert},
    {0, "lmgg", ErrorCode::Unsupported, "a GGML file", kConvert},
    {0, "tjgg", ErrorCode::Unsupported, "a GGJT file", kConvert},
    {0, "\x89HDF\r\n\x1a\n", ErrorCode::Unsupported, "an HDF5 file (TensorFlow or Keras)", kConvert},
    {4, "TFL3", ErrorCode::Unsupported, "a TensorFlow Lite file", kConvert},
    {0, "\x93NUMPY", ErrorCode::Unsupported, "a NumPy array file", kConvert},
    {257, "ustar", ErrorCode::Unsupported, "a tar archive", kUnpack},
    {0, "\x1f\x8b", ErrorCode::Unsupported, "a gzip file", kUnpack},
    {0, "BZh", ErrorCode::Unsupported, "a bzip2 file", kUnpack},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     ErrorCode::Unsupported, "an xz file", kUnpack},
    {0, "\x28\xb5\x2f\xfd", ErrorCode::Unsupported, "a Zstandard file", kUnpack},
    {0, "7z\xbc\xaf\x27\x1c", ErrorCode::Unsupported, "a 7-Zip archive", kUnpack},
    {0, "Rar!", ErrorCode::Unsupported, "a RAR archive", kUnpack},
    {0, "\x89PNG", ErrorCode::Unsupported, "a PNG picture", ""},
    {0, "\xff\xd8\xff", ErrorCode::Unsupported, "a JPEG picture", ""},
};

/// ONNX is a protocol buffer without a mark: field 1, its version, then field 2, a short name of what wrote
/// it.
bool is_onnx(std::string_view text) {
  return text.size() > 4 && text[0] == 0x08 && text[1] > 0 && text[1] < 0x20 && text[2] == 0x12 &&
         text[3] > 0 && text[3] < 0x40;
}

void refuse_other_formats(std::string_view text, const std::string& where) {
  for (const OtherFormat& format : kOtherFormats)
    if (text.size() > format.offset && text.substr(format.offset).starts_with(format.mark))
      throw Error(format.code, where, "this is " + std::string(format.name), std::string(format.hint));
  if (is_onnx(text))
    throw Error(ErrorCode::Unsupported, where, "this is an ONNX file", std::string(kConvert));
}

/// Whether it has a header length below 2^32 and a header that starts as one: no other format's first bytes
/// do.
bool looks_like_safetensors(std::string_view text) {
  return text.size() > kLength && text[kLength] == '{' && text.substr(4, 4) == "\0\0\0\0"sv;
}

/// Protocols 2 to 5 start with their number; protocol 0 has no mark, so the name has to tell.
bool looks_like_pickle(std::string_view text, const std::filesystem::path& path) {
  if (text.starts_with("PK\3\4") || text.starts_with("PK\5\6")) return true;
  if (text.size() > 1 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5) return true;
  constexpr std::string_view kNames[] = {".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle"};
  return !text.empty() && (text[0] == 'c' || text[0] == '(') &&
         std::ranges::find(kNames, path.extension().string()) != std::end(kNames);
}

}  // namespace

std::optional<Index> try_open_single_file(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string_view text = as_text(file->bytes());
  const std::string where = path.string();
  if (text.empty()) throw Error(ErrorCode::BadFile, where, "the file is empty");

  std::optional<Index> index;
  if (looks_like_safetensors(text)) {
    index = parse_safetensors(file->bytes(), file, where);
  } else {
    refuse_other_formats(text, where);
    if (looks_like_pickle(text, path)) {
      index = parse_pickle(file->bytes(), file, where);
    } else if (path.extension() == ".safetensors") {
      index = parse_safetensors(file->bytes(), file, where);
    }
  }
  if (index) index->files = {path};
  return index;
}

Index open_tensor_file(const std::filesystem::path& path) {
  if (std::optional<Index> index = try_open_single_file(path)) return *std::move(index);
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string_view text = as_text(file->bytes());
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '{') return open_sharded(path);
  throw Error(ErrorCode::Unsupported, path.string(), "the format of this file is not known",
              "limn reads safetensors, sharded *.index.json, and torch.save's files");
}

}  // namespace limn::weights
