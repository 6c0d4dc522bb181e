// SPDX-License-Identifier: Apache-2.0
#include "limn/models/family.h"
#include "limn/models/sd1/sd1.h"

namespace limn::models {

std::span<const Family> families() {
  static const Family kFamilies[] = {sd1::family()};
  return kFamilies;
}

}  // namespace limn::models
