// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a shard, a safetensors file, holds its examples; dataset.cpp reads what build.cpp writes.
namespace limn::datasets {

inline constexpr char kPixels[] = "pixels";      // U8 [count, height, width, 3]
inline constexpr char kCaptions[] = "captions";  // U8 [bytes], UTF-8, one after the other, padded to 8 bytes
inline constexpr char kCaptionEnds[] = "caption_ends";  // I64 [count]
inline constexpr char kInputIds[] = "input_ids";  // I32 [ids], one caption after the other, padded to 8 bytes
inline constexpr char kInputIdEnds[] = "input_id_ends";  // I64 [count]
inline constexpr char kRows[] = "rows";                  // I64 [count], lines of the manifest, from 0
inline constexpr char kDescription[] = "dataset.json";
inline constexpr char kManifest[] = "manifest.jsonl";

}  // namespace limn::datasets
