// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Bitmap } from "./bitmap";
import { coverage, Painter, Stroke, type Brush, type PenPoint } from "./brush";
import { ofRect } from "./selection";
import { flat, random } from "./testing";

const plain: Brush = {
  size: 10,
  hardness: 1,
  opacity: 1,
  spacing: 0.1,
  smoothing: 0,
  pressureSize: false,
  pressureOpacity: false,
};
const canvas = { x: 0, y: 0, width: 64, height: 64 };

function pen(...points: [number, number, number?][]): PenPoint[] {
  return points.map(([x, y, pressure = 0.5]) => ({ x, y, pressure }));
}

function dabsOf(brush: Brush, points: PenPoint[]) {
  const stroke = new Stroke(brush);
  return [...points.flatMap((point) => stroke.add(point)), ...stroke.end()];
}

function paint(
  brush: Brush,
  points: PenPoint[],
  options: { erase?: boolean; within?: Bitmap; base?: Bitmap } = {},
) {
  const ink = { erase: options.erase ?? false, colour: [255, 0, 0] as const, opacity: brush.opacity };
  const painter = new Painter(options.base ?? new Bitmap(1), brush, ink, options.within ?? null, canvas);
  painter.paint(dabsOf(brush, points));
  return painter.finish();
}

describe("a brush", () => {
  it("gives the same pixels for the same points", () => {
    const next = random(4);
    const points = Array.from({ length: 40 }, () => ({ x: next() * 64, y: next() * 64, pressure: next() }));
    const brush = { ...plain, hardness: 0.3, smoothing: 0.5, pressureSize: true, pressureOpacity: true };
    expect(paint(brush, points).read(canvas)).toEqual(paint(brush, points).read(canvas));
  });

  it("gives the same pixels whether dabs come at once or one by one", () => {
    const next = random(5);
    const points = Array.from({ length: 20 }, () => ({ x: next() * 64, y: next() * 64, pressure: next() }));
    const brush = { ...plain, hardness: 0.5, opacity: 0.6 };
    const ink = { erase: false, colour: [0, 0, 0] as const, opacity: 0.6 };
    const painter = new Painter(new Bitmap(1), brush, ink, null, canvas);
    for (const dab of dabsOf(brush, points)) {
      painter.paint([dab]);
      painter.snapshot(); // as the view does between two events
    }
    expect(painter.finish().read(canvas)).toEqual(paint(brush, points).read(canvas));
  });

  it("covers the area of its circle", () => {
    const covered = paint({ ...plain, size: 20 }, pen([32, 32])).read(canvas);
    const area = covered.reduce((total, share) => total + share / 255, 0);
    expect(area).toBeGreaterThan(Math.PI * 100 * 0.98);
    expect(area).toBeLessThan(Math.PI * 100 * 1.02);
  });

  it("is one pixel wide at its least, without gaps and without doubled corners", () => {
    const brush = { ...plain, size: 1 };
    const pixels = paint(brush, pen([2.5, 2.5], [40.5, 17.5], [60.5, 60.5])).read(canvas);
    expect(new Set(pixels)).toEqual(new Set([0, 255]));
    const drawn = [...pixels.keys()].filter((at) => pixels[at]);
    const near = (a: number, b: number) =>
      Math.max(Math.abs((a % 64) - (b % 64)), Math.abs(Math.floor(a / 64) - Math.floor(b / 64))) === 1;
    for (const at of drawn) {
      const neighbours = drawn.filter((other) => near(at, other)).length;
      expect(neighbours).toBeGreaterThanOrEqual(1);
      expect(neighbours).toBeLessThanOrEqual(3);
    }
    expect(paint(brush, pen([7.9, 9.1])).extent()).toEqual({ x: 7, y: 9, width: 1, height: 1 });
  });

  it("sets dabs at even distances", () => {
    const dabs = dabsOf({ ...plain, size: 20, spacing: 0.25 }, pen([0, 0], [30, 0], [100, 0]));
    const gaps = dabs.slice(1).map((dab, i) => dab.x - dabs[i]!.x);
    for (const gap of gaps) expect(gap).toBeCloseTo(5, 6);
    expect(dabs.at(-1)!.x).toBe(100);
  });

  it("is nowhere denser in one stroke than its opacity, and adds up over two", () => {
    const half = { ...plain, opacity: 0.5 };
    const once = paint(half, pen([20, 32], [40, 32], [20, 32], [40, 32]));
    expect(Math.max(...once.read(canvas))).toBe(128);
    const twice = paint(half, pen([20, 32], [40, 32]), { base: once });
    expect(Math.max(...twice.read(canvas))).toBeGreaterThan(185);
  });

  it("follows pressure in size and in opacity", () => {
    const wide = paint({ ...plain, pressureSize: true }, pen([32, 32, 1])).extent();
    const narrow = paint({ ...plain, pressureSize: true }, pen([32, 32, 0.25])).extent();
    expect(wide.width).toBeGreaterThan(3 * narrow.width);
    const pale = paint({ ...plain, pressureOpacity: true }, pen([32, 32, 0.25])).read(canvas);
    expect(Math.max(...pale)).toBe(128);
    const without = paint({ ...plain, pressureOpacity: true, pressureSize: true }, pen([32, 32])); // a mouse
    expect(without.read(canvas)).toEqual(paint(plain, pen([32, 32])).read(canvas));
  });

  it("calms a shaking hand, and ends where the pen was lifted", () => {
    const shaking = pen(
      ...Array.from({ length: 30 }, (_, i): [number, number] => [i * 2, 32 + (i % 2 ? 4 : -4)]),
    );
    const spread = (smoothing: number) => {
      const dabs = dabsOf({ ...plain, size: 3, smoothing }, shaking).filter(
        (dab) => dab.x > 15 && dab.x < 40,
      );
      return Math.max(...dabs.map((dab) => dab.y)) - Math.min(...dabs.map((dab) => dab.y));
    };
    expect(spread(0.8)).toBeLessThan(spread(0) / 2);
    const last = dabsOf({ ...plain, smoothing: 0.8 }, shaking).at(-1)!;
    expect(Math.hypot(last.x - 58, last.y - 36)).toBeLessThan(1.01);
  });

  it("stays within a selection, as far as it is selected", () => {
    const within = ofRect({ x: 0, y: 0, width: 32, height: 64 });
    expect(paint({ ...plain, size: 40 }, pen([32, 32]), { within }).extent()).toEqual({
      x: 12,
      y: 12,
      width: 20,
      height: 40,
    });
    const soft = Bitmap.of(1, canvas, flat(canvas, [51]));
    expect(Math.max(...paint(plain, pen([32, 32]), { within: soft }).read(canvas))).toBe(51);
  });

  it("paints nothing beyond the frame", () => {
    expect(paint({ ...plain, size: 40 }, pen([0, 64])).extent()).toEqual({
      x: 0,
      y: 44,
      width: 20,
      height: 20,
    });
    expect(paint(plain, pen([-50, -50])).isBlank).toBe(true);
  });

  it("erases to nothing", () => {
    const base = Bitmap.of(4, canvas, flat(canvas, [10, 20, 30, 255]));
    const erased = paint({ ...plain, size: 8 }, pen([32, 32]), { base, erase: true }).read(canvas);
    expect(erased[(32 * 64 + 32) * 4 + 3]).toBe(0);
    expect(erased[3]).toBe(255);
    const mask = Bitmap.of(1, canvas, flat(canvas, [255]));
    expect(paint({ ...plain, size: 200 }, pen([32, 32]), { base: mask, erase: true }).isBlank).toBe(true);
  });

  it("mixes colours by alpha, not by what is below nothing", () => {
    const painted = paint({ ...plain, opacity: 0.5 }, pen([32, 32]), { base: new Bitmap(4) }).read(canvas);
    const at = (32 * 64 + 32) * 4;
    expect([...painted.subarray(at, at + 4)]).toEqual([255, 0, 0, 128]);
  });
});

describe("coverage", () => {
  it.each([0, 0.25, 0.5, 0.9, 1])("falls from 1 to 0 with the distance (hardness %d)", (hardness) => {
    let last = 1;
    for (let d = 0; d < 13; d += 0.1) {
      const share = coverage(d, 10, hardness);
      expect(share).toBeLessThanOrEqual(last);
      last = share;
    }
    expect(coverage(0, 10, hardness)).toBe(1);
    expect(coverage(10.5, 10, hardness)).toBe(0);
  });
});
