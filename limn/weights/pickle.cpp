// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/pickle.h"

#include <charconv>
#include <functional>

#include "limn/base/error.h"
#include "limn/weights/bytes.h"
#include "limn/weights/layout.h"
#include "limn/weights/pickle_machine.h"
#include "limn/weights/zip.h"

namespace limn::weights {
namespace {

using Kind = PickleValue::Kind;
using Bytes = std::span<const std::byte>;

// Limits that keep dicts which hold each other, or one long key over many tensors, from costing more than the
// file.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxVisits = 400'000, kMaxKey = 512, kMaxMetadata = 1000, kMaxMetadataText = 4096;
constexpr int64_t kLegacyProtocol = 1001;
// 0x1950a86a20f9469cfc6c, little-endian.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Turns what a pickle machine made into an index: walks the containers and checks each tensor against its
/// storage.
class Flattener {
 public:
  /// @param bytes_of  the whole storage
  Flattener(const PickleMachine& machine, std::function<Bytes(const PickledStorage&)> bytes_of, Index& index,
            std::shared_ptr<const void> keep_alive)
      : machine_(machine),
        bytes_of_(std::move(bytes_of)),
        index_(index),
        keep_alive_(std::move(keep_alive)) {}

  void flatten(const PickleValue& top) {
    const PickleValue* wrapped = top.find("state_dict");
    if (top.kind == Kind::Dict) add_metadata(top);
    if (top.kind == Kind::Tensor) return add_tensor(top, "tensor");
    if (top.kind != Kind::Dict && top.kind != Kind::List && top.kind != Kind::Tuple &&
        top.kind != Kind::Object)
      throw Error(ErrorCode::BadFile, index_.origin,
                  "expected tensors, found " + std::string(name_of(top.kind)));
    add(wrapped && wrapped->kind == Kind::Dict ? *wrapped : top, "", 0);
  }

 private:
  void add(const PickleValue& value, const std::string& key, int depth) {
    visits_ += 1 + value.items.size();
    if (value.kind == Kind::Object && !value.items.empty()) visits_ += value.items[0]->items.size();
    if (visits_ > kMaxVisits || depth > kMaxDepth)
      throw Error(ErrorCode::BadFile, index_.origin,
                  "containers nested or repeated more than any checkpoint needs");
    switch (value.kind) {
      case Kind::Tensor:
        return add_tensor(value, key);
      case Kind::Dict:
        return add_dict(value, key, depth);
      case Kind::List:
      case Kind::Tuple:
        for (size_t i = 0; i < value.items.size(); ++i)
          add(*value.items[i], joined(key, std::to_string(i)), depth + 1);
        return;
      case Kind::Object:
        if (const PickleValue* inner = value.items.empty() ? nullptr : value.items[0]->find("_parameters"))
          add(*inner, key, depth + 1);
        return;
      default:
        return;
    }
  }

  void add_dict(const PickleValue& dict, const std::string& key, int depth) {
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const PickleValue& name = *dict.items[i];
      if (name.kind == Kind::Text) add(*dict.items[i + 1], joined(key, name.text), depth + 1);
      if (name.kind == Kind::Int)
        add(*dict.items[i + 1], joined(key, std::to_string(name.integer)), depth + 1);
    }
  }

  std::string joined(const std::string& key, std::string_view name) const {
    if (key.size() + name.size() >= kMaxKey || !is_utf8(name))
      throw Error(ErrorCode::BadFile, index_.origin,
                  "expected names of tensors to be UTF-8 text under 512 bytes, found " + shown(name));
    return key.empty() ? std::string(name) : key + "." + std::string(name);
  }

