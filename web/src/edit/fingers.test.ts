// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Fingers } from "./fingers";
import { toScreen } from "./viewport";

const view = { x: 0, y: 0, zoom: 1 };

describe("fingers", () => {
  it("pan with one, keeping what was under it", () => {
    const fingers = new Fingers();
    fingers.down(1, "touch", { x: 100, y: 100 });
    const after = fingers.moved(1, { x: 130, y: 90 }, view);
    expect(toScreen(after, { x: 100, y: 100 })).toEqual({ x: 130, y: 90 });
    expect(after.zoom).toBe(1);
  });

  it("zoom with two, one after the other, as their events come", () => {
    const fingers = new Fingers();
    fingers.down(1, "touch", { x: 100, y: 100 });
    fingers.down(2, "touch", { x: 200, y: 100 });
    const half = fingers.moved(1, { x: 50, y: 100 }, view);
    const whole = fingers.moved(2, { x: 250, y: 100 }, half);
    expect(whole.zoom).toBeCloseTo(2);
    expect(toScreen(whole, { x: 150, y: 100 }).x).toBeCloseTo(150);
  });

  it("change nothing when they were never down, or are lifted", () => {
    const fingers = new Fingers();
    expect(fingers.moved(9, { x: 1, y: 1 }, view)).toBe(view);
    fingers.down(1, "touch", { x: 0, y: 0 });
    fingers.up(1);
    expect(fingers.count).toBe(0);
    expect(fingers.moved(1, { x: 5, y: 5 }, view)).toBe(view);
  });

  it("are palms once a pen was seen", () => {
    const fingers = new Fingers();
    expect(fingers.isPalm({ pointerType: "touch" })).toBe(false);
    fingers.down(1, "pen", { x: 0, y: 0 });
    expect(fingers.isPalm({ pointerType: "touch" })).toBe(true);
    expect(fingers.isPalm({ pointerType: "pen" })).toBe(false);
  });
});
