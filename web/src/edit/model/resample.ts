// SPDX-License-Identifier: Apache-2.0
import type { Channels, Pixels } from "./bitmap";

const LOBES = 3;

function lanczos(x: number): number {
  if (x === 0) return 1;
  if (Math.abs(x) >= LOBES) return 0;
  const p = Math.PI * x;
  return (LOBES * Math.sin(p) * Math.sin(p / LOBES)) / (p * p);
}

interface Taps {
  readonly first: number;
  readonly weights: Float32Array;
}

/** What each new pixel of a line takes from the old ones; shrinking widens the filter. */
function taps(from: number, to: number): Taps[] {
  const scale = from / to;
  const widened = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const middle = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(middle - LOBES * widened));
    const last = Math.min(from, Math.ceil(middle + LOBES * widened));
    const weights = Float32Array.from({ length: last - first }, (_, k) =>
      lanczos((first + k + 0.5 - middle) / widened),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Filters along lines; a stride is the distance between lines, or between the values of one. */
function filter(
  from: Float32Array,
  to: Float32Array,
  table: Taps[],
  channels: number,
  lines: number,
  stride: { fromLine: number; fromStep: number; toLine: number; toStep: number },
): void {
  for (let line = 0; line < lines; line++)
    for (let i = 0; i < table.length; i++) {
      const { first, weights } = table[i]!;
      const out = line * stride.toLine + i * stride.toStep;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        let at = line * stride.fromLine + first * stride.fromStep + c;
        for (let k = 0; k < weights.length; k++, at += stride.fromStep) sum += from[at]! * weights[k]!;
        to[out + c] = sum;
      }
    }
}

function premultiplied(pixels: Pixels): Float32Array {
  const out = Float32Array.from(pixels);
  for (let i = 0; i < out.length; i += 4) {
    const a = out[i + 3]! / 255;
    for (let c = 0; c < 3; c++) out[i + c] = out[i + c]! * a;
  }
  return out;
}

/** Another size by Lanczos with 3 lobes. */
export function resample(
  pixels: Pixels,
  channels: Channels,
  width: number,
  height: number,
  newWidth: number,
  newHeight: number,
): Pixels {
  if (width === newWidth && height === newHeight) return pixels.slice();
  const n = channels;
  const source = n === 4 ? premultiplied(pixels) : Float32Array.from(pixels);
  const wide = new Float32Array(newWidth * height * n);
  const rows = { fromLine: width * n, fromStep: n, toLine: newWidth * n, toStep: n };
  filter(source, wide, taps(width, newWidth), n, height, rows);
  const all = new Float32Array(newWidth * newHeight * n);
  const columns = { fromLine: n, fromStep: newWidth * n, toLine: n, toStep: newWidth * n };
  filter(wide, all, taps(height, newHeight), n, newWidth, columns);
  if (n === 4)
    for (let i = 0; i < all.length; i += 4) {
      const a = Math.min(255, Math.max(0, all[i + 3]!)) / 255;
      for (let c = 0; c < 3; c++) all[i + c] = a > 0 ? all[i + c]! / a : 0;
    }
  return new Uint8ClampedArray(all);
}
