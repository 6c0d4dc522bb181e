// SPDX-License-Identifier: Apache-2.0
// From what the form holds to what the server is asked, and back.
import type { Settings } from "../lib/types";
import { parseSeed, randomSeed, seedValue } from "./seeds";

export interface Start {
  input: string; // "input:SHA256"
  width: number;
  height: number;
}

/** What the form holds. Null and "" leave a setting to the model. */
export interface Draft {
  prompt: string;
  negative_prompt: string;
  model: string;
  width: number | null;
  height: number | null;
  steps: number | null;
  guidance_scale: number | null;
  scheduler: string;
  schedule: string;
  seed: string;
  seedLocked: boolean;
  variation_seed: string;
  variation_strength: number;
  count: number;
  style: string[];
  start: Start | null;
  strength: number;
  hires_scale: number;
  hires_strength: number;
  seamless: string;
  clip_skip: number;
  /** Settings that the form has no control for, as read from a picture. */
  more: Settings;
}

export function emptyDraft(): Draft {
  return {
    prompt: "",
    negative_prompt: "",
    model: "",
    width: null,
    height: null,
    steps: null,
    guidance_scale: null,
    scheduler: "",
    schedule: "",
    seed: "",
    seedLocked: false,
    variation_seed: "",
    variation_strength: 0,
    count: 1,
    style: [],
    start: null,
    strength: 0.6,
    hires_scale: 1,
    hires_strength: 0.5,
    seamless: "none",
    clip_skip: 0,
    more: {},
  };
}

const tag = /<lora:([^<>:]+)(?::(-?\d+(?:\.\d+)?))?>/g;

/** Takes `<lora:NAME:WEIGHT>` out of a prompt. */
export function splitLoras(prompt: string): { prompt: string; loras: string[] } {
  const loras = [...prompt.matchAll(tag)].map((match) => `${match[1]}:${match[2] ?? "1"}`);
  const rest = prompt.replace(tag, "");
  return {
    prompt:
      loras.length > 0
        ? rest
            .replace(/\s+/g, " ")
            .replace(/(?: ?,)+ ?$/, "")
            .trim()
        : rest.trim(),
    loras,
  };
}

function joinLoras(prompt: string, loras: string[]): string {
  const tags = loras.map((lora) => {
    const weighted = /^(.*):(-?\d+(?:\.\d+)?)$/.exec(lora);
    return `<lora:${weighted?.[1] ?? lora}:${weighted?.[2] ?? "1"}>`;
  });
  return [prompt, ...tags].filter(Boolean).join(" ");
}

/** @param seed  of the first picture; drawn by the caller when the draft does not hold it fast */
export function requestOf(draft: Draft, seed: string): Settings {
  const { prompt, loras } = splitLoras(draft.prompt);
  const request: Settings = { prompt_syntax: "a1111", ...draft.more, prompt, seed: seedValue(seed) };
  if (draft.negative_prompt.trim()) request.negative_prompt = draft.negative_prompt.trim();
  if (draft.model) request.model = draft.model;
  if (loras.length > 0) request.lora = loras;
  if (draft.width !== null) request.width = draft.width;
  if (draft.height !== null) request.height = draft.height;
  if (draft.steps !== null) request.steps = draft.steps;
  if (draft.guidance_scale !== null) request.guidance_scale = draft.guidance_scale;
  if (draft.scheduler) request.scheduler = draft.scheduler;
  if (draft.schedule) request.schedule = draft.schedule;
  if (draft.style.length > 0) request.style = [...draft.style];
  if (draft.count > 1) request.count = draft.count;
  if (draft.clip_skip > 0) request.clip_skip = draft.clip_skip;
  if (draft.seamless !== "none") request.seamless = draft.seamless as Settings["seamless"];
  if (draft.variation_strength > 0) {
    request.variation_strength = draft.variation_strength;
    request.variation_seed = seedValue(parseSeed(draft.variation_seed) ?? randomSeed());
  }
  if (draft.start) {
    request.init_image = draft.start.input;
    request.strength = draft.strength;
  }
  if (draft.hires_scale > 1) {
    request.hires_scale = draft.hires_scale;
    request.hires_strength = draft.hires_strength;
  }
  return request;
}

const handled = new Set([
  ...[
    "prompt",
    "negative_prompt",
    "model",
    "lora",
    "width",
    "height",
    "steps",
    "guidance_scale",
    "scheduler",
  ],
  ...["schedule", "seed", "count", "style", "clip_skip", "seamless", "variation_seed", "variation_strength"],
  ...["init_image", "strength", "hires_scale", "hires_strength"],
]);

/** What makes sense only in the editor, with its picture. */
const ofEditor = new Set([
  ...["mask", "mask_mode", "mask_blur", "masked_content", "inpaint_area", "mask_padding", "outpaint"],
]);

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A draft that asks for what a request asked for. A start picture is not brought back: its size is not known here. */
export function draftOf(request: Settings): Draft {
  const draft = emptyDraft();
  const loras = Array.isArray(request.lora) ? request.lora : [];
  const seed = request.seed === undefined ? null : parseSeed(String(request.seed));
  return {
    ...draft,
    prompt: joinLoras(textOf(request.prompt), loras),
    negative_prompt: textOf(request.negative_prompt),
    model: textOf(request.model),
    width: numberOf(request.width),
    height: numberOf(request.height),
    steps: numberOf(request.steps),
    guidance_scale: numberOf(request.guidance_scale),
    scheduler: textOf(request.scheduler),
    schedule: textOf(request.schedule),
    seed: seed ?? "",
    seedLocked: seed !== null,
    variation_seed: request.variation_seed === undefined ? "" : String(request.variation_seed),
    variation_strength: numberOf(request.variation_strength) ?? 0,
    count: numberOf(request.count) ?? 1,
    style: Array.isArray(request.style) ? request.style : [],
    strength: numberOf(request.strength) ?? draft.strength,
    hires_scale: numberOf(request.hires_scale) ?? 1,
    hires_strength: numberOf(request.hires_strength) ?? draft.hires_strength,
    seamless: textOf(request.seamless) || "none",
    clip_skip: numberOf(request.clip_skip) ?? 0,
    more: Object.fromEntries(
      Object.entries(request).filter(
        ([name, value]) => !handled.has(name) && !ofEditor.has(name) && value !== null && value !== undefined,
      ),
    ),
  };
}

/** Settings as lines to paste elsewhere. */
export function settingsText(request: Settings): string {
  const { prompt = "", negative_prompt, ...rest } = request;
  const lines = [prompt];
  if (negative_prompt) lines.push(`Negative prompt: ${negative_prompt}`);
  lines.push(
    Object.entries(rest)
      .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
      .join(", "),
  );
  return lines.filter(Boolean).join("\n");
}
