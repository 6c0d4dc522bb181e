// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Bitmap } from "./bitmap";
import { addLayer, changeLayer, flatten, flattenMask, newLayer, type Doc } from "./document";
import { resample } from "./resample";
import { ofRect } from "./selection";
import { docOf, reframe, resized, scaledLayer, turned, type Turn } from "./transform";
import { filled, flat, random } from "./testing";

function sample(): Doc {
  const part = { x: 0, y: 0, width: 7, height: 5 };
  const doc = docOf(filled(part, 4, random(1)), 7, 5, { picture: "p", mask: "m" });
  const dot = { x: 1, y: 2, width: 2, height: 1 };
  const masked = changeLayer(doc, 2, { bitmap: Bitmap.of(1, dot, new Uint8ClampedArray([10, 20])) });
  const pasted = addLayer(masked, {
    ...newLayer("paint", "x", Bitmap.of(4, dot, filled(dot, 4, random(2)))),
    x: 3,
    y: -1,
  });
  return { ...pasted, selection: ofRect(dot) };
}

const looks = (doc: Doc) => [doc.bounds, flatten(doc), flattenMask(doc), doc.selection?.read(doc.bounds)];

describe("turning", () => {
  it.each<[Turn, Turn]>([
    ["flipX", "flipX"],
    ["flipY", "flipY"],
    ["halfway", "halfway"],
    ["clockwise", "anticlockwise"],
  ])("%s and %s together change nothing", (there, back) => {
    expect(looks(turned(turned(sample(), there), back))).toEqual(looks(sample()));
  });

  it("four times clockwise changes nothing, twice is halfway, and both flips are halfway", () => {
    const once = (doc: Doc) => turned(doc, "clockwise");
    expect(looks(once(once(once(once(sample())))))).toEqual(looks(sample()));
    expect(looks(once(once(sample())))).toEqual(looks(turned(sample(), "halfway")));
    expect(looks(turned(turned(sample(), "flipX"), "flipY"))).toEqual(looks(turned(sample(), "halfway")));
  });

  it("clockwise brings the left column to the top", () => {
    const doc = turned(sample(), "clockwise");
    expect(doc.bounds).toEqual({ x: 0, y: 0, width: 5, height: 7 });
    const column = flatten(sample(), { x: 0, y: 0, width: 1, height: 5 });
    const row = flatten(doc, { x: 0, y: 0, width: 5, height: 1 });
    for (let i = 0; i < 5; i++)
      expect(row.slice(i * 4, i * 4 + 4)).toEqual(column.slice((4 - i) * 4, (5 - i) * 4));
  });
});

describe("another frame", () => {
  it("loses nothing that lies beyond", () => {
    const small = reframe(sample(), { x: 2, y: 1, width: 3, height: 2 });
    expect(flatten(small)).toEqual(flatten(sample(), { x: 2, y: 1, width: 3, height: 2 }));
    const back = reframe(small, sample().bounds);
    expect(flatten(back)).toEqual(flatten(sample()));
  });

  it("that is empty is not taken", () => {
    const doc = sample();
    expect(reframe(doc, { x: 0, y: 0, width: 0, height: 9 })).toBe(doc);
  });
});

describe("another size", () => {
  it("keeps one colour one colour, also where it is half transparent", () => {
    const part = { x: 0, y: 0, width: 13, height: 9 };
    for (const [width, height] of [
      [26, 18],
      [5, 4],
      [40, 3],
    ] as const) {
      const out = resample(flat(part, [200, 100, 50, 128]), 4, 13, 9, width, height);
      for (let i = 0; i < out.length; i++)
        expect(Math.abs(out[i]! - [200, 100, 50, 128][i % 4]!)).toBeLessThanOrEqual(1);
    }
  });

  it("does not bleed the colour of what is transparent", () => {
    const pixels = new Uint8ClampedArray([255, 0, 0, 0, 0, 255, 0, 255]);
    const out = resample(pixels, 4, 2, 1, 8, 1);
    for (let i = 0; i < out.length; i += 4) if (out[i + 3]! > 8) expect(out[i]).toBeLessThanOrEqual(2);
  });

  it("keeps a smooth ramp a ramp", () => {
    const ramp = Uint8ClampedArray.from({ length: 64 }, (_, x) => x * 4) as ReturnType<typeof flat>;
    const out = resample(ramp, 1, 64, 1, 128, 1);
    for (let x = 8; x < 120; x++) expect(Math.abs(out[x]! - (x * 2 - 1))).toBeLessThanOrEqual(2);
  });

  it("of a document gives all layers, masks and the selection that size", () => {
    const doc = resized(sample(), 14, 10);
    expect(doc.bounds).toEqual({ x: 0, y: 0, width: 14, height: 10 });
    expect(Math.max(...flattenMask(doc))).toBeGreaterThan(15);
    expect(doc.selection!.extent().width).toBeGreaterThanOrEqual(4);
    expect(resized(doc, 14, 10)).toBe(doc);
  });

  it("of a layer keeps its middle", () => {
    const part = { x: 10, y: 10, width: 20, height: 10 };
    const layer = {
      ...newLayer("image", "x", Bitmap.of(4, part, flat(part, [1, 2, 3, 255]))),
      id: 1,
      x: 5,
      y: 5,
    };
    expect(scaledLayer(layer, 2).bitmap.extent()).toEqual({ x: 5, y: 10, width: 40, height: 20 });
  });
});
