// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { dragged, frameOf, handleAt, handles, marginsOf, placeOf } from "./frame";
import { centred, fitted, kept, pinched, toPlane, toScreen, zoomedTo, zoomStep } from "./viewport";

const screen = { width: 800, height: 600 };
const picture = { x: 0, y: 0, width: 512, height: 512 };

describe("the view", () => {
  it("goes from the screen to the plane and back", () => {
    const view = { x: -20, y: 33, zoom: 2.5 };
    const there = toScreen(view, toPlane(view, { x: 123, y: 456 }));
    expect(there.x).toBeCloseTo(123);
    expect(there.y).toBeCloseTo(456);
  });

  it("zooms around the point under the pointer", () => {
    const view = { x: 5, y: 6, zoom: 1 };
    const at = { x: 300, y: 200 };
    const under = toPlane(view, at);
    for (const zoom of [0.1, 3, 64]) {
      const now = toPlane(zoomedTo(view, zoom, at), at);
      expect(now.x).toBeCloseTo(under.x);
      expect(now.y).toBeCloseTo(under.y);
    }
    expect(zoomedTo(view, 1e9, at).zoom).toBe(64);
    expect(zoomedTo(view, 0, at).zoom).toBe(1 / 32);
  });

  it("steps through the usual zooms and stops at the ends", () => {
    expect(zoomStep(1, 1)).toBe(1.5);
    expect(zoomStep(1.1, -1)).toBe(1);
    expect(zoomStep(64, 1)).toBe(64);
    expect(zoomStep(1 / 32, -1)).toBe(1 / 32);
  });

  it("fits a picture into its middle, small ones not too large", () => {
    const view = fitted({ x: 100, y: 50, width: 2000, height: 1000 }, screen);
    expect(view.zoom).toBeCloseTo(736 / 2000);
    const middle = toScreen(view, { x: 1100, y: 550 });
    expect(middle.x).toBeCloseTo(400);
    expect(middle.y).toBeCloseTo(300);
    expect(fitted({ x: 0, y: 0, width: 16, height: 16 }, screen).zoom).toBe(4);
  });

  it("never loses the picture", () => {
    const view = kept({ x: 99999, y: -99999, zoom: 2 }, picture, screen);
    const corner = toScreen(view, { x: 512, y: 0 });
    expect(corner.x).toBeCloseTo(48);
    expect(corner.y).toBeCloseTo(600 - 48);
    const inside = centred(picture, screen, 1);
    expect(kept(inside, picture, screen)).toEqual(inside);
  });

  it("follows two fingers", () => {
    const view = { x: 0, y: 0, zoom: 1 };
    const before: [{ x: number; y: number }, { x: number; y: number }] = [
      { x: 100, y: 100 },
      { x: 200, y: 100 },
    ];
    const after = pinched(view, before, [
      { x: 150, y: 300 },
      { x: 350, y: 300 },
    ]);
    expect(after.zoom).toBe(2);
    expect(toScreen(after, { x: 100, y: 100 })).toEqual({ x: 150, y: 300 });
    expect(toScreen(after, { x: 200, y: 100 })).toEqual({ x: 350, y: 300 });
  });
});

describe("the frame", () => {
  const free = { step: 8, snap: 0 };

  it("has eight handles, each found where it is drawn", () => {
    expect(handles).toHaveLength(8);
    for (const handle of handles) expect(handleAt(picture, placeOf(handle, picture), 10)).toEqual(handle);
    expect(handleAt(picture, { x: 200, y: 3 }, 10)).toEqual({ x: 0, y: -1 });
    expect(handleAt(picture, { x: 200, y: 200 }, 10)).toBe("move");
    expect(handleAt(picture, { x: 600, y: 200 }, 10)).toBeNull();
  });

  it("grows outwards in steps, and only at the sides of the handle", () => {
    expect(dragged(picture, { x: -1, y: 0 }, -101, 50, picture, free)).toEqual({
      x: -104,
      y: 0,
      width: 616,
      height: 512,
    });
    expect(dragged(picture, { x: 1, y: 1 }, 61, -11, picture, free)).toEqual({
      x: 0,
      y: 0,
      width: 576,
      height: 504,
    });
  });

  it("snaps to the picture's edge", () => {
    const wide = { x: -64, y: 0, width: 576, height: 512 };
    expect(dragged(wide, { x: -1, y: 0 }, 57, 0, picture, { step: 8, snap: 8 }).x).toBe(0);
  });

  it("is never smaller than eight pixels, nor larger than the server takes", () => {
    expect(dragged(picture, { x: 1, y: 0 }, -9999, 0, picture, free).width).toBe(8);
    expect(dragged(picture, { x: -1, y: 0 }, 9999, 0, picture, free).width).toBe(8);
    expect(dragged(picture, { x: 1, y: 0 }, 99999, 0, picture, free).width).toBe(8192);
  });

  it("is the same by numbers", () => {
    const frame = { x: -64, y: 32, width: 700, height: 512 };
    expect(marginsOf(frame, picture)).toEqual({ left: 64, top: -32, right: 124, bottom: 32 });
    expect(frameOf(picture, marginsOf(frame, picture))).toEqual(frame);
  });
});