  void add_tensor(const PickleValue& value, const std::string& key) {
    const PickledTensor& tensor = machine_.tensors()[value.integer];
    const PickledStorage& storage = machine_.storages()[tensor.storage];
    const std::string where = index_.origin + ": " + shown(key);
    const size_t unit = storage.dtype ? info_of(*storage.dtype).bytes : 1;
    const Bytes bytes = bytes_of_(storage).subspan(storage.view_offset * unit, storage.view_elements * unit);

    const size_t size = info_of(tensor.dtype).bytes;
    const auto available = static_cast<int64_t>(bytes.size() / size);
    const int64_t reach = reach_of(tensor.shape, tensor.strides).value();
    if (tensor.offset > available || reach > available - tensor.offset)
      throw Error(ErrorCode::BadFile, where,
                  "its farthest element is number " + std::to_string(tensor.offset + reach) +
                      " of a storage of " + std::to_string(available));
    TensorEntry entry{
        tensor.dtype, tensor.shape, {}, bytes.subspan(tensor.offset * size, reach * size), keep_alive_};
    if (!is_dense(tensor.shape, tensor.strides)) entry.strides = tensor.strides;
    if (entry.elements() > available)
      throw Error(ErrorCode::Unsupported, where,
                  "an expanded view: " + std::to_string(entry.elements()) + " elements over a storage of " +
                      std::to_string(available),
                  "save a contiguous copy of the tensor");
    const auto [found, fresh] = index_.tensors.try_emplace(key, entry);
    if (!fresh) throw Error(ErrorCode::BadFile, where, "two tensors have this name");
  }

  void add_metadata(const PickleValue& dict) {
    size_t scalars = 0;
    for (size_t i = 0; i + 1 < dict.items.size() && scalars < kMaxMetadata; i += 2) {
      const PickleValue &name = *dict.items[i], &value = *dict.items[i + 1];
      if (!is_scalar(value.kind) || name.kind != Kind::Text) continue;
      ++scalars;
      if (name.text.size() > kMaxKey || !is_utf8(name.text)) continue;
      if (std::optional<std::string> text = scalar_text(value))
        index_.metadata[std::string(name.text)] = *text;
    }
  }

  static bool is_scalar(Kind kind) {
    return kind == Kind::Bool || kind == Kind::Int || kind == Kind::Float || kind == Kind::Text;
  }

