// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/safetensors.h"

#include <algorithm>

#include <boost/json/serializer.hpp>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/weights/bytes.h"
#include "limn/weights/layout.h"

namespace limn::weights {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;

struct Range {
  int64_t begin, end;
  std::string_view key;
  auto operator<=>(const Range&) const = default;
};

std::string place(const std::string& where, std::string_view key) { return where + ": " + shown(key); }

/// The start of the value's text; all of it could be as long as the header.
std::string shown_json(const json::value& value) {
  char buffer[256];
  json::serializer serializer;
  serializer.reset(&value);
  const json::string_view text = serializer.read(buffer, sizeof(buffer));
  return shown({text.data(), text.size()});
}

std::string_view header_of(std::span<const std::byte> file, const std::string& where) {
  ByteReader reader(file, where);
  const auto length = reader.number<uint64_t>();
  if (length > kMaxHeader)
    reader.fail(
        0, "a header of " + std::to_string(length) + " bytes, the limit is " + std::to_string(kMaxHeader));
  const std::string_view header = reader.text(length);
  if (!header.starts_with('{'))
    reader.fail(8, "expected the header to start with '{', found " + shown(header.substr(0, 1)));
  return header;
}

const json::value& field(const json::object& object, std::string_view name, const std::string& where) {
  if (const json::value* value = object.if_contains(json::string_view(name.data(), name.size())))
    return *value;
  throw Error(ErrorCode::BadFile, where, "has no '" + std::string(name) + "'");
}

std::vector<int64_t> sizes_of(const json::object& object, std::string_view name, const std::string& where) {
  const json::value& value = field(object, name, where);
  std::vector<int64_t> sizes;
  if (const json::array* list = value.if_array(); list && list->size() <= kMaxRank) {
    for (const json::value& item : *list)
      if (item.is_int64() && item.as_int64() >= 0) sizes.push_back(item.as_int64());
    if (sizes.size() == list->size()) return sizes;
  }
  throw Error(ErrorCode::BadFile, where,
              "expected '" + std::string(name) + "' to be at most " + std::to_string(kMaxRank) +
                  " whole numbers from 0 to 2^63 - 1, found " + shown_json(value));
}

DType dtype_of(const json::object& object, const std::string& where) {
  const json::value& value = field(object, "dtype", where);
  if (!value.is_string())
    throw Error(ErrorCode::BadFile, where, "expected 'dtype' to be text, found " + shown_json(value));
  const std::string_view name(value.as_string().data(), value.as_string().size());
  if (const DTypeInfo* info = try_find_named(all_dtypes(), name)) return info->dtype;
  throw Error(ErrorCode::Unsupported, where, "no element type " + shown(name),
              "known: " + names_of(all_dtypes()));
}

Range range_of(const json::object& object, std::string_view key, size_t available, const std::string& where) {
  const std::vector<int64_t> offsets = sizes_of(object, "data_offsets", where);
  if (offsets.size() != 2 || offsets[0] > offsets[1] || static_cast<uint64_t>(offsets[1]) > available)
    throw Error(ErrorCode::BadFile, where,
                "expected data_offsets [begin, end] inside the " + std::to_string(available) +
                    " bytes of data, found " + shape_text(offsets));
  return {offsets[0], offsets[1], key};
}

void check_length(const TensorEntry& entry, int64_t length, const std::string& where) {
  const std::optional<int64_t> elements = count_elements(entry.shape);
  if (!elements) throw Error(ErrorCode::BadFile, where, "shape " + shape_text(entry.shape) + " is too large");
  const DTypeInfo& info = info_of(entry.dtype);
  const int64_t expected = *elements * static_cast<int64_t>(info.bytes);
  if (expected != length)
    throw Error(ErrorCode::BadFile, where,
                "shape " + shape_text(entry.shape) + " of " + std::string(info.name) + " takes " +
                    std::to_string(expected) + " bytes, data_offsets give " + std::to_string(length));
}

void read_metadata(const json::value& value, std::map<std::string, std::string>& out,
                   const std::string& where) {
  if (!value.is_object())
    throw Error(ErrorCode::BadFile, where, "expected an object, found " + shown_json(value));
  for (const auto& [key, item] : value.as_object()) {
    if (!item.is_string())
      throw Error(ErrorCode::BadFile, where,
                  "expected " + shown(key) + " to be text, found " + shown_json(item));
    out.emplace(key, item.as_string());
  }
}

/// The format wants the tensors to cover the data: bytes in no tensor could hide anything, bytes in two make
/// one tensor change another.
void check_tiling(std::vector<Range> ranges, size_t available, const std::string& where) {
  std::ranges::sort(ranges);
  int64_t end = 0;
  for (const Range& range : ranges) {
    if (range.begin != end)
      throw Error(ErrorCode::BadFile, place(where, range.key),
                  "expected its data at offset " + std::to_string(end) + ", found " +
                      std::to_string(range.begin) +
                      (range.begin < end ? ": it overlaps another tensor"
                                         : ": bytes in between belong to no tensor"));
    end = range.end;
  }
  if (static_cast<uint64_t>(end) != available)
    throw Error(ErrorCode::BadFile, where,
                "the tensors take " + std::to_string(end) + " bytes of data, the file has " +
                    std::to_string(available));
}

}  // namespace

Index parse_safetensors(std::span<const std::byte> file, std::shared_ptr<const void> keep_alive,
                        const std::string& where) {
  const std::string_view header = header_of(file, where);
  const auto data = file.subspan(8 + header.size());
  const json::value top = parse_json(header, where + " header");

  Index index;
  index.origin = where;
  index.format = "safetensors";
  std::vector<Range> ranges;
  for (const auto& [name, value] : top.as_object()) {
    const std::string_view key(name.data(), name.size());
    const std::string at = place(where, key);
    if (key == "__metadata__") {
      read_metadata(value, index.metadata, at);
      continue;
    }
    if (!value.is_object())
      throw Error(ErrorCode::BadFile, at, "expected an object, found " + shown_json(value));
    const json::object& object = value.as_object();
    TensorEntry entry{dtype_of(object, at), sizes_of(object, "shape", at), {}, {}, keep_alive};
    const Range& range = ranges.emplace_back(range_of(object, key, data.size(), at));
    check_length(entry, range.end - range.begin, at);
    entry.bytes = data.subspan(range.begin, range.end - range.begin);
    index.tensors.emplace(key, std::move(entry));
  }
  check_tiling(std::move(ranges), data.size(), where);
  return index;
}

}  // namespace limn::weights
