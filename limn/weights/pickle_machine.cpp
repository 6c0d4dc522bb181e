// SPDX-License-Identifier: Apache-2.0
#include "limn/weights/pickle_machine.h"

#include <charconv>
#include <cmath>

#include "limn/base/error.h"
#include "limn/weights/layout.h"

namespace limn::weights {
namespace {

/// Opcodes and copied items of one pickle. A Stable Diffusion checkpoint with optimizer state takes 300 000.
constexpr size_t kBudget = 2'000'000;
constexpr uint8_t kHighestProtocol = 5;

constexpr std::string_view kKindNames[] = {
    "None",      "a bool",   "an int",    "a long int",
    "a float",   "text",     "bytes",     "a tuple",
    "a list",    "a set",    "a dict",    "a global name",
    "a storage", "a tensor", "an object", "an object limn does not look into"};

}  // namespace

std::string_view name_of(PickleValue::Kind kind) { return kKindNames[static_cast<size_t>(kind)]; }

const PickleValue* PickleValue::find(std::string_view key) const {
  if (kind != Kind::Dict) return nullptr;
  for (size_t i = items.size(); i >= 2; i -= 2)
    if (items[i - 2]->kind == Kind::Text && items[i - 2]->text == key) return items[i - 1];
  return nullptr;
}

PickleMachine::PickleMachine(ByteReader& reader) : reader_(reader), budget_(kBudget) { run(); }

void PickleMachine::run() {
  while (!result_) {
    at_ = reader_.offset();
    spend(1);
    const auto opcode = reader_.number<uint8_t>();
    if (!run_scalar(opcode) && !run_text(opcode) && !run_container(opcode) && !run_memo(opcode) &&
        !run_object(opcode))
      fail("expected a pickle opcode, found byte " + std::to_string(opcode));
  }
}

void PickleMachine::spend(size_t amount) {
  if (amount > budget_)
    fail("the pickle is larger than any checkpoint: more than " + std::to_string(kBudget) + " steps");
  budget_ -= amount;
}

PickleValue* PickleMachine::make(Kind kind) {
  Value& value = values_.emplace_back();
  value.kind = kind;
  return &value;
}

void PickleMachine::push_int(int64_t integer, Kind kind) {
  push(make(kind));
  top()->integer = integer;
}

void PickleMachine::push_float(double number) {
  push(make(Kind::Float));
  top()->number = number;
}

void PickleMachine::push_text(std::string_view text, Kind kind) {
  push(make(kind));
  top()->text = text;
}

void PickleMachine::push_long(uint64_t length) {
  const std::string_view bytes = reader_.text(length);
  if (bytes.size() > sizeof(int64_t)) return push_text(bytes, Kind::Long);
  const bool negative = !bytes.empty() && (bytes.back() & 0x80);
  int64_t value = negative ? -1 : 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  push_int(value);
}

/// The decimal forms of protocol 0: "12", "12L", and "01" and "00" for True and False.
void PickleMachine::push_number_line(std::string_view line) {
  if (line == "01" || line == "00") return push_int(line == "01", Kind::Bool);
  if (line.ends_with('L')) line.remove_suffix(1);
  int64_t value = 0;
  const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (code != std::errc() || end != line.data() + line.size())
    fail("expected an integer, found " + shown(line));
  push_int(value);
}

void PickleMachine::push_float_line(std::string_view line) {
  double value = 0;
  const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (code != std::errc() || end != line.data() + line.size())
    fail("expected a number, found " + shown(line));
  push_float(value);
}

void PickleMachine::push_sequence(Kind kind, std::vector<Value*> items) {
  Value* value = make(kind);
  value->items = std::move(items);
  push(value);
}

PickleValue* PickleMachine::pop() {
  Value* value = top();
  stack_.pop_back();
  return value;
}

PickleValue* PickleMachine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()))
    fail("the pickle takes a value from an empty stack");
  return stack_.back();
}

