// SPDX-License-Identifier: Apache-2.0
// From a task on a document to what is asked of the server, and back from a picture to the document.
import type { Settings } from "../../lib/types";
import { splitLoras } from "../../make/request";
import { seedValue } from "../../make/seeds";
import { Bitmap, type Pixels } from "./bitmap";
import {
  addLayer,
  changeLayer,
  flatten,
  flattenMask,
  isMask,
  isOpaque,
  MOST_PIXELS,
  newLayer,
  overColour,
  type Doc,
  type Layer,
} from "./document";
import { clamp, grown, intersect, isEmpty, sameRect, type Rect } from "./rect";
import { resample } from "./resample";
import { ofRect } from "./selection";
import { encodePng, rgbOf } from "./png";
import { reframe, resized } from "./transform";

export const tasks = ["change", "inpaint", "outpaint", "upscale", "variations"] as const;
export type TaskKind = (typeof tasks)[number];

export interface Task {
  kind: TaskKind;
  prompt: string;
  negative: string;
  model: string;
  steps: number | null; // null: as many as usual
  guidance: number | null;
  scheduler: string; // "": the model's
  seed: string; // "": by chance
  count: number;
  strengths: Record<TaskKind, number>;
  maskedContent: "original" | "fill" | "noise" | "nothing";
  maskMode: "hard" | "soft" | "differential";
  maskBlur: number;
  area: "auto" | "whole" | "masked";
  padding: number;
  size: "auto" | "picture" | "model"; // of what the model draws
  scale: number; // of an upscale
  again: boolean; // upscale, variations: make the picture again from its settings, not from its pixels
}

export const initialTask: Task = {
  kind: "change",
  prompt: "",
  negative: "",
  model: "",
  steps: null,
  guidance: null,
  scheduler: "",
  seed: "",
  count: 2,
  strengths: { change: 0.6, inpaint: 0.85, outpaint: 1, upscale: 0.35, variations: 0.4 },
  maskedContent: "original",
  maskMode: "hard",
  maskBlur: 4,
  area: "auto",
  padding: 32,
  size: "auto",
  scale: 2,
  again: false,
};

/** Why a task cannot start. */
export type Obstacle = "noPicture" | "noMask" | "noFrame" | "tooLarge";

export interface Plan {
  readonly kind: TaskKind;
  readonly picture: Rect; // what is sent to start from
  readonly work: Rect; // what the result shows
  readonly drawn: Rect; // the part of it that the model draws, and that previews show
  readonly bounds: Rect; // of the document, once a result is accepted
  readonly scale: number; // pixels of the result to one of the document
  readonly changes: Bitmap | null; // where the result differs; null: everywhere
  readonly again: boolean; // made from the settings that made the picture, not from its pixels
  readonly request: Settings; // without init_image and mask
}

export interface ModelSize {
  readonly width: number;
  readonly height: number;
}

const STEP = 8; // sides of pictures are multiples of it
const SEAM = 16; // pixels of the old picture that outpainting makes anew
const MOST_SIDE = 8192;

function isTooLarge(width: number, height: number): boolean {
  return Math.max(width, height) > MOST_SIDE || width * height > MOST_PIXELS;
}

function roundUp(side: number): number {
  return Math.ceil(side / STEP) * STEP;
}

/** Wider to the right and below, so that both sides are what models can draw. */
function padded(part: Rect): Rect {
  return { ...part, width: roundUp(part.width), height: roundUp(part.height) };
}

/** The size to draw a part at: about as many pixels as the model was trained at, in the part's shape. */
export function modelSize(part: ModelSize, model: ModelSize): ModelSize {
  const scale = Math.sqrt((model.width * model.height) / (part.width * part.height));
  const side = (length: number) => Math.max(STEP, Math.round((length * scale) / STEP) * STEP);
  return { width: side(part.width), height: side(part.height) };
}

/** Models draw far from the size they know badly: too large repeats, too small blurs. */
function drawnSize(part: Rect, task: Task, model: ModelSize): ModelSize {
  const ratio = (part.width * part.height) / (model.width * model.height);
  const fits = ratio >= 0.5 && ratio <= 2.25;
  if (task.size === "picture" || (task.size === "auto" && fits))
    return { width: part.width, height: part.height };
  return modelSize(part, model);
}

