// SPDX-License-Identifier: Apache-2.0
#include "limn/models/blocks/token_merging.h"

#include <algorithm>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

namespace limn::models {

TokenMerging::TokenMerging(const at::Tensor& tokens, int64_t height, int64_t width, double ratio) {
  const at::TensorOptions numbers = tokens.options().dtype(at::kLong);
  const int64_t batch = tokens.size(0), all = height * width, rows = height / 2, columns = width / 2;
  at::Tensor is_destination = at::zeros({height, width}, tokens.options().dtype(at::kBool));
  is_destination.slice(0, 0, 2 * rows, 2).slice(1, 0, 2 * columns, 2).fill_(true);
  const at::Tensor destinations = is_destination.flatten().nonzero().squeeze(1),
                   sources = is_destination.flatten().logical_not().nonzero().squeeze(1);
  const int64_t gone =
      rows * columns == 0 ? 0
                          : std::min(static_cast<int64_t>(ratio * static_cast<double>(all)), sources.size(0));
  const int64_t left = sources.size(0) - gone, merged = all - gone;

  const at::Tensor wide = tokens.to(at::kFloat);
  const at::Tensor direction = wide / at::linalg_vector_norm(wide, 2, at::IntArrayRef{-1}, true);
  std::vector<at::Tensor> places;
  for (int64_t i = 0; i < batch; ++i) {
    at::Tensor place = at::empty({all}, numbers);
    place.index_copy_(0, destinations, at::arange(left, merged, numbers));
    at::Tensor order = at::arange(sources.size(0), numbers);
    if (gone > 0) {
      const at::Tensor likeness = at::matmul(direction[i].index_select(0, sources),
                                             direction[i].index_select(0, destinations).transpose(0, 1));
      const auto [most, nearest] = likeness.max(1);
      order = most.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
      const at::Tensor going = order.slice(0, 0, gone);
      place.index_copy_(0, sources.index_select(0, going), left + nearest.index_select(0, going));
    }
    place.index_copy_(0, sources.index_select(0, order.slice(0, gone)), at::arange(left, numbers));
    places.push_back(place + i * merged);
  }
  place_ = at::cat(places, 0);
  count_ = at::zeros({batch * merged}, wide.options())
               .scatter_add_(0, place_, at::ones({batch * all}, wide.options()))
               .unsqueeze(1);
}

at::Tensor TokenMerging::merge(const at::Tensor& tokens) const {
  const int64_t channels = tokens.size(2);
  const at::Tensor rows = tokens.reshape({-1, channels}).to(at::kFloat);
  const at::Tensor sum = at::zeros({count_.size(0), channels}, rows.options())
                             .scatter_add_(0, place_.unsqueeze(1).expand_as(rows), rows);
  return (sum / count_).view({tokens.size(0), -1, channels}).to(tokens.scalar_type());
}

at::Tensor TokenMerging::unmerge(const at::Tensor& merged) const {
  return merged.flatten(0, 1).index_select(0, place_).view({merged.size(0), -1, merged.size(2)});
}

}  // namespace limn::models
