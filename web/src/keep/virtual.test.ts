// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Picture } from "../lib/types";
import { merge } from "./pages";
import { gridOf, moved, visible } from "./virtual";

describe("gridOf and visible", () => {
  const grid = gridOf(10_000, 1000, 160, 8);
  it("fills the width", () => {
    expect(grid.columns).toBe(6);
    expect(grid.columns * grid.side + 5 * 8).toBeCloseTo(1000);
  });
  it("keeps few cells however many there are", () => {
    const [from, to] = visible(grid, 10_000, 50_000, 800);
    expect(to - from).toBeLessThan(70);
    expect(from).toBeLessThanOrEqual(Math.floor(50_000 / grid.pitch) * 6);
  });
  it("ends at the last cell, and bears an empty grid", () => {
    expect(visible(grid, 10_000, grid.height, 800)[1]).toBe(10_000);
    expect(visible(gridOf(0, 0, 160, 8), 0, 0, 0)).toEqual([0, 0]);
  });
  it("has two columns on the smallest phone", () => {
    expect(gridOf(9, 280, 160, 8).columns).toBe(2);
  });
});

it.each([
  ["ArrowRight", 5, 6],
  ["ArrowLeft", 0, 0],
  ["ArrowDown", 5, 9],
  ["ArrowUp", 2, 2],
  ["PageDown", 5, 13],
  ["PageDown", 15, 17],
  ["PageUp", 6, 2],
  ["Home", 9, 0],
  ["End", 9, 17],
])("%s from %i leads to %i", (key, from, to) => {
  expect(moved(key, from, 4, 2, 18)).toBe(to);
});
it("other keys lead nowhere", () => {
  expect([moved("a", 3, 4, 2, 18), moved("End", 0, 4, 2, 0)]).toEqual([null, null]);
});

describe("merge", () => {
  const some = (from: number, to: number) =>
    Array.from({ length: from - to + 1 }, (_, i) => ({
      id: String(from - i),
      created: `2026-01-01T00:${String(from - i).padStart(3, "0")}`,
    })) as Picture[];
  it("puts new pictures before those of older pages", () => {
    const merged = merge(some(190, 131), some(185, 60));
    expect(merged.map((picture) => picture.id)).toEqual(some(190, 60).map((picture) => picture.id));
  });
  it("forgets what is gone from the first page", () => {
    const page = some(191, 131).filter((picture) => picture.id !== "150");
    expect(merge(page, some(190, 60)).some((picture) => picture.id === "150")).toBe(false);
  });
  it("takes a page that is not full for all there is", () => {
    expect(merge(some(9, 1), some(90, 1)).length).toBe(9);
  });
});
