// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "limn/image/image.h"
#include "limn/training/run_log.h"

namespace limn::training {

/// Pictures in rows of at most six, each over its prompt; what is not ASCII is shown as '?', and what is too long is cut.
Image make_sheet(std::span<const SamplePicture> pictures);

}  // namespace limn::training
