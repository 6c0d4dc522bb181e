// SPDX-License-Identifier: Apache-2.0
#include "limn/models/blocks/token_merging.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace limn::models {
namespace {

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

using Token = std::vector<double>;

double cosine(const Token& a, const Token& b) {
  const auto dot = [](const Token& x, const Token& y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
}

/// merge, then unmerge, of one picture, token by token.
std::vector<Token> merged_and_unmerged(const std::vector<Token>& tokens, size_t height, size_t width,
                                       double ratio) {
  const auto is_destination = [&](size_t i) {
    const size_t y = i / width, x = i % width;
    return y % 2 == 0 && x % 2 == 0 && y + 1 < height && x + 1 < width;
  };
  struct Edge {
    double likeness;
    size_t from, to;
  };
  std::vector<Edge> edges;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (is_destination(i)) continue;
    Edge best{-2, i, i};
    for (size_t j = 0; j < tokens.size(); ++j)
      if (is_destination(j) && cosine(tokens[i], tokens[j]) > best.likeness)
        best = {cosine(tokens[i], tokens[j]), i, j};
    if (best.to != i) edges.push_back(best);
  }
  std::ranges::stable_sort(edges, [](const Edge& a, const Edge& b) { return a.likeness > b.likeness; });
  edges.resize(std::min(edges.size(), static_cast<size_t>(ratio * static_cast<double>(tokens.size()))));
  std::vector<Token> out = tokens;
  std::vector<double> count(tokens.size(), 1);
  for (const Edge& edge : edges) {
    count[edge.to] += 1;
    for (size_t c = 0; c < out[edge.to].size(); ++c) out[edge.to][c] += tokens[edge.from][c];
  }
  for (size_t i = 0; i < out.size(); ++i)
    for (double& value : out[i]) value /= count[i];
  for (const Edge& edge : edges) out[edge.from] = out[edge.to];
  return out;
}

TEST(TokenMerging, IsItsDefinitionForEachPictureOfABatch) {
  struct Case {
    int64_t height, width;
    double ratio;
  };
  for (const Case& c : {Case{8, 8, 0.5}, {6, 4, 0.75}, {7, 5, 0.3}, {2, 2, 0.1}, {5, 2, 1}, {1, 6, 0.5}}) {
    const at::Tensor x = noise({2, c.height * c.width, 6}, 1);
    const TokenMerging merging(x, c.height, c.width, c.ratio);
    const at::Tensor merged = merging.merge(x), found = merging.unmerge(merged);
    ASSERT_EQ(found.sizes(), x.sizes());
    for (int64_t picture = 0; picture < 2; ++picture) {
      std::vector<Token> tokens;
      for (int64_t i = 0; i < x.size(1); ++i) {
        Token& token = tokens.emplace_back();
        for (int64_t k = 0; k < x.size(2); ++k) token.push_back(x[picture][i][k].item<double>());
      }
      const auto expected =
          merged_and_unmerged(tokens, static_cast<size_t>(c.height), static_cast<size_t>(c.width), c.ratio);
      for (int64_t i = 0; i < x.size(1); ++i)
        for (int64_t k = 0; k < x.size(2); ++k)
          ASSERT_NEAR(found[picture][i][k].item<double>(),
                      expected[static_cast<size_t>(i)][static_cast<size_t>(k)], 1e-6)
              << c.height << "x" << c.width << " at " << c.ratio << ", token " << i;
    }
  }
}

TEST(TokenMerging, LeavesAsManyTokensAsWereAskedFor) {
  const at::Tensor x = noise({1, 64, 6}, 2);
  for (const auto& [ratio, left] :
       std::vector<std::pair<double, int64_t>>{{0, 64}, {0.5, 32}, {0.75, 16}, {1, 16}})
    EXPECT_EQ(TokenMerging(x, 8, 8, ratio).merge(x).size(1), left) << ratio;
}

TEST(TokenMerging, KeepsAllTokensAtRatioNone) {
  const at::Tensor x = noise({2, 30, 6}, 3);
  const TokenMerging merging(x, 5, 6, 0);
  EXPECT_TRUE(at::equal(merging.unmerge(merging.merge(x)), x));
}

TEST(TokenMerging, DoesToAPictureWhatItDoesToItAlone) {
  const at::Tensor a = noise({1, 64, 6}, 4), b = noise({1, 64, 6}, 5), both = at::cat({a, b}, 0);
  const at::Tensor together = TokenMerging(both, 8, 8, 0.5).merge(both);
  EXPECT_TRUE(at::equal(together.slice(0, 0, 1), TokenMerging(a, 8, 8, 0.5).merge(a)));
  EXPECT_TRUE(at::equal(together.slice(0, 1, 2), TokenMerging(b, 8, 8, 0.5).merge(b)));
}

}  // namespace
}  // namespace limn::models
