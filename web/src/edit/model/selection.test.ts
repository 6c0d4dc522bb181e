// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Bitmap } from "./bitmap";
import { distanceTo } from "./blur";
import { combine, feather, grow, invert, ofPolygon, ofRect, outline } from "./selection";
import { filled, random, sum } from "./testing";

const bounds = { x: -20, y: -10, width: 120, height: 90 };

describe("a lasso", () => {
  it("holds what a line of points goes around", () => {
    const square = [
      { x: 10, y: 10 },
      { x: 30, y: 10 },
      { x: 30, y: 25 },
      { x: 10, y: 25 },
    ];
    const selection = ofPolygon(square, bounds);
    expect(selection.extent()).toEqual({ x: 10, y: 10, width: 20, height: 15 });
    expect(selection.read(selection.extent()).every((share) => share === 255)).toBe(true);
  });

  it("has the area of its polygon, edges in shares", () => {
    const triangle = [
      { x: 0.3, y: 2.1 },
      { x: 71.7, y: 9.4 },
      { x: 33.3, y: 66.6 },
    ];
    const [a, b, c] = triangle as [(typeof triangle)[0], (typeof triangle)[0], (typeof triangle)[0]];
    const area = Math.abs((b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y)) / 2;
    expect(sum(ofPolygon(triangle, bounds).read(bounds)) / 255).toBeCloseTo(area, -1);
  });

  it("leaves out what it goes around twice, by the even-odd rule", () => {
    const star = [0, 2, 4, 1, 3].map((i) => ({
      x: 40 + 30 * Math.cos((i * 2 * Math.PI) / 5),
      y: 40 + 30 * Math.sin((i * 2 * Math.PI) / 5),
    }));
    const at = (x: number, y: number) => ofPolygon(star, bounds).read({ x, y, width: 1, height: 1 })[0];
    expect(at(40, 40)).toBe(0);
    expect(at(64, 40)).toBe(255);
  });

  it("ends at the bounds, and is nothing for less than three points", () => {
    const wide = [
      { x: -500, y: -500 },
      { x: 500, y: -500 },
      { x: 500, y: 500 },
      { x: -500, y: 500 },
    ];
    expect(ofPolygon(wide, bounds).extent()).toEqual(bounds);
    expect(ofPolygon(wide.slice(0, 2), bounds).isBlank).toBe(true);
    expect(ofPolygon([], bounds).isBlank).toBe(true);
  });
});

describe("selections together", () => {
  const left = ofRect({ x: 0, y: 0, width: 20, height: 10 });
  const right = ofRect({ x: 10, y: 0, width: 20, height: 10 });
  const area = (selection: Bitmap) => sum(selection.read(bounds)) / 255;

  it("add, subtract and intersect", () => {
    expect(area(combine(left, right, "add", bounds))).toBe(300);
    expect(area(combine(left, right, "subtract", bounds))).toBe(100);
    expect(area(combine(left, right, "intersect", bounds))).toBe(100);
    expect(combine(left, right, "replace", bounds)).toBe(right);
    expect(area(combine(left, ofRect({ x: 400, y: 400, width: 5, height: 5 }), "intersect", bounds))).toBe(0);
  });

  it("take no selection for everything, and for nothing to add to", () => {
    expect(area(combine(null, left, "subtract", bounds))).toBe(bounds.width * bounds.height - 200);
    expect(area(combine(null, left, "intersect", bounds))).toBe(200);
    expect(area(combine(null, left, "add", bounds))).toBe(200);
  });

  it("invert to what is left, twice to themselves", () => {
    const soft = Bitmap.of(1, bounds, filled(bounds, 1, random(3)));
    expect(area(invert(left, bounds))).toBe(bounds.width * bounds.height - 200);
    expect(invert(invert(soft, bounds), bounds).read(bounds)).toEqual(soft.read(bounds));
  });
});

