// SPDX-License-Identifier: Apache-2.0
import type { Pixels } from "./bitmap";

const BOXES = 3;

/** Widths of three boxes whose convolution is about a Gaussian of that standard deviation. */
function boxesFor(sigma: number): number[] {
  const ideal = Math.sqrt((12 * sigma * sigma) / BOXES + 1);
  const small = Math.floor(ideal) - (Math.floor(ideal) % 2 === 0 ? 1 : 0);
  const smalls = Math.round(
    (12 * sigma * sigma - BOXES * small * small - 4 * BOXES * small - 3 * BOXES) / (-4 * small - 4),
  );
  return Array.from({ length: BOXES }, (_, i) => (i < smalls ? small : small + 2));
}

/** One pass along lines of `count` values, `step` apart; the last value goes on beyond the edges. */
function box(
  from: Float32Array,
  to: Float32Array,
  start: number,
  count: number,
  step: number,
  width: number,
): void {
  const reach = (width - 1) >> 1;
  const first = from[start]!;
  const last = from[start + (count - 1) * step]!;
  const at = (i: number) => (i < 0 ? first : i >= count ? last : from[start + i * step]!);
  let sum = 0;
  for (let i = -reach; i <= reach; i++) sum += at(i);
  for (let i = 0; i < count; i++) {
    to[start + i * step] = sum / width;
    sum += at(i + reach + 1) - at(i - reach);
  }
}

/** Gaussian blur of one channel, edges held. */
export function blurFloats(values: Float32Array, width: number, height: number, sigma: number): Float32Array {
  const out = values.slice();
  const between = new Float32Array(values.length);
  for (const size of boxesFor(sigma)) {
    if (size <= 1) continue;
    for (let y = 0; y < height; y++) box(out, between, y * width, width, 1, size);
    for (let x = 0; x < width; x++) box(between, out, x, height, width, size);
  }
  return out;
}

export function blur(pixels: Pixels, width: number, height: number, sigma: number): Pixels {
  return new Uint8ClampedArray(blurFloats(Float32Array.from(pixels), width, height, sigma));
}

/** Distance of each pixel's middle to that of the nearest pixel above 0 (Felzenszwalb & Huttenlocher 2012). */
export function distanceTo(pixels: Pixels, width: number, height: number): Float32Array {
  const far = Float32Array.from(pixels, (value) => (value > 0 ? 0 : Infinity));
  const longest = Math.max(width, height);
  const line = new Float64Array(longest);
  const roots = new Int32Array(longest);
  const bounds = new Float64Array(longest + 1);
  for (let x = 0; x < width; x++) lowerEnvelope(far, x, height, width, line, roots, bounds);
  for (let y = 0; y < height; y++) lowerEnvelope(far, y * width, width, 1, line, roots, bounds);
  return far.map(Math.sqrt);
}

/** Replaces f by min over q of f(q) + (p - q)², along one line. */
function lowerEnvelope(
  values: Float32Array,
  start: number,
  count: number,
  step: number,
  line: Float64Array,
  roots: Int32Array,
  bounds: Float64Array,
): void {
  let last = -1;
  for (let q = 0; q < count; q++) {
    line[q] = values[start + q * step]!;
    if (line[q] === Infinity) continue;
    let crossing = -Infinity;
    while (last >= 0) {
      const root = roots[last]!;
      crossing = (line[q]! + q * q - (line[root]! + root * root)) / (2 * (q - root));
      if (crossing > bounds[last]!) break;
      last--;
    }
    last++;
    roots[last] = q;
    bounds[last] = last === 0 ? -Infinity : crossing;
    bounds[last + 1] = Infinity;
  }
  if (last < 0) return;
  let k = 0;
  for (let p = 0; p < count; p++) {
    while (k < last && bounds[k + 1]! < p) k++;
    values[start + p * step] = (p - roots[k]!) ** 2 + line[roots[k]!]!;
  }
}
