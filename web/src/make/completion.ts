// SPDX-License-Identifier: Apache-2.0
// What the prompt field offers while one types.

export interface Offer {
  kind: "lora" | "wildcard" | "style" | "phrase";
  label: string;
  text: string; // takes the place of what was typed; empty for a style
}

export interface Sources {
  loras: string[];
  wildcards: string[];
  styles: string[];
  phrases: string[]; // used before, the latest first
}

export interface Typed {
  start: number; // where what would be replaced begins
  word: string;
}

const most = 8;
const fold = (text: string) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** What is being typed before the caret: from the last comma, bracket or line on. */
export function typedBefore(text: string, caret: number): Typed {
  const before = text.slice(0, caret);
  const special = /(?:<[^<>\s]*|__\w*)$/.exec(before);
  if (special) return { start: special.index, word: special[0] };
  const start = Math.max(...[",", "\n", "(", "|", "{"].map((mark) => before.lastIndexOf(mark))) + 1;
  const word = before.slice(start);
  return { start: start + word.length - word.trimStart().length, word: word.trimStart() };
}

function matching(names: string[], word: string): string[] {
  const wanted = fold(word);
  const begins = names.filter((name) => fold(name).startsWith(wanted));
  const holds = names.filter((name) => !begins.includes(name) && fold(name).includes(` ${wanted}`));
  return [...begins, ...holds].filter((name) => fold(name) !== wanted);
}

export function offers({ word }: Typed, sources: Sources): Offer[] {
  const lora = (name: string): Offer => ({ kind: "lora", label: name, text: `<lora:${name}:1>` });
  if (word.startsWith("<")) {
    const name = word.replace(/^<(?:l(?:o(?:r(?:a:?)?)?)?)?/, "");
    return sources.loras
      .filter((other) => fold(other).includes(fold(name)))
      .slice(0, most)
      .map(lora);
  }
  if (word.startsWith("__")) {
    return matching(sources.wildcards, word.slice(2))
      .slice(0, most)
      .map((name) => ({ kind: "wildcard", label: name, text: `__${name}__` }));
  }
  if (word.length < 2) return [];
  return [
    ...matching(sources.loras, word).map(lora),
    ...matching(sources.styles, word).map((name): Offer => ({ kind: "style", label: name, text: "" })),
    ...matching(sources.phrases, word).map((name): Offer => ({ kind: "phrase", label: name, text: name })),
  ].slice(0, most);
}

/** The text with the offer taken, and where the caret is then. */
export function accept(
  text: string,
  caret: number,
  typed: Typed,
  offer: Offer,
): { text: string; caret: number } {
  const rest = text.slice(caret).trim() === "" ? "" : text.slice(caret);
  const separator = offer.kind === "phrase" && rest === "" ? ", " : "";
  const head = text.slice(0, typed.start) + offer.text + separator;
  return { text: head + rest, caret: head.length };
}

/** Phrases of a prompt, to be offered later: between commas, without brackets, weights and tags. */
export function phrasesOf(prompt: string): string[] {
  return prompt
    .replace(/<[^<>]*>|__\w+__/g, "")
    .replace(/:-?\d+(?:\.\d+)?\)/g, ")")
    .split(/[,\n|{}]|\bAND\b|\bBREAK\b/)
    .map((phrase) =>
      phrase
        .replace(/[()[\]]/g, "")
        .replace(/\s+/g, " ")
        .trim(),
    )
    .filter((phrase) => phrase.length >= 3 && phrase.length <= 60);
}
