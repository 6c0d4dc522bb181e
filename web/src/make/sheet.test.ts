// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { layoutOf } from "./sheet";

it("leaves room for labels", () => {
  const layout = layoutOf(3, 2, { width: 512, height: 768 }, true);
  expect(layout.cell).toEqual({ width: 512, height: 768 });
  expect(layout.left).toBeGreaterThan(150);
  expect(layoutOf(3, 1, { width: 512, height: 768 }, false).left).toBeLessThan(20);
});
it("enlarges tiny pictures so that labels can be read", () => {
  expect(layoutOf(2, 2, { width: 64, height: 128 }, true).cell).toEqual({ width: 96, height: 192 });
});
it("stays within what browsers can draw", () => {
  const layout = layoutOf(20, 5, { width: 2048, height: 2048 }, true);
  expect(Math.max(layout.width, layout.height)).toBeLessThanOrEqual(12_000);
});
