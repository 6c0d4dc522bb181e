// SPDX-License-Identifier: Apache-2.0
// What image to image starts from, seen without a model: the picture under as much noise as a strength stands for, and an
// estimate of what of the picture can still be told from that noise.
import type { Pixels } from "./bitmap";
import { blurFloats } from "./blur";

const TIMESTEPS = 1000;
const CELL = 8; // pixels a side that one value of the latents stands for
const BANDS = [1, 2, 4, 8, 16, 32, 64]; // pixels: standard deviations of the blurs that part fine from coarse
const KNOWING = 0.15; // a model tells a picture from noise better than a linear filter: it sees as if there were less noise

/** Share of the picture's energy at a strength: ᾱ of Stable Diffusion's scaled linear schedule; 0 of a picture forgotten. */
export function alphaBar(strength: number): number {
  if (strength >= 1) return 0;
  const last = Math.round(Math.min(1, Math.max(0, strength)) * TIMESTEPS);
  const [start, end] = [Math.sqrt(0.00085), Math.sqrt(0.012)];
  let product = 1;
  for (let t = 0; t < last; t++) product *= 1 - (start + ((end - start) * t) / (TIMESTEPS - 1)) ** 2;
  return product;
}

/** Share of white noise in cells of 8 pixels that falls into the octave around a scale. */
function noiseIn(scale: number): number {
  return scale < CELL ? 1 : 0.75 * 4 ** -Math.log2(scale / CELL);
}

function channel(pixels: Pixels, c: number): Float32Array {
  return Float32Array.from({ length: pixels.length / 4 }, (_, i) => pixels[i * 4 + c]!);
}

function meanOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function variance(values: Float32Array, mean: number): number {
  let sum = 0;
  for (const value of values) sum += (value - mean) ** 2;
  return sum / values.length;
}

/** The same numbers for the same seed: mulberry32, and Box and Muller's normal distribution. */
function gaussian(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/**
 * What stays: each band of detail as far as it rises above the noise (Wiener's filter).
 * @param scale pixels of the document to one of these
 */
export function whatStays(
  pixels: Pixels,
  width: number,
  height: number,
  strength: number,
  scale = 1,
): Pixels {
  const kept = alphaBar(strength);
  const noise = ((1 - kept) / kept) * KNOWING;
  const out: Pixels = pixels.slice();
  for (let c = 0; c < 3; c++) {
    let finer = channel(pixels, c);
    const mean = meanOf(finer);
    const whole = variance(finer, mean) || 1;
    const sum = new Float32Array(finer.length).fill(mean);
    const keep = (band: Float32Array, size: number) => {
      const power = variance(band, 0);
      const gain = power / (power + noise * whole * noiseIn(size)) || 0;
      for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + gain * band[i]!;
    };
    for (const sigma of BANDS.filter((band) => band >= scale / 2)) {
      const coarser = blurFloats(finer, width, height, sigma / scale);
      keep(
        finer.map((value, i) => value - coarser[i]!),
        2 * sigma,
      );
      finer = coarser;
    }
    keep(
      finer.map((value) => value - mean),
      4 * BANDS.at(-1)!,
    );
    for (let i = 0; i < sum.length; i++) out[i * 4 + c] = sum[i]!;
  }
  return out;
}

/** The noised start itself: the picture fades as noise takes its place, with the same spread of values. */
export function noisedStart(
  pixels: Pixels,
  width: number,
  height: number,
  strength: number,
  scale = 1,
  seed = 1,
): Pixels {
  const kept = alphaBar(strength);
  const cell = Math.max(1, CELL / scale);
  const columns = Math.ceil(width / cell);
  const random = gaussian(seed);
  const out: Pixels = pixels.slice();
  for (let c = 0; c < 3; c++) {
    const values = channel(pixels, c);
    const mean = meanOf(values);
    const spread = Math.max(24, Math.sqrt(variance(values, mean)));
    const noise = Float32Array.from({ length: columns * Math.ceil(height / cell) }, random);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const i = y * width + x;
        const n = noise[Math.floor(y / cell) * columns + Math.floor(x / cell)]!;
        out[i * 4 + c] = mean + Math.sqrt(kept) * (values[i]! - mean) + Math.sqrt(1 - kept) * spread * n;
      }
  }
  return out;
}
