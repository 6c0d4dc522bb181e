// SPDX-License-Identifier: Apache-2.0
#include "limn/models/family.h"
#include "limn/models/sd1/sd1.h"
#include "limn/models/sd2/sd2.h"
#include "limn/models/sdxl/sdxl.h"

namespace limn::models {

std::span<const Family> families() {
  static const std::vector<Family> all = [] {
    std::vector<Family> out{sd1::family(), sd2::family()};
    for (Family& family : sdxl::families()) out.push_back(std::move(family));
    return out;
  }();
  return all;
}

}  // namespace limn::models