describe("feather", () => {
  const square = { x: 20, y: 20, width: 40, height: 30 };

  it("keeps the area, halves the edge, and fades on both sides of it", () => {
    const soft = feather(ofRect(square), 8, bounds);
    expect(sum(soft.read(bounds)) / 255 / 1200).toBeCloseTo(1, 1);
    const row = soft.read({ x: 10, y: 35, width: 20, height: 1 });
    expect((row[9]! + row[10]!) / 2).toBeGreaterThan(122);
    expect((row[9]! + row[10]!) / 2).toBeLessThan(133);
    for (let i = 1; i < row.length; i++) expect(row[i]).toBeGreaterThanOrEqual(row[i - 1]!);
    expect(row[0]).toBeLessThan(10);
    expect(row[19]).toBeGreaterThan(245);
  });

  it("does not fade at the edge of the picture", () => {
    const soft = feather(ofRect({ ...bounds, width: 60 }), 10, bounds);
    expect(soft.read({ x: bounds.x, y: bounds.y, width: 1, height: 1 })[0]).toBe(255);
    expect(soft.read({ x: bounds.x + 70, y: 0, width: 1, height: 1 })[0]).toBeLessThan(6);
  });

  it("of nothing, or by nothing, changes nothing", () => {
    const selection = ofRect(square);
    expect(feather(selection, 0, bounds)).toBe(selection);
    expect(feather(new Bitmap(1), 5, bounds).isBlank).toBe(true);
  });
});

describe("growing", () => {
  const square = { x: 20, y: 20, width: 20, height: 20 };

  it("widens all round by that many pixels, round at the corners", () => {
    const grown = grow(ofRect(square), 5, bounds);
    expect(grown.extent()).toEqual({ x: 15, y: 15, width: 30, height: 30 });
    expect(grown.read({ x: 15, y: 30, width: 1, height: 1 })[0]).toBe(255);
    expect(grown.read({ x: 15, y: 15, width: 1, height: 1 })[0]).toBe(0);
  });

  it("narrows when negative, though not from the edge of the picture", () => {
    expect(grow(ofRect(square), -5, bounds).extent()).toEqual({ x: 25, y: 25, width: 10, height: 10 });
    expect(grow(ofRect(square), -11, bounds).isBlank).toBe(true);
    expect(grow(ofRect(bounds), -5, bounds).extent()).toEqual(bounds);
  });

  it("measures distances exactly", () => {
    const next = random(8);
    const [width, height] = [31, 23];
    const pixels = Uint8ClampedArray.from({ length: width * height }, () =>
      next() < 0.02 ? 255 : 0,
    ) as ReturnType<typeof filled>;
    const far = distanceTo(pixels, width, height);
    for (let i = 0; i < pixels.length; i++) {
      let least = Infinity;
      for (let j = 0; j < pixels.length; j++)
        if (pixels[j])
          least = Math.min(
            least,
            Math.hypot((i % width) - (j % width), Math.floor(i / width) - Math.floor(j / width)),
          );
      expect(far[i]).toBeCloseTo(least, 4);
    }
  });
});

describe("an outline", () => {
  it("goes once around each piece, and around its holes", () => {
    const square = outline(ofRect({ x: 3, y: 4, width: 10, height: 20 }));
    expect(square).toHaveLength(1);
    expect(new Set(square[0]!.map(({ x, y }) => `${x},${y}`))).toEqual(
      new Set(["3,4", "13,4", "13,24", "3,24"]),
    );

    const ring = combine(
      ofRect({ x: 0, y: 0, width: 30, height: 30 }),
      ofRect({ x: 10, y: 10, width: 10, height: 10 }),
      "subtract",
      bounds,
    );
    const apart = combine(ring, ofRect({ x: 50, y: 50, width: 1, height: 1 }), "add", bounds);
    expect(outline(apart)).toHaveLength(3);
    expect(outline(new Bitmap(1))).toEqual([]);
  });

  it("encloses exactly what is selected", () => {
    const next = random(12);
    const noise = Bitmap.of(
      1,
      bounds,
      filled(bounds, 1, () => (next() < 0.4 ? 0.999 : 0)),
    );
    const area = outline(noise).reduce((total, corners) => {
      const last = corners.at(-1)!;
      return (
        total +
        corners.reduce(([sum, a], b): [number, typeof b] => [sum + (a.x * b.y - b.x * a.y) / 2, b], [
          0,
          last,
        ] as [number, typeof last])[0]
      );
    }, 0);
    expect(area).toBe(sum(noise.read(bounds)) / 255);
  });
});
