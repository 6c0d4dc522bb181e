// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { beforeOf } from "./order";

it.each([
  ["c", 0, "a"],
  ["a", 1, "c"],
  ["a", 2, ""],
  ["b", 1, null],
  ["a", -1, null],
  ["a", 3, null],
  ["x", 0, null],
])("%s to %i goes before %j", (id, to, before) => {
  expect(beforeOf(["a", "b", "c"], id, to)).toBe(before);
});
