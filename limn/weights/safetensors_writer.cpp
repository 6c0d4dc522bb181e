// SPDX-License-Identifier: Apache-2.0
#include <ostream>

#include "limn/base/error.h"
#include "limn/weights/layout.h"
#include "limn/weights/safetensors.h"

namespace limn::weights {
namespace {

constexpr size_t kAlignment = 8;
constexpr size_t kBuffer = 1 << 20;

using Metadata = std::map<std::string, std::string>;

size_t byte_length(const TensorEntry& entry) { return entry.elements() * info_of(entry.dtype).bytes; }

void check(const std::string& key, const TensorEntry& entry) {
  if (key == "__metadata__" || !is_utf8(key))
    throw Error(ErrorCode::InvalidArgument, shown(key),
                "cannot be the name of a tensor in a safetensors file");
  const std::optional<int64_t> reach =
      entry.strides.empty() ? count_elements(entry.shape) : reach_of(entry.shape, entry.strides);
  LIMN_CHECK(reach && *reach * info_of(entry.dtype).bytes <= entry.bytes.size(),
             "tensor " + key + " leaves its bytes");
}

std::string header_of(const std::map<std::string, TensorEntry>& tensors, const Metadata& metadata) {
  json::object header;
  if (!metadata.empty()) {
    json::object& out = header["__metadata__"].emplace_object();
    for (const auto& [key, value] : metadata) {
      if (!is_utf8(key) || !is_utf8(value))
        throw Error(ErrorCode::InvalidArgument, "metadata " + shown(key), "is not UTF-8 text");
      out[key] = value;
    }
  }
  size_t offset = 0;
  for (const auto& [key, entry] : tensors) {
    check(key, entry);
    const size_t end = offset + byte_length(entry);
    header[key] = {{"dtype", info_of(entry.dtype).name},
                   {"shape", json::array(entry.shape.begin(), entry.shape.end())},
                   {"data_offsets", json::array{offset, end}}};
    offset = end;
  }
  std::string text = to_text(header);
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return text;
}

void write_strided(std::ostream& out, const TensorEntry& entry) {
  const size_t size = info_of(entry.dtype).bytes;
  const auto* data = reinterpret_cast<const char*>(entry.bytes.data());
  std::vector<int64_t> at(entry.shape.size(), 0);
  std::string buffer;
  int64_t offset = 0;
  for (int64_t left = entry.elements(); left > 0; --left) {
    buffer.append(data + offset * size, size);
    if (buffer.size() >= kBuffer || left == 1) {
      out.write(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      buffer.clear();
    }
    for (size_t d = at.size(); d-- > 0;) {
      offset += entry.strides[d];
      if (++at[d] < entry.shape[d]) break;
      offset -= entry.strides[d] * entry.shape[d];
      at[d] = 0;
    }
  }
}

void write_elements(std::ostream& out, const TensorEntry& entry) {
  if (!entry.strides.empty()) return write_strided(out, entry);
  out.write(reinterpret_cast<const char*>(entry.bytes.data()),
            static_cast<std::streamsize>(byte_length(entry)));
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, TensorEntry>& tensors,
                       const Metadata& metadata) {
  const std::string header = header_of(tensors, metadata);
  const uint64_t length = header.size();
  write_file_atomically(path, [&](std::ostream& out) {
    out.write(reinterpret_cast<const char*>(&length), sizeof(length));
    out << header;
    for (const auto& [key, entry] : tensors) write_elements(out, entry);
  });
}

}  // namespace limn::weights
