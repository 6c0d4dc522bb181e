// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { alphaBar, noisedStart, whatStays } from "./start";
import { filled, random } from "./testing";
import type { Pixels } from "./bitmap";

const [width, height] = [96, 64];

/** Broad stripes with fine texture on them. */
function scene(): Pixels {
  const pixels = filled({ x: 0, y: 0, width, height }, 4, random(1));
  for (let i = 0; i < pixels.length; i += 4) {
    const x = (i / 4) % width;
    for (let c = 0; c < 3; c++) pixels[i + c] = (x < 48 ? 60 : 190) + (pixels[i + c]! - 128) / 6;
    pixels[i + 3] = 255;
  }
  return pixels;
}

function difference(a: Pixels, b: Pixels): number {
  return Math.sqrt(a.reduce((total, value, i) => total + (value - b[i]!) ** 2, 0) / a.length);
}

describe("the share of a picture that a strength leaves", () => {
  it("is Stable Diffusion's, from all to nothing", () => {
    expect(alphaBar(0)).toBe(1);
    expect(alphaBar(0.5)).toBeCloseTo(0.2777, 3);
    expect(alphaBar(0.999)).toBeLessThan(0.005);
    expect(alphaBar(1)).toBe(0);
  });
});

describe("what stays", () => {
  it("is everything at 0, and less the greater the strength", () => {
    const pixels = scene();
    let last = difference(pixels, whatStays(pixels, width, height, 0));
    expect(last).toBeLessThan(1);
    for (const strength of [0.2, 0.4, 0.6, 0.8, 1]) {
      const next = difference(pixels, whatStays(pixels, width, height, strength));
      expect(next).toBeGreaterThan(last);
      last = next;
    }
  });

  it("loses texture long before it loses the composition", () => {
    const seen = whatStays(scene(), width, height, 0.5);
    const red = (x: number, y: number) => seen[(y * width + x) * 4]!;
    expect(red(80, 32) - red(16, 32)).toBeGreaterThan(80);
    const texture = (pixels: Pixels) => {
      let total = 0;
      for (let x = 5; x < 40; x++)
        total += Math.abs(pixels[(32 * width + x) * 4]! - pixels[(32 * width + x + 1) * 4]!);
      return total;
    };
    expect(texture(seen)).toBeLessThan(texture(scene()) / 5);
  });

  it("is one colour at 1", () => {
    const seen = whatStays(scene(), width, height, 1);
    expect(new Set([...seen].filter((_, i) => i % 4 === 0)).size).toBe(1);
  });
});

describe("the noised start", () => {
  it("is the picture at 0, the same for the same seed, and noise at 1", () => {
    const pixels = scene();
    expect(noisedStart(pixels, width, height, 0)).toEqual(pixels);
    expect(noisedStart(pixels, width, height, 0.5)).toEqual(noisedStart(pixels, width, height, 0.5));
    expect(noisedStart(pixels, width, height, 0.5, 1, 2)).not.toEqual(
      noisedStart(pixels, width, height, 0.5),
    );
    const noise = noisedStart(pixels, width, height, 1);
    const half = (from: number) => {
      let total = 0;
      for (let y = 0; y < height; y++)
        for (let x = from; x < from + 48; x++) total += noise[(y * width + x) * 4]!;
      return total / 48 / height;
    };
    expect(Math.abs(half(0) - half(48))).toBeLessThan(40); // the stripes are gone
  });
});
