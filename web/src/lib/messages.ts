// SPDX-License-Identifier: Apache-2.0
export type Words = Record<string, string | number>;

/** Fills `{name}` and `{name, one|other}`; the choice is made by the language's plural rule. */
export function format(text: string, words: Words, language: string): string {
  return text.replace(
    /\{(\w+)(?:, ([^|{}]*)\|([^{}]*))?\}/g,
    (whole, name: string, one?: string, other?: string) => {
      const word = words[name];
      if (word === undefined) return whole;
      if (one === undefined || other === undefined) return String(word);
      const form = new Intl.PluralRules(language).select(Number(word)) === "one" ? one : other;
      return form.replaceAll("#", String(word));
    },
  );
}
