// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "limn/engine/request.h"

namespace limn::cli {

/// Settings of a request as typed on the command line. Must outlive the parsing of what add() was called with.
class RequestOptions {
 public:
  /// Declares the field's flag: "--guidance-scale"; the prompt alone has none.
  void add(CLI::App& app, const engine::RequestField& field);
  bool given(std::string_view name) const;
  /// Sets the fields that were typed. @throws Error{InvalidArgument}
  void apply(engine::GenerateRequest& request) const;

 private:
  std::map<const engine::RequestField*, std::vector<std::string>> texts_;
};

}  // namespace limn::cli
