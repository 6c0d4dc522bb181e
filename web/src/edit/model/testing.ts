// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share.
import type { Channels, Pixels } from "./bitmap";
import type { Rect } from "./rect";

/** Numbers from 0 to 1, the same for the same seed: xorshift32. */
export function random(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

export function filled(part: Rect, channels: Channels, next: () => number): Pixels {
  return Uint8ClampedArray.from(
    { length: part.width * part.height * channels },
    () => next() * 256,
  ) as Pixels;
}

export function flat(part: Rect, colour: readonly number[]): Pixels {
  const pixels: Pixels = new Uint8ClampedArray(part.width * part.height * colour.length);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colour[i % colour.length]!;
  return pixels;
}

export function sum(pixels: Pixels): number {
  return pixels.reduce((total, value) => total + value, 0);
}
