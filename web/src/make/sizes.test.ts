// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { shapeOf, shapes, sizeFor, validSide } from "./sizes";

const own = { width: 512, height: 512 };

describe("sizeFor", () => {
  it("keeps the model's size for a square", () => {
    expect(sizeFor("1:1", own, false)).toEqual(own);
    expect(sizeFor("1:1", { width: 128, height: 128 }, true)).toEqual({ width: 128, height: 128 });
  });
  it("turns", () => {
    const { width, height } = sizeFor("3:2", own, false);
    expect(sizeFor("3:2", own, true)).toEqual({ width: height, height: width });
  });
  it.each(shapes)("%s has about as many pixels, on the grid", (shape) => {
    for (const side of [128, 512, 1024]) {
      const { width, height } = sizeFor(shape, { width: side, height: side }, false);
      const grid = side >= 512 ? 64 : 32;
      expect([width % grid, height % grid]).toEqual([0, 0]);
      expect((width * height) / side ** 2).toBeGreaterThan(0.8);
      expect((width * height) / side ** 2).toBeLessThan(1.3);
    }
  });
  it.each(shapes)("shapeOf finds %s again", (shape) => {
    expect(shapeOf(sizeFor(shape, own, true), own)).toBe(shape);
  });
});

it("validSide rounds to eights and stays in bounds", () => {
  expect([validSide(515), validSide(1), validSide(1e9)]).toEqual([512, 8, 8192]);
});