std::vector<PickleValue*> PickleMachine::pop_count(size_t count) {
  std::vector<Value*> items(count);
  for (size_t i = count; i-- > 0;) items[i] = pop();
  return items;
}

std::vector<PickleValue*> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("the pickle looks for a mark that was never set");
  std::vector<Value*> items(stack_.begin() + static_cast<ptrdiff_t>(marks_.back()), stack_.end());
  stack_.resize(marks_.back());
  marks_.pop_back();
  return items;
}

void PickleMachine::extend(Value& target, std::vector<Value*> items, bool pairs) {
  if (target.kind == Kind::Opaque) return;
  if (pairs ? target.kind != Kind::Dict : target.kind != Kind::List && target.kind != Kind::Set)
    fail(std::string("expected a ") + (pairs ? "dict" : "list or set") + " to add to, found " +
         std::string(name_of(target.kind)));
  if (pairs && items.size() % 2 != 0) fail("a dict is given a key without a value");
  target.items.insert(target.items.end(), items.begin(), items.end());
}

bool PickleMachine::run_scalar(uint8_t opcode) {
  switch (opcode) {
    case 'N':
      return push(make(Kind::None)), true;
    case 0x88:
      return push_int(1, Kind::Bool), true;
    case 0x89:
      return push_int(0, Kind::Bool), true;
    case 'I':
    case 'L':
      return push_number_line(reader_.line()), true;
    case 'J':
      return push_int(reader_.number<int32_t>()), true;
    case 'K':
      return push_int(reader_.number<uint8_t>()), true;
    case 'M':
      return push_int(reader_.number<uint16_t>()), true;
    case 0x8a:
      return push_long(reader_.number<uint8_t>()), true;
    case 0x8b:
      return push_long(reader_.number<uint32_t>()), true;
    case 'F':
      return push_float_line(reader_.line()), true;
    case 'G':
      return push_float(std::bit_cast<double>(__builtin_bswap64(reader_.number<uint64_t>()))), true;
    default:
      return false;
  }
}

bool PickleMachine::run_text(uint8_t opcode) {
  switch (opcode) {
    case 'S':
      return push_text(unescaped(reader_.line(), false), Kind::Text), true;
    case 'V':
      return push_text(unescaped(reader_.line(), true), Kind::Text), true;
    case 'U':
    case 0x8c:
      return push_text(reader_.text(reader_.number<uint8_t>()), Kind::Text), true;
    case 'T':
    case 'X':
      return push_text(reader_.text(reader_.number<uint32_t>()), Kind::Text), true;
    case 0x8d:
      return push_text(reader_.text(reader_.number<uint64_t>()), Kind::Text), true;
    case 'C':
      return push_text(reader_.text(reader_.number<uint8_t>()), Kind::Bytes), true;
    case 'B':
      return push_text(reader_.text(reader_.number<uint32_t>()), Kind::Bytes), true;
    case 0x8e:
    case 0x96:
      return push_text(reader_.text(reader_.number<uint64_t>()), Kind::Bytes), true;
    default:
      return false;
  }
}

/// Protocol 0's text. Escapes matter only inside values that nobody reads, so anything but plain text keeps
/// them.
std::string_view PickleMachine::unescaped(std::string_view line, bool unicode) {
  if (unicode) return line;
  const bool in_quotes =
      line.size() >= 2 && line.front() == line.back() && (line[0] == '\'' || line[0] == '"');
  if (!in_quotes) fail("expected text in quotes, found " + shown(line));
  return line.substr(1, line.size() - 2);
}

