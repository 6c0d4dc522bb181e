// SPDX-License-Identifier: Apache-2.0
// A grid varies one or two settings of a draft and puts the pictures side by side.
import type { Draft } from "./request";

/** A setting that a grid can vary. */
export interface Axis {
  setting: Setting;
  values: string[];
}

export const settings = [
  "guidance_scale",
  "steps",
  "scheduler",
  "schedule",
  "seed",
  "model",
  "strength",
  "variation_strength",
  "clip_skip",
  "words",
] as const;
export type Setting = (typeof settings)[number];

const numeric = new Set<Setting>([
  "guidance_scale",
  "steps",
  "seed",
  "strength",
  "variation_strength",
  "clip_skip",
]);
export const chosen = new Set<Setting>(["scheduler", "schedule", "model"]);

export const mostCells = 100;
const mostOfRange = 50;

/** "4, 6, 8", or "4-8" and "10-50 (+10)" as ranges. @return null where something is no number */
export function parseValues(setting: Setting, text: string): string[] | null {
  const parts = text
    .split(setting === "words" ? /[,\n]/ : /[,;\s]+(?![^(]*\))/)
    .map((part) => part.trim())
    .filter(Boolean);
  if (!numeric.has(setting)) return [...new Set(parts)];
  const values: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const step = /^\(\+([\d.]+)\)$/.exec(parts[i + 1] ?? "");
    const range = rangeOf(parts[i] + (step ? parts[++i]! : ""));
    if (range === null) return null;
    values.push(...range);
  }
  return [...new Set(values)];
}

function rangeOf(part: string): string[] | null {
  const match = /^(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?)(?:\s*\(\+(\d+(?:\.\d+)?)\))?)?$/.exec(part);
  if (!match) return null;
  const [, from, to, by] = match;
  if (to === undefined) return [from!.replace(/^0+(?=\d)/, "")];
  const step = Number(by ?? 1);
  if (step <= 0 || Number(to) < Number(from)) return null;
  const out: string[] = [];
  for (let i = 0; i < mostOfRange; i++) {
    const value = Number(from) + i * step;
    if (value > Number(to) + 1e-9) break;
    out.push(String(Math.round(value * 1e6) / 1e6));
  }
  return out;
}

/** The draft of one cell. Of words the first value is what the others take the place of. */
export function withValue(draft: Draft, axis: Axis, value: string): Draft {
  switch (axis.setting) {
    case "words":
      return { ...draft, prompt: draft.prompt.replaceAll(axis.values[0] ?? "", value) };
    case "seed":
      return { ...draft, seed: value, seedLocked: true };
    case "scheduler":
    case "schedule":
    case "model":
      return { ...draft, [axis.setting]: value };
    default:
      return { ...draft, [axis.setting]: Number(value) };
  }
}

/** Drafts by row (y) and column (x), a picture each. */
export function cells(draft: Draft, x: Axis, y: Axis | null): Draft[][] {
  const single = { ...draft, count: 1 };
  const row = (of: Draft) => x.values.map((value) => withValue(of, x, value));
  return y ? y.values.map((value) => row(withValue(single, y, value))) : [row(single)];
}
