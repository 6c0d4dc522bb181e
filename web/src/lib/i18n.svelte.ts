// SPDX-License-Identifier: Apache-2.0
// Every word the page shows comes from i18n/*.json through `t`.
import { format, type Words } from "./messages";
import de from "./i18n/de.json";
import en from "./i18n/en.json";

export type Key = keyof typeof en;
export const languages = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof languages;

const messages: Record<Language, Record<string, string>> = { en, de };
const stored = "limn.language";

function preferred(): Language {
  const kept = localStorage.getItem(stored);
  const wanted = kept ? [kept] : navigator.languages;
  for (const name of wanted) {
    const short = name.slice(0, 2);
    if (short in languages) return short as Language;
  }
  return "en";
}

let current = $state<Language>(preferred());

export function language(): Language {
  return current;
}

export function setLanguage(next: Language): void {
  current = next;
  localStorage.setItem(stored, next);
  document.documentElement.lang = next;
}

/** The text of a key; `{name}` stands for a word, `{n, one|other}` for a choice by number. */
export function t(key: Key, words: Words = {}): string {
  return format(messages[current][key] ?? en[key] ?? key, words, current);
}

/** Texts whose key is made of a name the server told, such as a scheduler's. */
export function tryT(key: string, words: Words = {}): string | undefined {
  const text = messages[current][key];
  return text === undefined ? undefined : format(text, words, current);
}

export function number(value: number, digits = 0): string {
  return value.toLocaleString(current, { maximumFractionDigits: digits });
}

export function date(iso: string): string {
  return new Date(iso).toLocaleString(current, { dateStyle: "medium", timeStyle: "short" });
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = count;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${number(size, size < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/** "8 s", "2 min 5 s", "1 h 4 min"; exact: "0.8 s". */
export function duration(seconds: number, exact = false): string {
  if (exact && seconds < 10) return t("time.seconds", { s: number(seconds, 1) });
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t("time.seconds", { s: whole });
  if (whole < 3600) return t("time.minutes", { min: Math.floor(whole / 60), s: whole % 60 });
  return t("time.hours", { h: Math.floor(whole / 3600), min: Math.floor((whole % 3600) / 60) });
}
