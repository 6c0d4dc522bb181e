// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "limn/engine/resolve.h"

namespace limn::engine {

/// Whether a request repaints part of its picture.
bool is_edit(const GenerateRequest& request);

/// The picture, extended where asked, and the mask of its size.
/// @throws Error{InvalidArgument} for a mask that is all black, or one together with margins
Edit open_edit(const GenerateRequest& request, const Image& picture);

/// Chooses the area for pictures of args' width and height, and gives args picture and mask of that size.
/// @param blurs_mask_first  see Compat
void place_edit(const GenerateRequest& request, bool blurs_mask_first, Edit& edit,
                pipelines::GenerateArgs& args);

}  // namespace limn::engine