  static std::optional<std::string> scalar_text(const PickleValue& value) {
    switch (value.kind) {
      case Kind::Bool:
        return value.integer ? "true" : "false";
      case Kind::Int:
        return std::to_string(value.integer);
      case Kind::Float: {
        char digits[32];
        return std::string(digits, std::to_chars(std::begin(digits), std::end(digits), value.number).ptr);
      }
      case Kind::Text:
        if (value.text.size() <= kMaxMetadataText && is_utf8(value.text)) return std::string(value.text);
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }

  const PickleMachine& machine_;
  std::function<Bytes(const PickledStorage&)> bytes_of_;
  Index& index_;
  std::shared_ptr<const void> keep_alive_;
  size_t visits_ = 0;
};

size_t byte_length(const PickledStorage& storage) {
  return storage.elements * (storage.dtype ? info_of(*storage.dtype).bytes : 1);
}

/// The part of the entries' names before "data.pkl": torch.save puts everything in a folder named after the
/// file.
std::string prefix_of(const ZipEntries& entries, const std::string& where) {
  std::optional<std::string> prefix;
  for (const auto& [name, bytes] : entries) {
    if (name != "data.pkl" && !name.ends_with("/data.pkl")) continue;
    if (prefix)
      throw Error(ErrorCode::BadFile, where, "expected one 'data.pkl' in the archive, found several");
    prefix = name.substr(0, name.size() - std::string_view("data.pkl").size());
  }
  if (!prefix)
    throw Error(ErrorCode::Unsupported, where,
                "a zip archive without 'data.pkl': not one that torch.save wrote");
  if (entries.contains(*prefix + "constants.pkl"))
    throw Error(ErrorCode::Unsupported, where, "a TorchScript module, which is a program",
                "save the state_dict of the module instead");
  return *prefix;
}

void check_byte_order(const ZipEntries& entries, const std::string& prefix, const std::string& where) {
  const auto found = entries.find(prefix + "byteorder");
  if (found != entries.end() && as_text(found->second) != "little")
    throw Error(ErrorCode::Unsupported, where,
                "expected byte order 'little', found " + shown(as_text(found->second)));
}

void parse_zip(Bytes file, const std::shared_ptr<const void>& keep_alive, Index& index) {
  index.format = "pickle (zip)";
  const ZipEntries entries = read_zip(file, index.origin);
  const std::string prefix = prefix_of(entries, index.origin);
  check_byte_order(entries, prefix, index.origin);
  const Bytes pickle = entries.find(prefix + "data.pkl")->second;
  const size_t begin = static_cast<size_t>(pickle.data() - file.data());
  ByteReader reader(file, index.origin, begin, begin + pickle.size());
  const PickleMachine machine(reader);
  const auto bytes_of = [&](const PickledStorage& storage) {
    const std::string where = index.origin + ": storage " + shown(storage.key);
    const auto found = entries.find(prefix + "data/" + storage.key);
    if (found == entries.end()) throw Error(ErrorCode::BadFile, where, "is not in the archive");
    if (found->second.size() != byte_length(storage))
      throw Error(ErrorCode::BadFile, where,
                  "expected " + std::to_string(byte_length(storage)) + " bytes, found " +
                      std::to_string(found->second.size()));
    return found->second;
  };
  Flattener(machine, bytes_of, index, keep_alive).flatten(machine.result());
}

void check_legacy_start(ByteReader& reader) {
  const size_t start = reader.offset();
  const PickleMachine magic(reader);
  if (magic.result().kind != Kind::Long || magic.result().text != kLegacyMagic)
    reader.fail(start, "expected the mark of a torch.save file, found another pickle");
  const size_t second = reader.offset();
  const PickleMachine protocol(reader);
  if (protocol.result().kind != Kind::Int || protocol.result().integer != kLegacyProtocol)
    reader.fail(second, "expected version 1001 of torch's legacy format");
  const size_t third = reader.offset();
  const PickleMachine system(reader);
  const PickleValue* little = system.result().find("little_endian");
  if (!little || little->kind != Kind::Bool)
    reader.fail(third, "expected 'little_endian' to be True or False");
  if (!little->integer)
    throw Error(ErrorCode::Unsupported, reader.where() + " @" + std::to_string(third),
                "expected byte order 'little', found 'big'");
}

/// The storages after the pickles: for each key of a pickled list, the number of elements (8 bytes) and the
/// elements.
std::map<std::string, Bytes, std::less<>> read_legacy_storages(ByteReader& reader,
                                                               const PickleMachine& machine) {
  std::map<std::string_view, const PickledStorage*> described;
  for (const PickledStorage& storage : machine.storages()) described.emplace(storage.key, &storage);
  std::map<std::string, Bytes, std::less<>> storages;
  const size_t list = reader.offset();
  const PickleMachine keys(reader);
  if (keys.result().kind != Kind::List) reader.fail(list, "expected a list of storages");
  for (const PickleValue* key : keys.result().items) {
    const size_t start = reader.offset();
    const auto found = described.find(key->text);
    if (key->kind != Kind::Text || found == described.end())
      reader.fail(start, "no tensor uses storage " + shown(key->text));
    const PickledStorage& storage = *found->second;
    if (const auto elements = reader.number<int64_t>(); elements != storage.elements)
      reader.fail(start, "expected storage " + shown(storage.key) + " of " +
                             std::to_string(storage.elements) + " elements, found " +
                             std::to_string(elements));
    if (!storages.emplace(storage.key, reader.take(byte_length(storage))).second)
      reader.fail(start, "storage " + shown(storage.key) + " stands twice");
  }
  if (reader.remaining() > 0)
    reader.fail(reader.offset(),
                "expected the end of the file, found " + std::to_string(reader.remaining()) + " bytes");
  return storages;
}

void parse_legacy(Bytes file, const std::shared_ptr<const void>& keep_alive, Index& index) {
  index.format = "pickle (legacy)";
  ByteReader reader(file, index.origin);
  check_legacy_start(reader);
  const PickleMachine machine(reader);
  const auto storages = read_legacy_storages(reader, machine);
  const auto bytes_of = [&](const PickledStorage& storage) {
    const auto found = storages.find(storage.key);
    if (found == storages.end())
      throw Error(ErrorCode::BadFile, index.origin + ": storage " + shown(storage.key), "is not in the file");
    return found->second;
  };
  Flattener(machine, bytes_of, index, keep_alive).flatten(machine.result());
}

}  // namespace

Index parse_pickle(Bytes file, std::shared_ptr<const void> keep_alive, const std::string& where) {
  Index index;
  index.origin = where;
  if (as_text(file).starts_with("PK\3\4")) {
    parse_zip(file, keep_alive, index);
  } else {
    parse_legacy(file, keep_alive, index);
  }
  return index;
}

}  // namespace limn::weights