/** The part that the server cuts out around a mask to draw it alone: padded, then widened to the shape of width × height. */
export function areaAround(mask: Rect, padding: number, size: ModelSize, picture: Rect): Rect {
  const wanted = intersect(grown(mask, padding), picture);
  const ratio = size.width / size.height;
  const widen = (
    start: number,
    length: number,
    to: number,
    least: number,
    most: number,
  ): [number, number] => {
    const longer = Math.min(to, most);
    if (longer <= length) return [start, length];
    return [clamp(start - Math.floor((longer - length) / 2), least, least + most - longer), longer];
  };
  let { x, y, width, height } = wanted;
  if (width < ratio * height)
    [x, width] = widen(x, width, Math.round(ratio * height), picture.x, picture.width);
  else [y, height] = widen(y, height, Math.round(width / ratio), picture.y, picture.height);
  return { x, y, width, height };
}

const masks = new WeakMap<Doc, Bitmap>(); // documents do not change

/** What is to be repainted: the masks, and what one sees through. */
export function maskOf(doc: Doc): Bitmap {
  let mask = masks.get(doc);
  if (!mask) masks.set(doc, (mask = computeMask(doc)));
  return mask;
}

function computeMask(doc: Doc): Bitmap {
  const shares = flattenMask(doc);
  const pixels = gapsOf(doc);
  if (pixels)
    for (let i = 0; i < shares.length; i++) shares[i] = Math.max(shares[i]!, 255 - pixels[i * 4 + 3]!);
  return Bitmap.of(1, doc.bounds, shares);
}

let lastGaps: { layers: readonly Layer[]; bounds: Rect; pixels: Pixels | null } | null = null;

/** The picture where one sees through it, else null. Remembered, because a mask is painted in many strokes over one picture. */
function gapsOf(doc: Doc): Pixels | null {
  const layers = doc.layers.filter((layer) => !isMask(layer));
  const known = lastGaps;
  if (
    known &&
    sameRect(known.bounds, doc.bounds) &&
    layers.length === known.layers.length &&
    layers.every((layer, i) => layer === known.layers[i])
  )
    return known.pixels;
  const pixels = flatten(doc);
  lastGaps = { layers, bounds: doc.bounds, pixels: isOpaque(pixels) ? null : pixels };
  return lastGaps.pixels;
}

function common(task: Task): Settings {
  const { prompt, loras } = splitLoras(task.prompt);
  return {
    prompt_syntax: "a1111",
    prompt,
    ...(task.negative.trim() && { negative_prompt: task.negative.trim() }),
    ...(loras.length > 0 && { lora: loras }),
    ...(task.model && { model: task.model }),
    ...(task.scheduler && { scheduler: task.scheduler }),
    ...(task.seed && { seed: seedValue(task.seed) }),
    ...(task.steps !== null && { steps: task.steps }),
    ...(task.guidance !== null && { guidance_scale: task.guidance }),
    count: task.count,
  };
}

/** A part that is drawn in pieces, where it is larger than the model knows. */
function tiles(width: number, height: number, model: ModelSize): Settings {
  const side = Math.max(model.width, model.height);
  return Math.max(width, height) > 1.5 * side ? { tile: side, tile_overlap: roundUp(side / 4) } : {};
}

interface CloseUp {
  readonly size: ModelSize;
  readonly drawn: Rect;
  readonly settings: Settings;
}

/** Whether to draw the whole, or only what is around a part, which gets more of the model's pixels then. */
function closeUp(covered: Rect, work: Rect, padding: number, task: Task, model: ModelSize): CloseUp {
  const around = intersect(grown(covered, padding), work);
  const pays = around.width * around.height < 0.6 * work.width * work.height;
  if (task.area === "whole" || (task.area === "auto" && !pays))
    return { size: drawnSize(work, task, model), drawn: work, settings: { inpaint_area: "whole" } };
  const size = modelSize(around, model);
  return {
    size,
    drawn: areaAround(covered, padding, size, work),
    settings: { inpaint_area: "masked", mask_padding: padding },
  };
}

