// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Bitmap, type Pixels } from "./bitmap";
import { alike, fill } from "./fill";
import { ofRect } from "./selection";
import { flat, random, sum } from "./testing";

const part = { x: -5, y: 7, width: 40, height: 30 };

/** A picture from rows of letters. */
function drawn(
  rows: string[],
  colours: Record<string, [number, number, number, number]>,
): [Pixels, typeof part] {
  const place = { x: 0, y: 0, width: rows[0]!.length, height: rows.length };
  return [Uint8ClampedArray.from([...rows.join("")].flatMap((letter) => colours[letter]!)) as Pixels, place];
}

function shares(bitmap: Bitmap, place: typeof part): string[] {
  const pixels = bitmap.read(place);
  return Array.from({ length: place.height }, (_, y) =>
    Array.from({ length: place.width }, (_, x) => (pixels[y * place.width + x] ? "#" : ".")).join(""),
  );
}

describe("what looks alike", () => {
  const colours: Record<string, [number, number, number, number]> = {
    a: [200, 10, 10, 255],
    b: [10, 10, 200, 255],
    c: [195, 14, 8, 255],
    " ": [90, 90, 90, 0],
    _: [0, 0, 0, 0],
  };

  it("is found around corners, but not across diagonals", () => {
    const rows = ["aaabaa", "bbabba", "aaabaa", "abbbbb", "aaaaab"];
    const [pixels, place] = drawn(rows, colours);
    expect(shares(alike(pixels, place, 0, 0, 0), place)).toEqual([
      "###...",
      "..#...",
      "###...",
      "#.....",
      "#####.",
    ]);
    expect(shares(alike(pixels, place, 5, 1, 0), place)).toEqual([
      "....##",
      ".....#",
      "....##",
      "......",
      "......",
    ]);
  });

  it("is found everywhere when it need not hang together", () => {
    const [pixels, place] = drawn(["aba", "bab"], colours);
    expect(shares(alike(pixels, place, 0, 0, 0, false), place)).toEqual(["#.#", ".#."]);
  });

  it("may differ by the tolerance in each channel", () => {
    const [pixels, place] = drawn(["acb"], colours);
    expect(shares(alike(pixels, place, 0, 0, 4), place)).toEqual(["#.."]);
    expect(shares(alike(pixels, place, 0, 0, 5), place)).toEqual(["##."]);
    expect(shares(alike(pixels, place, 0, 0, 255), place)).toEqual(["###"]);
  });

  it("does not look at the colour of what is transparent", () => {
    const [pixels, place] = drawn([" _a"], colours);
    expect(shares(alike(pixels, place, 0, 0, 0), place)).toEqual(["##."]);
  });

  it("is nothing from a place outside", () => {
    expect(alike(flat(part, [1, 2, 3, 255]), part, 100, 100, 0).isBlank).toBe(true);
  });

  it("is the same as by the plain definition, on mazes", () => {
    for (let seed = 1; seed < 20; seed++) {
      const next = random(seed);
      const pixels = flat(part, [0, 0, 0, 255]);
      for (let i = 0; i < pixels.length; i += 4) pixels[i] = next() < 0.4 ? 255 : 0;
      const seen = new Set<number>();
      const start = Math.floor(next() * part.width * part.height);
      const waiting = [start];
      while (waiting.length) {
        const at = waiting.pop()!;
        if (seen.has(at) || pixels[at * 4] !== pixels[start * 4]) continue;
        seen.add(at);
        const x = at % part.width;
        if (x > 0) waiting.push(at - 1);
        if (x < part.width - 1) waiting.push(at + 1);
        if (at >= part.width) waiting.push(at - part.width);
        if (at + part.width < part.width * part.height) waiting.push(at + part.width);
      }
      const found = alike(
        pixels,
        part,
        part.x + (start % part.width),
        part.y + Math.floor(start / part.width),
        0,
      );
      const marked = [...found.read(part).keys()].filter((at) => found.read(part)[at]);
      expect(marked).toEqual([...seen].sort((a, b) => a - b));
    }
  });
});

describe("filling", () => {
  it("colours what is selected, as far as it is selected", () => {
    const bitmap = Bitmap.of(4, part, flat(part, [0, 0, 0, 255]));
    const half = Bitmap.of(1, part, flat(part, [128]));
    const ink = { erase: false, colour: [255, 255, 255] as const, opacity: 1 };
    const out = fill(bitmap, half, ink, part).read(part);
    expect([...out.subarray(0, 4)]).toEqual([128, 128, 128, 255]);
  });

  it("ends at the frame, and can take away", () => {
    const mask = fill(new Bitmap(1), ofRect({ x: -99, y: -99, width: 300, height: 300 }), white, part);
    expect(mask.extent()).toEqual(part);
    const hole = { x: 0, y: 10, width: 5, height: 5 };
    const less = fill(mask, ofRect(hole), { ...white, erase: true }, part);
    expect(sum(less.read(part)) / 255).toBe(part.width * part.height - 25);
  });

  const white = { erase: false, colour: [255, 255, 255] as const, opacity: 1 };
});
