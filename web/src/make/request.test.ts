// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { draftOf, emptyDraft, requestOf, settingsText, splitLoras } from "./request";
import { parseSeed, randomSeed, seedPlus, seedValue } from "./seeds";

describe("requestOf", () => {
  it("asks for nothing that the model should decide", () => {
    const request = requestOf({ ...emptyDraft(), prompt: " a fox " }, "7");
    expect(request).toEqual({ prompt: "a fox", seed: 7, prompt_syntax: "a1111" });
  });
  it("takes LoRAs out of the prompt", () => {
    const request = requestOf({ ...emptyDraft(), prompt: "a fox, <lora:ink:0.8>, <lora:xl/pixel>" }, "7");
    expect([request.prompt, request.lora]).toEqual(["a fox", ["ink:0.8", "xl/pixel:1"]]);
  });
  it("draws a variation seed where none is held", () => {
    const request = requestOf({ ...emptyDraft(), prompt: "x", variation_strength: 0.3 }, "7");
    expect(request.variation_strength).toBe(0.3);
    expect(parseSeed(String(request.variation_seed))).not.toBeNull();
  });
  it("has a strength only with a picture to start from", () => {
    const start = { input: "input:ab", width: 8, height: 8 };
    expect(requestOf({ ...emptyDraft(), strength: 0.4 }, "1").strength).toBeUndefined();
    expect(requestOf({ ...emptyDraft(), start, strength: 0.4 }, "1")).toMatchObject({
      init_image: "input:ab",
      strength: 0.4,
    });
  });
});

describe("draftOf", () => {
  it("and back is the same request", () => {
    const request = {
      prompt: "a (red:1.2) fox",
      prompt_syntax: "a1111" as const,
      negative_prompt: "blurry",
      model: "xl/base",
      lora: ["ink:0.8"],
      width: 512,
      height: 768,
      steps: 30,
      guidance_scale: 5.5,
      scheduler: "euler",
      schedule: "karras",
      seed: "18446744073709551615",
      count: 4,
      style: ["ink drawing"],
      clip_skip: 1,
      seamless: "xy" as const,
      variation_seed: 3,
      variation_strength: 0.2,
      hires_scale: 2,
      hires_strength: 0.4,
      freeu: "0.9,0.2,1.5,1.6",
    };
    const draft = draftOf(request);
    expect(draft.more).toEqual({ prompt_syntax: "a1111", freeu: "0.9,0.2,1.5,1.6" });
    expect(requestOf(draft, draft.seed)).toEqual(request);
  });
  it("leaves to the editor what belongs to its picture", () => {
    expect(draftOf({ prompt: "x", mask: "input:ab", mask_blur: 4, outpaint: [0, 0, 8, 0] }).more).toEqual({});
  });
  it("bears nonsense", () => {
    const draft = draftOf({ prompt: 3, steps: "many", seed: "x", lora: "ink" } as never);
    expect([draft.prompt, draft.steps, draft.seedLocked]).toEqual(["", null, false]);
  });
});

describe("seeds", () => {
  it("have 64 bits", () => {
    expect(parseSeed("18446744073709551615")).toBe("18446744073709551615");
    expect(parseSeed("18446744073709551616")).toBeNull();
    expect(parseSeed("-1")).toBeNull();
    expect(parseSeed(" 0042 ")).toBe("42");
    expect(seedPlus("18446744073709551615", 1)).toBe("0");
    expect([seedValue("7"), seedValue("9007199254740993")]).toEqual([7, "9007199254740993"]);
    expect(parseSeed(randomSeed())).not.toBeNull();
  });
});

it("splitLoras leaves other prompts as they are", () => {
  expect(splitLoras("a fox,  <b>, two")).toEqual({ prompt: "a fox,  <b>, two", loras: [] });
});

it("settingsText reads as A1111's", () => {
  expect(settingsText({ prompt: "a fox", negative_prompt: "bad", steps: 3, style: ["ink"] })).toBe(
    'a fox\nNegative prompt: bad\nsteps: 3, style: ["ink"]',
  );
});
