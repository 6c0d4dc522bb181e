// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "limn/weights/bytes.h"
#include "limn/weights/dtype.h"
#include "limn/weights/pickle_globals.h"

namespace limn::weights {

/// A Python object as far as limn looks at it. Values refer to each other freely, in circles too; the machine
/// that made them owns them all.
struct PickleValue {
  enum class Kind : uint8_t {
    None,
    Bool,
    Int,
    Long,
    Float,
    Text,
    Bytes,
    Tuple,
    List,
    Set,
    Dict,
    Global,
    Storage,
    Tensor,
    Object,
    Opaque
  };
  Kind kind = Kind::None;
  int64_t integer = 0;              // Bool, Int; Storage and Tensor: index in the machine's list
  double number = 0;                // Float
  std::string_view text;            // Text, Bytes; Long: little-endian two's complement
  std::vector<PickleValue*> items;  // Tuple, List, Set; Dict: key, value, key, value, …; Object: its state
  const PickleGlobal* global = nullptr;  // Global

  /// The value of a Dict's last text key `key`, or null.
  const PickleValue* find(std::string_view key) const;
};

/// "a dict", for errors.
std::string_view name_of(PickleValue::Kind kind);

struct PickledStorage {
  std::optional<DType> dtype;  // of each element; absent: bytes
  std::string key;             // in the file's list of storages
  int64_t elements = 0;
  int64_t view_offset = 0;  // in elements; legacy files may refer to a part of a storage
  int64_t view_elements = 0;
};

struct PickledTensor {
  size_t storage = 0;
  DType dtype = DType::F32;
  int64_t offset = 0;  // in elements of dtype
  std::vector<int64_t> shape, strides;
};

/// Python's pickle machine, protocols 0 to 5, made harmless: globals are looked up in a fixed table and
/// "calling" one builds a PickleValue. Work and memory are bounded by a budget. One thread at a time; the
/// file must outlive it. Source: the comments of CPython's Lib/pickletools.py.
class PickleMachine {
 public:
  /// Reads one pickle from where the reader stands, up to its STOP.
  /// @throws Error{BadFile} with offset; Error{Refused} naming a global outside the table
  explicit PickleMachine(ByteReader& reader);

  const PickleValue& result() const { return *result_; }
  const std::vector<PickledStorage>& storages() const { return storages_; }
  const std::vector<PickledTensor>& tensors() const { return tensors_; }

 private:
  using Kind = PickleValue::Kind;
  using Value = PickleValue;

  void run();
  bool run_scalar(uint8_t opcode);
  bool run_text(uint8_t opcode);
  bool run_container(uint8_t opcode);
  bool run_memo(uint8_t opcode);
  bool run_object(uint8_t opcode);

  [[noreturn]] void fail(const std::string& what) const { reader_.fail(at_, what); }
  void spend(size_t amount);

  Value* make(Kind kind);
  void push(Value* value) { stack_.push_back(value); }
  void push_int(int64_t integer, Kind kind = Kind::Int);
  void push_float(double number);
  void push_text(std::string_view text, Kind kind);
  void push_long(uint64_t length);
  void push_number_line(std::string_view line);
  void push_float_line(std::string_view line);
  void push_sequence(Kind kind, std::vector<Value*> items);
  Value* pop();
  Value* top();
  std::vector<Value*> pop_count(size_t count);
  std::vector<Value*> pop_to_mark();
  void extend(Value& target, std::vector<Value*> items, bool pairs);
  std::string_view unescaped(std::string_view line, bool unicode);
  void store(uint32_t index, Value* value) { memo_[index] = value; }
  void load(uint32_t index);
  uint32_t memo_index(std::string_view line) const;

  // pickle_objects.cpp
  Value* global(std::string_view module, std::string_view name);
  Value* call(const Value& callee, const Value& arguments);
  Value* call_global(const PickleGlobal& global, const Value& arguments);
  void build(Value& object, Value* state);
  Value* persistent(const Value& id);
  Value* make_storage(const Value& id);
  Value* make_tensor(const std::vector<Value*>& arguments, bool typed);
  Value* make_dict(const std::vector<Value*>& arguments);
  Value* make_numpy_scalar(const std::vector<Value*>& arguments);
  Value* make_encoded(const std::vector<Value*>& arguments);
  const Value& argument(const std::vector<Value*>& arguments, size_t index, Kind kind) const;
  int64_t natural(const Value& value, std::string_view what) const;
  std::vector<int64_t> naturals(const Value& value, std::string_view what) const;

  ByteReader& reader_;
  size_t at_ = 0;  // of the opcode that runs
  size_t budget_;
  std::deque<Value> values_;
  std::deque<std::string> texts_;  // what had to be decoded
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, Value*> memo_;
  std::vector<PickledStorage> storages_;
  std::map<std::string, size_t> storage_keys_;  // the first storage of each key
  std::vector<PickledTensor> tensors_;
  Value* result_ = nullptr;
};

}  // namespace limn::weights
