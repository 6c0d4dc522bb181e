// SPDX-License-Identifier: Apache-2.0
// The form's content. Every change is kept in the browser, so that a reload or a closed tab loses nothing.
import { phrasesOf } from "./completion";
import { draftOf, emptyDraft, type Draft } from "./request";
import { randomSeed } from "./seeds";
import { server } from "../lib/store.svelte";
import type { Settings } from "../lib/types";

const storedDraft = "limn.draft";
const storedPhrases = "limn.phrases";
const mostPhrases = 400;

function read<T>(name: string, fallback: T): T {
  try {
    return (JSON.parse(localStorage.getItem(name) ?? "null") as T) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(name: string, value: unknown): void {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // a full or forbidden store costs the memory, not the page
  }
}

class Form {
  draft = $state<Draft>({ ...emptyDraft(), ...read<Partial<Draft>>(storedDraft, {}) });
  phrases = $state.raw<string[]>(read<string[]>(storedPhrases, []));

  constructor() {
    $effect.root(() => {
      $effect(() => write(storedDraft, this.draft));
    });
  }

  /** The seed of the next run; a new one where none is held fast. */
  nextSeed(): string {
    if (!this.draft.seedLocked || this.draft.seed === "") this.draft.seed = randomSeed();
    return this.draft.seed;
  }

  /** Puts settings in the place of the form's, all of them. */
  apply(request: Settings): void {
    const { strength, hires_strength } = server.fieldDefaults;
    this.draft = draftOf({ strength, hires_strength, ...request });
  }

  startFrom(input: string, width: number, height: number): void {
    this.draft.start = { input, width, height };
  }

  reset(): void {
    this.draft = emptyDraft();
  }

  /** Learns the words of a prompt that was used. */
  learn(prompt: string): void {
    const fresh = phrasesOf(prompt);
    this.phrases = [...fresh, ...this.phrases.filter((phrase) => !fresh.includes(phrase))].slice(
      0,
      mostPhrases,
    );
    write(storedPhrases, this.phrases);
  }
}

export const form = new Form();
export { read, write };
