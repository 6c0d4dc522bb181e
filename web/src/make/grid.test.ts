// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { cells, parseValues } from "./grid";
import { emptyDraft } from "./request";

describe("parseValues", () => {
  it.each([
    ["4, 6.5,8", ["4", "6.5", "8"]],
    ["1-3", ["1", "2", "3"]],
    ["10-50 (+20)", ["10", "30", "50"]],
    ["10-50(+20), 7", ["10", "30", "50", "7"]],
    ["0-0.3 (+0.1)", ["0", "0.1", "0.2", "0.3"]],
    ["4, 4", ["4"]],
    ["", []],
  ])("%s", (text, values) => {
    expect(parseValues("guidance_scale", text)).toEqual(values);
  });
  it.each(["four", "4-", "5-1", "1-9 (+0)", "-3"])("refuses %s", (text) => {
    expect(parseValues("steps", text)).toBeNull();
  });
  it("bounds a range", () => {
    expect(parseValues("seed", "1-1000000")?.length).toBe(50);
  });
  it("keeps words with spaces", () => {
    expect(parseValues("words", "red fox, blue owl")).toEqual(["red fox", "blue owl"]);
  });
});

describe("cells", () => {
  const draft = { ...emptyDraft(), prompt: "a red fox", count: 4 };
  it("varies two settings, a picture each", () => {
    const x = { setting: "steps" as const, values: ["5", "10"] };
    const y = { setting: "words" as const, values: ["red", "blue"] };
    const rows = cells(draft, x, y);
    expect(rows.map((row) => row.map((cell) => `${cell.prompt} ${cell.steps} ${cell.count}`))).toEqual([
      ["a red fox 5 1", "a red fox 10 1"],
      ["a blue fox 5 1", "a blue fox 10 1"],
    ]);
  });
  it("has one row without a second setting, and holds the seed of its cell", () => {
    const [row] = cells(draft, { setting: "seed", values: ["7"] }, null);
    expect(row?.[0]).toMatchObject({ seed: "7", seedLocked: true });
  });
});