function planInpaint(doc: Doc, task: Task, model: ModelSize): Plan | Obstacle {
  const mask = maskOf(doc);
  const covered = mask.extent();
  if (isEmpty(covered)) return "noMask";
  const work = padded(doc.bounds);
  const { size, drawn, settings } = closeUp(covered, work, task.padding, task, model);
  return {
    kind: "inpaint",
    picture: work,
    work,
    drawn,
    bounds: doc.bounds,
    scale: 1,
    changes: mask,
    again: false,
    request: {
      ...common(task),
      ...size,
      strength: task.strengths.inpaint,
      masked_content: task.maskedContent,
      mask_mode: task.maskMode,
      mask_blur: task.maskBlur,
      ...settings,
    },
  };
}

function planOutpaint(doc: Doc, task: Task, frame: Rect, model: ModelSize): Plan | Obstacle {
  const picture = intersect(frame, doc.bounds);
  if (isEmpty(picture) || sameRect(picture, frame)) return "noFrame";
  const work = padded(frame);
  if (isTooLarge(work.width, work.height)) return "tooLarge";
  const outpaint: [number, number, number, number] = [
    picture.x - work.x,
    picture.y - work.y,
    work.x + work.width - picture.x - picture.width,
    work.y + work.height - picture.y - picture.height,
  ];
  const [left, top, right, bottom] = outpaint.map((margin) => (margin > 0 ? SEAM : 0)) as typeof outpaint;
  const kept = {
    x: picture.x + left,
    y: picture.y + top,
    width: picture.width - left - right,
    height: picture.height - top - bottom,
  };
  const draft = ofRect(work).edit();
  if (!isEmpty(kept)) draft.clear(kept);
  const changes = draft.finish();
  const context = Math.max(task.padding, Math.round(Math.max(...outpaint) / 2)); // what goes on must be seen
  const { size, drawn, settings } = closeUp(changes.extent(), work, Math.min(256, context), task, model);
  return {
    kind: "outpaint",
    picture,
    work,
    drawn,
    bounds: frame,
    scale: 1,
    changes,
    again: false,
    request: {
      ...common(task),
      ...size,
      strength: task.strengths.outpaint,
      mask_blur: task.maskBlur,
      masked_content: "fill",
      outpaint,
      ...settings,
    },
  };
}

/** What all tasks on the whole picture have in common. */
function wholePicture(doc: Doc, kind: TaskKind, part: Rect, scale = 1): Omit<Plan, "request"> {
  return {
    kind,
    picture: part,
    work: part,
    drawn: part,
    bounds: doc.bounds,
    scale,
    changes: null,
    again: false,
  };
}

function planUpscale(doc: Doc, task: Task, model: ModelSize): Plan | Obstacle {
  const { bounds, source } = doc;
  const width = roundUp(bounds.width * task.scale);
  const height = roundUp(bounds.height * task.scale);
  if (isTooLarge(width, height)) return "tooLarge";
  const whole = wholePicture(doc, "upscale", bounds, task.scale);
  const strength = task.strengths.upscale;
  if (task.again && canMakeAgain("upscale", source)) {
    const request = { ...source, count: task.count, hires_scale: task.scale, hires_strength: strength };
    return { ...whole, again: true, request };
  }
  return { ...whole, request: { ...common(task), width, height, strength, ...tiles(width, height, model) } };
}

function planChange(doc: Doc, task: Task, kind: TaskKind, model: ModelSize, chance: () => number): Plan {
  const { bounds, source } = doc;
  const strength = task.strengths[kind];
  if (task.again && canMakeAgain(kind, source)) {
    const variation_seed = Math.floor(chance() * 2 ** 32);
    const request = { ...source, count: task.count, variation_seed, variation_strength: strength };
    return { ...wholePicture(doc, kind, bounds), again: true, request };
  }
  const work = padded(bounds);
  const size = drawnSize(work, task, model);
  const request = { ...common(task), ...size, strength, ...tiles(size.width, size.height, model) };
  return { ...wholePicture(doc, kind, work), request };
}

/** What a task asks for, or why it cannot. */
export function planOf(
  doc: Doc,
  task: Task,
  frame: Rect,
  model: ModelSize,
  chance: () => number = Math.random,
): Plan | Obstacle {
  if (isEmpty(doc.bounds)) return "noPicture";
  if (task.kind === "inpaint") return planInpaint(doc, task, model);
  if (task.kind === "outpaint") return planOutpaint(doc, task, frame, model);
  if (task.kind === "upscale") return planUpscale(doc, task, model);
  return planChange(doc, task, task.kind, model, chance);
}

