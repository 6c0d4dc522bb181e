// SPDX-License-Identifier: Apache-2.0
// The weight of words in A1111's language: (word:1.1), changed from the keyboard.

export interface Selected {
  text: string;
  start: number;
  end: number;
}

const weighted = /\(([^()]*):(-?\d+(?:\.\d+)?)\)/g;
const step = 0.1;
const bounds = [0, 2] as const;

/** The word the caret is in, or the words that are marked, without spaces around them. */
function wordsAt({ text, start, end }: Selected): { start: number; end: number } {
  if (start === end) {
    while (start > 0 && /[\p{L}\p{N}'’_-]/u.test(text[start - 1] ?? "")) start--;
    while (end < text.length && /[\p{L}\p{N}'’_-]/u.test(text[end] ?? "")) end++;
  } else {
    while (start < end && /\s/.test(text[start] ?? "")) start++;
    while (end > start && /\s/.test(text[end - 1] ?? "")) end--;
  }
  return { start, end };
}

/** Makes what is selected count more (`by` = 1) or less (−1). At a weight of 1 the brackets go. */
export function reweigh(selected: Selected, by: 1 | -1): Selected {
  const { text } = selected;
  for (const match of text.matchAll(weighted)) {
    const [from, to] = [match.index, match.index + match[0].length];
    if (selected.start < from || selected.end > to) continue;
    return replaced(text, from, to, match[1] ?? "", Number(match[2]) + by * step);
  }
  const { start, end } = wordsAt(selected);
  if (start === end) return selected;
  return replaced(text, start, end, text.slice(start, end), 1 + by * step);
}

function replaced(text: string, from: number, to: number, words: string, weight: number): Selected {
  const rounded = Math.round(Math.min(bounds[1], Math.max(bounds[0], weight)) * 100) / 100;
  const inside = rounded === 1 ? words : `(${words}:${rounded})`;
  const start = from + (rounded === 1 ? 0 : 1);
  return { text: text.slice(0, from) + inside + text.slice(to), start, end: start + words.length };
}
