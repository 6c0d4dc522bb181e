// SPDX-License-Identifier: Apache-2.0
#include "limn/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <type_traits>

#include "limn/base/error.h"
#include "limn/kernels/attention_bf16.h"
#include "limn/kernels/parallel.h"
#include "limn/kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "limn/kernels/attention.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "limn/kernels/attention-inl.h"

#ifndef LIMN_KERNELS_ATTENTION_ONCE
#define LIMN_KERNELS_ATTENTION_ONCE
namespace limn::kernels {
namespace {

/// Keys of a block at most: with them a tile's scores stay in the first-level cache.
constexpr int64_t kKeyBlock = 128;
/// Queries that share a pass over keys and values. A wide head's do not stay in the second-level cache, so that each pass
/// must do more work: measured at 512, 64, 128 and 256 queries reach 70, 83 and 92 % of the matrix product's rate.
constexpr int64_t kQueryBlock = 128, kQueryBlockOfWideHeads = 256, kWideHead = 256, kLeastQueryBlock = 32;
/// Floats of packed keys and values that are alive together, unless one head has more: they stay in the last-level cache.
constexpr int64_t kPackedFloats = int64_t{1} << 20;
/// Pieces of work for each thread, at least, so that no thread waits long for another.
constexpr int64_t kTasksPerThread = 8;

enum Slot { kPackedSlot, kTaskSlot };

constexpr int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

/// [begin, end) of part i when n things are divided evenly.
struct Part {
  Part(int64_t n, int64_t parts, int64_t i) : begin(n * i / parts), end(n * (i + 1) / parts) {}
  int64_t size() const { return end - begin; }
  int64_t begin, end;
};

/// How the work is cut. Of these only the blocks of keys change the result's bits, and they depend on nothing else.
struct Cut {
  int64_t key_blocks, query_block, query_blocks, heads_together;
  float scale;                       // of q·k, for powers of 2
  const Bf16Tiles* pairs = nullptr;  // if set, arithmetic is that of pairs of bfloat16
  int64_t words(int64_t n) const { return pairs ? divide_up(n, 2) : n; }
};

template <typename T>
Cut cut_of(const AttentionArguments<T>& args) {
  Cut cut{};
  cut.key_blocks = divide_up(args.context, kKeyBlock);
  cut.query_block = args.head_size < kWideHead ? kQueryBlock : kQueryBlockOfWideHeads;
  const int64_t heads = args.batch * args.heads;
  while (cut.query_block > kLeastQueryBlock &&
         heads * divide_up(args.tokens, cut.query_block) < 2 * num_threads())
    cut.query_block /= 2;
  cut.query_blocks = divide_up(args.tokens, cut.query_block);
  const int64_t for_cache = kPackedFloats / (2 * args.context * args.head_size);
  const int64_t for_threads = divide_up(kTasksPerThread * num_threads(), cut.query_blocks);
  cut.heads_together = std::min(std::max({for_cache, for_threads, int64_t{1}}), heads);
  const double scale = args.scale ? *args.scale : 1 / std::sqrt(static_cast<double>(args.head_size));
  cut.scale = static_cast<float>(scale * std::numbers::log2e);  // the kernel raises 2 to the scores
  return cut;
}

}  // namespace
}  // namespace limn::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace limn::kernels::HWY_NAMESPACE {
namespace {
using namespace attention_lanes;

/// Keys as [tile][channel][key of the tile], values as [tile][key][channel of the tile], so that tiles read on and on;
/// of pairs, [channel / 2] and [key / 2].
template <typename T>
HWY_NOINLINE void pack_block(const AttentionArguments<T>& args, const Cut& cut, int64_t head,
                             const Part& block, float* keys, float* values) {
  const int64_t size = args.head_size, batch = head / args.heads, column = head % args.heads * size;
  const T* k = args.k + (batch * args.context + block.begin) * args.k_stride + column;
  const T* v = args.v + (batch * args.context + block.begin) * args.v_stride + column;
  const int64_t tiles = divide_up(block.size(), kRows), channel_tiles = divide_up(size, kRows);
  for (int64_t t = 0; t < tiles; ++t) {
    const Part tile(block.size(), tiles, t);
    const T* from = k + tile.begin * args.k_stride;
    float* to = keys + tile.begin * cut.words(size);
    if constexpr (std::is_same_v<T, uint16_t>) {
      if (cut.pairs) {
        transpose_pairs(from, args.k_stride, tile.size(), size, to, tile.size());
        continue;
      }
    }
    transpose(from, args.k_stride, tile.size(), size, 1.0F, to, tile.size());
  }
  for (int64_t t = 0; t < channel_tiles; ++t) {
    const Part tile(size, channel_tiles, t);
    const T* from = v + tile.begin;
    float* to = values + tile.begin * cut.words(block.size());
    if constexpr (std::is_same_v<T, uint16_t>) {
      if (cut.pairs) {
        pair_rows(from, args.v_stride, block.size(), tile.size(), to);
        continue;
      }
    }
    for (int64_t key = 0; key < block.size(); ++key, from += args.v_stride, to += tile.size())
      for (int64_t i = 0; i < tile.size(); ++i) to[i] = storage::widened(from[i]);
  }
}

/// A tile's share of a task's scratch memory.
struct Tile {
  Tile(float* memory, int64_t head_size) : queries(memory), out(queries + head_size * kTile), running{} {
    float* rest = out + head_size * kTile;
    running = {rest, rest + kTile, rest + 2 * kTile, rest + 3 * kTile};
  }
  static int64_t floats(int64_t head_size) { return (2 * head_size + 4) * kTile; }
  float* queries;  // [head_size][kTile]
  float* out;      // [head_size][kTile]
  Running running;
};

HWY_NOINLINE void clear(const Tile& tile, int64_t head_size) {
  std::fill_n(tile.queries, 2 * head_size * kTile, 0.0F);
  std::fill_n(tile.running.top, 2 * kTile, -std::numeric_limits<float>::infinity());
  std::fill_n(tile.running.sum, kTile, 0.0F);
}

/// One block of keys and values for one tile of queries.
HWY_NOINLINE void meet(const Tile& tile, const Cut& cut, int64_t head_size, const float* keys,
                       const float* values, int64_t count, float* scores) {
  const auto* score_tiles = cut.pairs ? cut.pairs->score.data() : kScoreTiles.data();
  const auto* value_tiles = cut.pairs ? cut.pairs->value.data() : kValueTiles.data();
  const int64_t tiles = divide_up(count, kRows), channel_tiles = divide_up(head_size, kRows);
  const int64_t channel_words = cut.words(head_size), key_words = cut.words(count);
  for (int64_t t = 0; t < tiles; ++t) {
    const Part part(count, tiles, t);
    score_tiles[part.size() - 1](keys + part.begin * channel_words, tile.queries, channel_words,
                                 scores + part.begin * kTile, tile.running.next);
  }
  if (cut.pairs)
    soften_to_pairs(scores, count, tile.running, cut.scale);
  else
    soften(scores, count, tile.running);
  for (int64_t t = 0; t < channel_tiles; ++t) {
    const Part part(head_size, channel_tiles, t);
    value_tiles[part.size() - 1](values + part.begin * key_words, scores, key_words,
                                 tile.out + part.begin * kTile, tile.running.factor);
  }
}

HWY_NOINLINE void divide_by_sum(const Tile& tile, int64_t head_size) {
  for (int64_t at = 0; at < kTile; at += kLanes) {
    const V one_over = hn::Div(hn::Set(d, 1.0F), hn::Load(d, tile.running.sum + at));
    for (float* out = tile.out + at; out < tile.out + head_size * kTile; out += kTile)
      hn::Store(hn::Mul(hn::Load(d, out), one_over), d, out);
  }
}

template <typename T>
HWY_NOINLINE void load_queries(const T* q, int64_t stride, int64_t count, int64_t head_size, const Cut& cut,
                               float* to) {
  if constexpr (std::is_same_v<T, uint16_t>) {
    if (cut.pairs) return transpose_pairs(q, stride, count, head_size, to, kTile);
  }
  transpose(q, stride, count, head_size, cut.scale, to, kTile);
}

template <typename T>
HWY_NOINLINE void attend_queries(const AttentionArguments<T>& args, const Cut& cut, int64_t head,
                                 int64_t query_block, const float* keys, const float* values) {
  const int64_t size = args.head_size, first = query_block * cut.query_block;
  const int64_t count = std::min(cut.query_block, args.tokens - first), tiles = divide_up(count, kTile);
  const int64_t row = head / args.heads * args.tokens + first, column = head % args.heads * size;
  const T* q = args.q + row * args.q_stride + column;
  T* out = args.out + row * args.out_stride + column;
  float* const scores = scratch(kTaskSlot, kKeyBlock * kTile + tiles * Tile::floats(size));
  float* const memory = scores + kKeyBlock * kTile;
  const auto tile_at = [&](int64_t t) { return Tile(memory + t * Tile::floats(size), size); };

  for (int64_t t = 0; t < tiles; ++t) {
    const Tile tile = tile_at(t);
    clear(tile, size);
    load_queries(q + t * kTile * args.q_stride, args.q_stride, std::min(kTile, count - t * kTile), size, cut,
                 tile.queries);
  }
  for (int64_t b = 0; b < cut.key_blocks; ++b) {
    const Part block(args.context, cut.key_blocks, b);
    for (int64_t t = 0; t < tiles; ++t)
      meet(tile_at(t), cut, size, keys + block.begin * size, values + block.begin * size, block.size(),
           scores);
  }
  for (int64_t t = 0; t < tiles; ++t) {
    const Tile tile = tile_at(t);
    divide_by_sum(tile, size);
    transpose(tile.out, kTile, size, std::min(kTile, count - t * kTile), 1.0F,
              out + t * kTile * args.out_stride, args.out_stride);
  }
}

template <typename T>
void attend(const AttentionArguments<T>& args) {
  Cut cut = cut_of(args);
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  static_assert(kTile == 32 && kRows == 14);
  // Pairs find the maximum before the scale is applied, so it must not turn the order around.
  if (std::is_same_v<T, uint16_t> && cut.scale > 0) cut.pairs = bf16_tiles();
#endif
  const int64_t heads = args.batch * args.heads, floats = args.context * args.head_size;
  float* const keys = scratch(kPackedSlot, 2 * cut.heads_together * floats);
  float* const values = keys + cut.heads_together * floats;
  for (int64_t first = 0; first < heads; first += cut.heads_together) {
    const int64_t together = std::min(cut.heads_together, heads - first);
    parallel_for(together * cut.key_blocks, together * floats, [&](int64_t i) {
      const int64_t head = i / cut.key_blocks;
      const Part block(args.context, cut.key_blocks, i % cut.key_blocks);
      const int64_t at = head * floats + block.begin * args.head_size;
      pack_block(args, cut, first + head, block, keys + at, values + at);
    });
    parallel_for(together * cut.query_blocks, 2 * together * args.tokens * floats, [&](int64_t i) {
      const int64_t head = i % together;  // first, as heads lie side by side in q and out
      attend_queries(args, cut, first + head, i / together, keys + head * floats, values + head * floats);
    });
  }
}

void attend_f32(const AttentionArgs& args) { attend(args); }
void attend_bf16(const AttentionBf16Args& args) { attend(args); }

}  // namespace
}  // namespace limn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace limn::kernels {
namespace {

HWY_EXPORT(attend_f32);
HWY_EXPORT(attend_bf16);

/// The arguments with their strides filled in; nothing if the result is already there.
template <typename T>
std::optional<AttentionArguments<T>> checked(AttentionArguments<T> args) {
  if (args.batch < 0 || args.heads < 1 || args.tokens < 0 || args.context < 0 || args.head_size < 1)
    throw Error(ErrorCode::InvalidArgument, "attention",
                "batch " + std::to_string(args.batch) + ", heads " + std::to_string(args.heads) +
                    ", tokens " + std::to_string(args.tokens) + ", context " + std::to_string(args.context) +
                    ", head size " + std::to_string(args.head_size),
                "heads and head size are at least 1, the others at least 0");
  const int64_t width = args.heads * args.head_size;
  for (int64_t* stride : {&args.q_stride, &args.k_stride, &args.v_stride, &args.out_stride})
    if (*stride == 0) *stride = width;
  if (args.batch == 0 || args.tokens == 0) return {};
  if (args.context == 0) {
    for (int64_t row = 0; row < args.batch * args.tokens; ++row)
      std::fill_n(args.out + row * args.out_stride, width, T{0});
    return {};
  }
  return args;
}

}  // namespace

void attention(const AttentionArgs& args) {
  if (const auto whole = checked(args)) HWY_DYNAMIC_DISPATCH(attend_f32)(*whole);
}

void attention(const AttentionBf16Args& args) {
  if (const auto whole = checked(args)) HWY_DYNAMIC_DISPATCH(attend_bf16)(*whole);
}

}  // namespace limn::kernels
#endif
