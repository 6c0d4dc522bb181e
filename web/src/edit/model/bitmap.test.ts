// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Bitmap, differences, keysIn, rectOfTile, TILE } from "./bitmap";
import { filled, random } from "./testing";

describe("a bitmap", () => {
  it("reads what was written, across tiles and below zero", () => {
    const part = { x: -300, y: -10, width: 700, height: 40 };
    const pixels = filled(part, 4, random(1));
    expect(Bitmap.of(4, part, pixels).read(part)).toEqual(pixels);
  });

  it("is nothing where nothing was drawn", () => {
    const bitmap = Bitmap.of(1, { x: 5, y: 5, width: 1, height: 1 }, new Uint8ClampedArray([9]));
    expect([...bitmap.read({ x: 4, y: 4, width: 3, height: 3 })]).toEqual([0, 0, 0, 0, 9, 0, 0, 0, 0]);
    expect(bitmap.extent()).toEqual({ x: 5, y: 5, width: 1, height: 1 });
    expect(new Bitmap(4).read({ x: 0, y: 0, width: 1, height: 1 })).toEqual(new Uint8ClampedArray(4));
  });

  it("shares the tiles that an edit leaves alone", () => {
    const part = { x: 0, y: 0, width: 3 * TILE, height: TILE };
    const before = Bitmap.of(1, part, filled(part, 1, random(2)));
    const draft = before.edit();
    draft.write({ x: TILE + 3, y: 3, width: 1, height: 1 }, new Uint8ClampedArray([255]));
    const after = draft.finish();
    const [left, middle, right] = keysIn(part);
    expect(after.tiles.get(left!)).toBe(before.tiles.get(left!));
    expect(after.tiles.get(right!)).toBe(before.tiles.get(right!));
    expect(differences(before, after)).toEqual([rectOfTile(middle!)]);
  });

  it("does not change when a draft of it does", () => {
    const part = { x: 0, y: 0, width: 8, height: 8 };
    const pixels = filled(part, 4, random(3));
    const before = Bitmap.of(4, part, pixels);
    const draft = before.edit();
    draft.clear(part);
    const snapshot = draft.snapshot();
    draft.write(part, filled(part, 4, random(4)));
    expect(before.read(part)).toEqual(pixels);
    expect(snapshot.read(part).every((value) => value === 0)).toBe(true);
  });

  it("is the same bitmap after an edit that changes nothing", () => {
    const part = { x: 0, y: 0, width: 8, height: 8 };
    const bitmap = Bitmap.of(1, part, filled(part, 1, random(5)));
    const draft = bitmap.edit();
    draft.write(part, bitmap.read(part));
    draft.tile(keysIn({ x: 900, y: 900, width: 1, height: 1 })[0]!);
    expect(draft.finish()).toBe(bitmap);
  });

  it("drops tiles that became blank", () => {
    const part = { x: 0, y: 0, width: 8, height: 8 };
    const draft = Bitmap.of(1, part, filled(part, 1, random(6))).edit();
    draft.clear(part);
    expect(draft.finish().isBlank).toBe(true);
  });
});
