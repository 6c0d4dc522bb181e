// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { accept, offers, phrasesOf, typedBefore } from "./completion";

const sources = {
  loras: ["ink", "pixel-art"],
  wildcards: ["animal", "colour"],
  styles: ["ink drawing"],
  phrases: ["a red fox", "orange background", "Öl auf Leinwand"],
};
const labels = (text: string) => offers(typedBefore(text, text.length), sources).map((offer) => offer.label);

describe("offers", () => {
  it("finds phrases by their beginning and by a later word", () => {
    expect(labels("a fox, or")).toEqual(["orange background"]);
    expect(labels("a fox, back")).toEqual(["orange background"]);
  });
  it("ignores case and accents", () => {
    expect(labels("ol")).toEqual(["Öl auf Leinwand"]);
  });
  it("offers LoRAs behind < and by name, wildcards behind __", () => {
    expect(labels("a fox <")).toEqual(["ink", "pixel-art"]);
    expect(labels("a fox <lora:pi")).toEqual(["pixel-art"]);
    expect(labels("a __an")).toEqual(["animal"]);
    expect(labels("in")).toEqual(["ink", "ink drawing"]);
  });
  it("keeps quiet for one letter, for what is there already and for nothing", () => {
    expect(labels("a")).toEqual([]);
    expect(labels("a red fox")).toEqual([]);
    expect(labels("")).toEqual([]);
  });
});

describe("accept", () => {
  it("replaces what was typed and goes on behind a comma", () => {
    const text = "a fox, or";
    const typed = typedBefore(text, text.length);
    const [offer] = offers(typed, sources);
    expect(accept(text, text.length, typed, offer!)).toEqual({
      text: "a fox, orange background, ",
      caret: 26,
    });
  });
  it("keeps what follows", () => {
    const text = "or, a fox";
    const typed = typedBefore(text, 2);
    const [offer] = offers(typed, sources);
    expect(accept(text, 2, typed, offer!)).toEqual({ text: "orange background, a fox", caret: 17 });
  });
  it("takes typed letters away for a style", () => {
    const text = "a fox, ink d";
    const typed = typedBefore(text, text.length);
    expect(accept(text, text.length, typed, { kind: "style", label: "ink drawing", text: "" }).text).toBe(
      "a fox, ",
    );
  });
});

describe("phrasesOf", () => {
  it("drops weights, tags and brackets", () => {
    expect(phrasesOf("(a red fox:1.2), <lora:ink:1> [flat style], ok, __animal__")).toEqual([
      "a red fox",
      "flat style",
    ]);
  });
});