bool PickleMachine::run_container(uint8_t opcode) {
  switch (opcode) {
    case '(':
      return marks_.push_back(stack_.size()), true;
    case ')':
      return push_sequence(Kind::Tuple, {}), true;
    case ']':
      return push_sequence(Kind::List, {}), true;
    case '}':
      return push_sequence(Kind::Dict, {}), true;
    case 0x8f:
      return push_sequence(Kind::Set, {}), true;
    case 't':
      return push_sequence(Kind::Tuple, pop_to_mark()), true;
    case 'l':
      return push_sequence(Kind::List, pop_to_mark()), true;
    case 0x91:
      return push_sequence(Kind::Set, pop_to_mark()), true;
    case 0x85:
      return push_sequence(Kind::Tuple, pop_count(1)), true;
    case 0x86:
      return push_sequence(Kind::Tuple, pop_count(2)), true;
    case 0x87:
      return push_sequence(Kind::Tuple, pop_count(3)), true;
    default:
      break;
  }
  std::vector<Value*> items;
  switch (opcode) {
    case 'a':
      items = pop_count(1);
      break;
    case 's':
      items = pop_count(2);
      break;
    case 'e':
    case 0x90:
    case 'u':
      items = pop_to_mark();
      break;
    case 'd':
      items = pop_to_mark();
      push(make(Kind::Dict));
      break;
    default:
      return false;
  }
  return extend(*top(), std::move(items), opcode == 's' || opcode == 'u' || opcode == 'd'), true;
}

bool PickleMachine::run_memo(uint8_t opcode) {
  switch (opcode) {
    case 'p':
      return store(memo_index(reader_.line()), top()), true;
    case 'q':
      return store(reader_.number<uint8_t>(), top()), true;
    case 'r':
      return store(reader_.number<uint32_t>(), top()), true;
    case 0x94:
      return store(static_cast<uint32_t>(memo_.size()), top()), true;
    case 'g':
      return load(memo_index(reader_.line())), true;
    case 'h':
      return load(reader_.number<uint8_t>()), true;
    case 'j':
      return load(reader_.number<uint32_t>()), true;
    case '0':
      return (marks_.empty() || stack_.size() > marks_.back()) ? void(pop()) : marks_.pop_back(), true;
    case '1':
      return pop_to_mark(), true;
    case '2':
      return push(top()), true;
    default:
      return false;
  }
}

void PickleMachine::load(uint32_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end())
    fail("the pickle takes value " + std::to_string(index) + ", which it never stored");
  push(found->second);
}

uint32_t PickleMachine::memo_index(std::string_view line) const {
  uint32_t index = 0;
  const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), index);
  if (code != std::errc() || end != line.data() + line.size())
    fail("expected a memo number, found " + shown(line));
  return index;
}

bool PickleMachine::run_object(uint8_t opcode) {
  std::vector<Value*> items;
  switch (opcode) {
    case 0x80:
      if (const auto protocol = reader_.number<uint8_t>(); protocol > kHighestProtocol)
        throw Error(ErrorCode::Unsupported, reader_.where() + " @" + std::to_string(at_),
                    "pickle protocol " + std::to_string(protocol) + "; the highest known is 5");
      return true;
    case 0x95:
      return reader_.number<uint64_t>(), true;  // a frame is only a hint for reading ahead
    case '.':
      return result_ = pop(), true;
    case 'c': {
      const std::string_view module = reader_.line();
      return push(global(module, reader_.line())), true;
    }
    case 0x93:
      items = pop_count(2);
      return push(global(argument(items, 0, Kind::Text).text, argument(items, 1, Kind::Text).text)), true;
    case 'R':
    case 0x81:
      items = pop_count(2);
      return push(call(*items[0], *items[1])), true;
    case 0x92:
      items = pop_count(3);
      return push(call(*items[0], *items[1])), true;
    case 'i': {
      const std::string_view module = reader_.line();
      Value* callee = global(module, reader_.line());
      push_sequence(Kind::Tuple, pop_to_mark());
      return push(call(*callee, *pop())), true;
    }
    case 'o': {
      items = pop_to_mark();
      if (items.empty()) fail("the pickle makes an object of no class");
      push_sequence(Kind::Tuple, {items.begin() + 1, items.end()});
      return push(call(*items[0], *pop())), true;
    }
    case 'b': {
      Value* state = pop();
      return build(*top(), state), true;
    }
    case 'Q':
      return push(persistent(*pop())), true;
    default:
      return false;
  }
}

}  // namespace limn::weights
