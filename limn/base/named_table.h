// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "limn/base/error.h"

namespace limn {

/// The names of a table's rows, "ddim, euler, heun". Rows have a member `name`.
template <typename Row>
std::string names_of(std::span<const Row> table) {
  std::string names;
  for (const Row& row : table) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

/// The row called `name`, or null.
template <typename Row>
const Row* try_find_named(std::span<const Row> table, std::string_view name) {
  for (const Row& row : table)
    if (row.name == name) return &row;
  return nullptr;
}

/// The row called `name`.
/// @param what  what the table lists, a request's field: "scheduler"
/// @throws Error{InvalidArgument} that lists the known names
template <typename Row>
const Row& find_named(std::span<const Row> table, std::string_view name, std::string_view what) {
  if (const Row* row = try_find_named(table, name)) return *row;
  throw Error(ErrorCode::InvalidArgument, std::string(what), "no '" + std::string(name) + "'",
              "known: " + names_of(table));
}

}  // namespace limn
