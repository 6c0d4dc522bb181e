// SPDX-License-Identifier: Apache-2.0
#include "limn/schedulers/scheduler.h"

#include "limn/base/named_table.h"

namespace limn::schedulers {
namespace {

struct PredictionRow {
  std::string_view name;
  Prediction prediction;
};
constexpr PredictionRow kPredictions[] = {{"epsilon", Prediction::Epsilon},
                                          {"v_prediction", Prediction::VPrediction},
                                          {"sample", Prediction::Sample}};

}  // namespace

Prediction prediction_of(std::string_view diffusers_name) {
  const std::span<const PredictionRow> rows = kPredictions;
  if (const PredictionRow* row = try_find_named(rows, diffusers_name)) return row->prediction;
  throw Error(ErrorCode::Unsupported, "prediction_type", "no '" + std::string(diffusers_name) + "'",
              "known: " + names_of(rows));
}

std::string_view name_of(Prediction prediction) {
  for (const PredictionRow& row : kPredictions)
    if (row.prediction == prediction) return row.name;
  return "unknown";
}

}  // namespace limn::schedulers
