// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "limn/base/error.h"
#include "limn/base/named_table.h"
#include "limn/weights/layout.h"
#include "limn/weights/pickle_machine.h"

namespace limn::weights {
namespace {

constexpr size_t kMaxName = 1024;
constexpr size_t kCost =
    16;  // of a tensor or storage, in steps of the budget: they take more memory than a value

struct NumpyCode {
  std::string_view name;
  size_t bytes;
  char kind;
};
constexpr NumpyCode kNumpyCodes[] = {{"f8", 8, 'f'}, {"f4", 4, 'f'}, {"i8", 8, 'i'}, {"i4", 4, 'i'},
                                     {"i2", 2, 'i'}, {"i1", 1, 'i'}, {"u1", 1, 'u'}, {"b1", 1, 'u'}};

int64_t integer_of(std::string_view bytes, bool is_signed) {
  int64_t value = is_signed && (bytes.back() & 0x80) ? -1 : 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  return value;
}

double float_of(std::string_view bytes) {
  if (bytes.size() == sizeof(double)) {
    double value;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
  }
  float value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

}  // namespace

PickleValue* PickleMachine::global(std::string_view module, std::string_view name) {
  if (module.size() > kMaxName || name.size() > kMaxName) fail("a global name of more than 1024 bytes");
  const std::string full = std::string(module) + "." + std::string(name);
  const PickleGlobal* row = find_global(module, name);
  const std::string place = reader_.where() + " @" + std::to_string(at_);
  if (!row)
    throw Error(ErrorCode::Refused, place,
                "the pickle asks for " + shown(full) + ", which is not on the list",
                "limn reads tensors and plain data and never runs code from a file; if you trust where it "
                "comes from, "
                "convert it to safetensors elsewhere");
  if (row->kind == GlobalKind::UnsupportedType)
    throw Error(ErrorCode::Unsupported, place, "no element type " + shown(full),
                "known: " + names_of(all_dtypes()));
  Value* value = make(row->kind == GlobalKind::Opaque ? Kind::Opaque : Kind::Global);
  value->global = row;
  return value;
}

PickleValue* PickleMachine::call(const Value& callee, const Value& arguments) {
  if (callee.kind == Kind::Opaque) return make(Kind::Opaque);
  if (callee.kind != Kind::Global || arguments.kind != Kind::Tuple)
    fail("expected a global name and a tuple to call it with, found " + std::string(name_of(callee.kind)) +
         " and " + std::string(name_of(arguments.kind)));
  return call_global(*callee.global, arguments);
}

PickleValue* PickleMachine::call_global(const PickleGlobal& global, const Value& arguments) {
  const std::vector<Value*>& items = arguments.items;
  switch (global.kind) {
    case GlobalKind::RebuildTensor:
      return make_tensor(items, false);
    case GlobalKind::RebuildTyped:
      return make_tensor(items, true);
    case GlobalKind::RebuildParameter:
      return argument(items, 0, Kind::Tensor), items[0];
    case GlobalKind::RebuildFromType: {
      const GlobalKind kind = argument(items, 0, Kind::Global).global->kind;
      if (kind != GlobalKind::RebuildTensor && kind != GlobalKind::RebuildTyped)
        fail("expected a tensor to rebuild");
      return make_tensor(argument(items, 2, Kind::Tuple).items, kind == GlobalKind::RebuildTyped);
    }
    case GlobalKind::Dict:
      return make_dict(items);
    case GlobalKind::Sequence:
      if (items.empty()) return make(Kind::List);
      // Sharing the items instead of copying them is what bounds the work; who asks only reads them.
      return items[0]->kind == Kind::Tuple || items[0]->kind == Kind::List || items[0]->kind == Kind::Set
                 ? items[0]
                 : make(Kind::Opaque);
    case GlobalKind::Scalar:
      return items.empty() ? make(Kind::Opaque) : items[0];
    case GlobalKind::NumpyScalar:
      return make_numpy_scalar(items);
    case GlobalKind::NumpyDType: {
      Value* code = make(Kind::Object);
      code->text = argument(items, 0, Kind::Text).text;
      return code;
    }
    case GlobalKind::Encode:
      return make_encoded(items);
    case GlobalKind::Parameters:
      return make(Kind::Object);
    default:
      fail(shown(global.name) + " is a type and cannot be called");
  }
}

void PickleMachine::build(Value& object, Value* state) {
  // A dict's state is OrderedDict's attributes, a tensor's a subclass's: neither holds weights.
  if (object.kind == Kind::Opaque || object.kind == Kind::Dict || object.kind == Kind::Tensor) return;
  if (object.kind != Kind::Object)
    fail("expected an object to set the state of, found " + std::string(name_of(object.kind)));
  object.items = {state};
  // A numpy dtype's state has its byte order; numbers in the other one are left alone.
  if (state->kind == Kind::Tuple && state->items.size() > 1 && state->items[1]->text == ">") object.text = {};
}

/// Where torch.save refers to a storage: ('storage', type, key, device, elements[, view]).
PickleValue* PickleMachine::persistent(const Value& id) {
  if (id.kind != Kind::Tuple || id.items.empty() || id.items[0]->text != "storage")
    fail("expected a reference to a storage, found another kind of reference");
  return make_storage(id);
}

PickleValue* PickleMachine::make_storage(const Value& id) {
  const GlobalKind type = argument(id.items, 1, Kind::Global).global->kind;
  if (type != GlobalKind::Storage && type != GlobalKind::UntypedStorage)
    fail("expected the type of a storage");
  argument(id.items, 3, Kind::Text);
  PickledStorage storage;
  if (type == GlobalKind::Storage)
    storage.dtype = try_find_named(all_dtypes(), id.items[1]->global->dtype)->dtype;
  storage.key = argument(id.items, 2, Kind::Text).text.substr(0, kMaxName);
  storage.elements = storage.view_elements = natural(argument(id.items, 4, Kind::Int), "storage size");
  if (id.items.size() > 5 && id.items[5]->kind != Kind::None) {
    const Value& view = argument(id.items, 5, Kind::Tuple);
    storage.view_offset = natural(argument(view.items, 1, Kind::Int), "storage view");
    storage.view_elements = natural(argument(view.items, 2, Kind::Int), "storage view");
    if (storage.view_offset > storage.elements ||
        storage.view_elements > storage.elements - storage.view_offset)
      fail("a view leaves storage " + shown(storage.key));
  }
  spend(kCost + storage.key.size() / sizeof(int64_t));
  const auto [first, fresh] = storage_keys_.emplace(storage.key, storages_.size());
  if (!fresh && (storages_[first->second].dtype != storage.dtype ||
                 storages_[first->second].elements != storage.elements))
    fail("storage " + shown(storage.key) + " was described otherwise before");
  Value* value = make(Kind::Storage);
  value->integer = static_cast<int64_t>(storages_.size());
  storages_.push_back(std::move(storage));
  return value;
}

PickleValue* PickleMachine::make_tensor(const std::vector<Value*>& arguments, bool typed) {
  spend(kCost);
  PickledTensor tensor;
  tensor.storage = static_cast<size_t>(argument(arguments, 0, Kind::Storage).integer);
  tensor.offset = natural(argument(arguments, 1, Kind::Int), "storage offset");
  tensor.shape = naturals(argument(arguments, 2, Kind::Tuple), "tensor size");
  tensor.strides = naturals(argument(arguments, 3, Kind::Tuple), "tensor stride");
  if (!reach_of(tensor.shape, tensor.strides))
    fail("a tensor of impossible size " + shape_text(tensor.shape) + " and strides " +
         shape_text(tensor.strides));
  std::optional<DType> dtype = storages_[tensor.storage].dtype;
  if (typed) {
    const PickleGlobal& type = *argument(arguments, 6, Kind::Global).global;
    if (type.kind != GlobalKind::DType) fail("expected an element type, found " + shown(type.name));
    dtype = try_find_named(all_dtypes(), type.dtype)->dtype;
  }
  if (!dtype) fail("a tensor without an element type");
  tensor.dtype = *dtype;
  Value* value = make(Kind::Tensor);
  value->integer = static_cast<int64_t>(tensors_.size());
  tensors_.push_back(std::move(tensor));
  return value;
}

/// dict() and OrderedDict() take pairs, defaultdict() the type of its values.
PickleValue* PickleMachine::make_dict(const std::vector<Value*>& arguments) {
  Value* dict = make(Kind::Dict);
  if (arguments.empty()) return dict;
  const Value& pairs = *arguments[0];
  if (pairs.kind == Kind::Dict || pairs.kind == Kind::List || pairs.kind == Kind::Tuple)
    spend(pairs.items.size());
  if (pairs.kind == Kind::Dict) dict->items = pairs.items;
  if (pairs.kind != Kind::List && pairs.kind != Kind::Tuple) return dict;
  for (const Value* pair : pairs.items) {
    if ((pair->kind != Kind::List && pair->kind != Kind::Tuple) || pair->items.size() != 2)
      fail("expected pairs of key and value for a dict");
    dict->items.insert(dict->items.end(), pair->items.begin(), pair->items.end());
  }
  return dict;
}

PickleValue* PickleMachine::make_numpy_scalar(const std::vector<Value*>& arguments) {
  const std::string_view code = argument(arguments, 0, Kind::Object).text;
  const NumpyCode* row = try_find_named(std::span<const NumpyCode>(kNumpyCodes), code);
  if (!row || arguments.size() < 2 || arguments[1]->kind != Kind::Bytes ||
      arguments[1]->text.size() != row->bytes)
    return make(Kind::Opaque);
  Value* value = make(row->kind == 'f' ? Kind::Float : Kind::Int);
  if (row->kind == 'f') {
    value->number = float_of(arguments[1]->text);
  } else {
    value->integer = integer_of(arguments[1]->text, row->kind == 'i');
  }
  return value;
}

/// Protocol 2 writes bytes as Latin-1 text.
PickleValue* PickleMachine::make_encoded(const std::vector<Value*>& arguments) {
  const std::string_view text = argument(arguments, 0, Kind::Text).text;
  spend(text.size());
  std::string& bytes = texts_.emplace_back();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool pair = (byte == 0xC2 || byte == 0xC3) && i + 1 < text.size();
    if (byte >= 0x80 && !pair) fail("expected text of Latin-1 letters");
    bytes += static_cast<char>(pair ? (byte << 6) | (text[++i] & 0x3F) : byte);
  }
  Value* value = make(Kind::Bytes);
  value->text = bytes;
  return value;
}

const PickleValue& PickleMachine::argument(const std::vector<Value*>& arguments, size_t index,
                                           Kind kind) const {
  if (index >= arguments.size())
    fail("expected at least " + std::to_string(index + 1) + " values, found " +
         std::to_string(arguments.size()));
  if (arguments[index]->kind != kind)
    fail("expected " + std::string(name_of(kind)) + ", found " +
         std::string(name_of(arguments[index]->kind)));
  return *arguments[index];
}

int64_t PickleMachine::natural(const Value& value, std::string_view what) const {
  constexpr int64_t kMost = int64_t{1} << 56;
  if (value.kind != Kind::Int || value.integer < 0 || value.integer > kMost)
    fail("expected a " + std::string(what) + " from 0 to 2^56, found " +
         (value.kind == Kind::Int ? std::to_string(value.integer) : std::string(name_of(value.kind))));
  return value.integer;
}

std::vector<int64_t> PickleMachine::naturals(const Value& value, std::string_view what) const {
  if (value.items.size() > kMaxRank)
    fail("a " + std::string(what) + " of " + std::to_string(value.items.size()) + " dimensions");
  std::vector<int64_t> numbers;
  for (const Value* item : value.items) numbers.push_back(natural(*item, what));
  return numbers;
}

}  // namespace limn::weights
