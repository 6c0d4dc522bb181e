// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>

#include "limn/models/unet_2d_condition/controls.h"

namespace limn::pipelines {

/// How strongly and when a run follows its prompt. The defaults of all but the first switch their method off.
struct Guidance {
  double scale = 7.5;        // Ho & Salimans 2022, eq. 6, with w + 1 = scale; ≤ 1: off
  double rescale = 0;        // Lin et al. 2023, eq. 15 and 16: φ, 0 to 1
  double image_scale = 1.5;  // to the picture, of models that edit by instruction: Brooks et al. 2023, eq. 3

  /// Guided steps, as shares of the run: Kynkäänniemi et al. 2024. Outside, the prompt alone counts.
  double start = 0, end = 1;
  /// Below this noise level every other step does without the unconditional half (A1111's "NGMS").
  double skip_below_sigma = 0;

  double pag_scale = 0, pag_adaptive_scale = 0;  // Ahn et al. 2024, eq. 11
  std::set<std::string> pag_blocks = {"mid"};
  double sag_scale = 0;  // Hong et al. 2023, eq. 15
  std::optional<models::FreeU> freeu;

  /// The U-Net is called for one text after the other instead of for all at once: less memory, and with limn's kernels
  /// the same numbers. Without effect beside pag_scale and sag_scale, which need all in one call.
  bool in_turn = false;

  bool is_on() const { return scale > 1; }
};

}  // namespace limn::pipelines