/** Whether a task can make the picture again from its settings. A second pass does not go with a picture to start from. */
export function canMakeAgain(kind: TaskKind, source: Settings | null): source is Settings {
  return source !== null && (kind === "variations" || (kind === "upscale" && !source.init_image));
}

/** The pixels of a part, those at the document's edges going on beyond it. */
function readHeld(doc: Doc, part: Rect): Pixels {
  const inner = intersect(part, doc.bounds);
  const pixels = flatten(doc, inner);
  if (sameRect(inner, part)) return pixels;
  const out: Pixels = new Uint8ClampedArray(part.width * part.height * 4);
  for (let y = 0; y < part.height; y++)
    for (let x = 0; x < part.width; x++) {
      const from =
        (clamp(y + part.y - inner.y, 0, inner.height - 1) * inner.width +
          clamp(x + part.x - inner.x, 0, inner.width - 1)) *
        4;
      out.set(pixels.subarray(from, from + 4), (y * part.width + x) * 4);
    }
  return out;
}

/** What a plan starts from, as a file: without transparency, which models do not know. */
export async function exportStart(doc: Doc, plan: Plan): Promise<Blob> {
  let pixels = overColour(readHeld(doc, plan.picture), 255, 255, 255);
  let { width, height } = plan.picture;
  if (plan.kind === "upscale") {
    const { width: newWidth, height: newHeight } = plan.request as ModelSize;
    pixels = resample(pixels, 4, width, height, newWidth, newHeight);
    [width, height] = [newWidth, newHeight];
  }
  return encodePng(rgbOf(pixels), width, height, 3);
}

/** What to repaint, as a file: white is made anew. */
export function exportMask(plan: Plan): Promise<Blob> {
  return encodePng(plan.changes!.read(plan.picture), plan.picture.width, plan.picture.height, 1);
}

/** The picture as it is seen, as a file. */
export function exportPicture(doc: Doc): Promise<Blob> {
  const { width, height } = doc.bounds;
  const pixels = flatten(doc);
  return isOpaque(pixels) ? encodePng(rgbOf(pixels), width, height, 3) : encodePng(pixels, width, height, 4);
}

/** A picture that the server made, as a bitmap of what it changes. */
export function resultBitmap(
  plan: Plan,
  pixels: Pixels,
  width: number,
  height: number,
): { bitmap: Bitmap; part: Rect } {
  const part = { ...plan.work, width: plan.work.width * plan.scale, height: plan.work.height * plan.scale };
  const target = { ...part, width: Math.round(part.width), height: Math.round(part.height) };
  const fitted = resample(pixels, 4, width, height, target.width, target.height);
  if (plan.changes) {
    const shares = plan.changes.read(plan.work);
    for (let i = 0; i < shares.length; i++) if (!shares[i]) fitted.fill(0, i * 4, i * 4 + 4);
  }
  const bounds = scaledBounds(plan);
  const inner = intersect(target, bounds);
  const whole = Bitmap.of(4, target, fitted);
  return { bitmap: sameRect(inner, target) ? whole : Bitmap.of(4, inner, whole.read(inner)), part: inner };
}

function scaledBounds(plan: Plan): Rect {
  const { x, y, width, height } = plan.bounds;
  return { x, y, width: Math.round(width * plan.scale), height: Math.round(height * plan.scale) };
}

/** The document with a result as a new layer; what was masked for it is used up. */
export function accepted(doc: Doc, plan: Plan, bitmap: Bitmap, name: string): Doc {
  const bounds = scaledBounds(plan);
  const sized = plan.scale === 1 ? reframe(doc, bounds) : resized(doc, bounds.width, bounds.height);
  const top = sized.layers.findLast((layer) => !isMask(layer));
  const added = { ...addLayer(sized, newLayer("image", name, bitmap), top?.id), active: doc.active };
  if (plan.kind !== "inpaint") return added;
  return added.layers
    .filter((layer) => isMask(layer) && layer.visible)
    .reduce((next, layer) => changeLayer(next, layer.id, { bitmap: new Bitmap(1) }), added);
}
