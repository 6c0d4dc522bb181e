// SPDX-License-Identifier: Apache-2.0
// A picture being edited: a value, like its bitmaps. Every change makes a new document that shares what stayed the same.
import { Bitmap, differences, keysIn, rectOfTile, type Pixels } from "./bitmap";
import type { Settings } from "../../lib/types";
import { intersect, moved, nowhere, sameRect, unite, type Rect } from "./rect";

export type LayerKind = "image" | "paint" | "mask";

export interface Layer {
  readonly id: number;
  readonly kind: LayerKind; // a mask has one channel and says where to repaint
  readonly name: string;
  readonly visible: boolean;
  readonly opacity: number; // 0 to 1
  readonly x: number; // where the bitmap's origin lies
  readonly y: number;
  readonly bitmap: Bitmap;
}

export interface Doc {
  readonly bounds: Rect; // what the picture shows; layers may reach beyond
  readonly layers: readonly Layer[]; // the lowest first
  readonly active: number; // id of the layer that tools work on
  readonly selection: Bitmap | null; // one channel; null: everything
  readonly source: Settings | null; // what made the picture, where that is known
}

/** What a document may hold: as much as a canvas can on any device. */
export const MOST_PIXELS = 2 ** 24;

export const emptyDoc: Doc = { bounds: nowhere, layers: [], active: 0, selection: null, source: null };

export function newLayer(kind: LayerKind, name: string, bitmap?: Bitmap): Omit<Layer, "id"> {
  return {
    kind,
    name,
    visible: true,
    opacity: 1,
    x: 0,
    y: 0,
    bitmap: bitmap ?? new Bitmap(kind === "mask" ? 1 : 4),
  };
}

export function layerOf(doc: Doc, id: number): Layer | undefined {
  return doc.layers.find((layer) => layer.id === id);
}

/** Adds a layer above another (default: on top) and makes it the active one. */
export function addLayer(doc: Doc, layer: Omit<Layer, "id">, above?: number): Doc {
  const id = 1 + Math.max(0, ...doc.layers.map((other) => other.id));
  const place =
    above === undefined ? doc.layers.length : 1 + doc.layers.findIndex((other) => other.id === above);
  return { ...doc, layers: doc.layers.toSpliced(place, 0, { ...layer, id }), active: id };
}

export function changeLayer(doc: Doc, id: number, change: Partial<Omit<Layer, "id">>): Doc {
  return { ...doc, layers: doc.layers.map((layer) => (layer.id === id ? { ...layer, ...change } : layer)) };
}

/** Takes a layer away; the one below it becomes the active one. */
export function removeLayer(doc: Doc, id: number): Doc {
  const place = doc.layers.findIndex((layer) => layer.id === id);
  if (place < 0) return doc;
  const layers = doc.layers.toSpliced(place, 1);
  const active = doc.active === id ? (layers[Math.max(0, place - 1)]?.id ?? 0) : doc.active;
  return { ...doc, layers, active };
}

/** Moves a layer up (+1) or down (-1) among the others. */
export function shiftLayer(doc: Doc, id: number, by: 1 | -1): Doc {
  const place = doc.layers.findIndex((layer) => layer.id === id);
  const layer = doc.layers[place];
  const target = place + by;
  if (!layer || target < 0 || target >= doc.layers.length) return doc;
  return { ...doc, layers: doc.layers.toSpliced(place, 1).toSpliced(target, 0, layer) };
}

export function copyLayer(doc: Doc, id: number, name: string): Doc {
  const layer = layerOf(doc, id);
  return layer ? addLayer(doc, { ...layer, name }, id) : doc;
}

/** Draws a layer into the next one of a picture below it. */
export function mergeDown(doc: Doc, id: number): Doc {
  const place = doc.layers.findIndex((layer) => layer.id === id);
  const upper = doc.layers[place];
  const lower = doc.layers.slice(0, Math.max(0, place)).findLast((layer) => isMask(layer) === isMask(upper!));
  if (!upper || !lower) return doc;
  const part = unite(extentOf(upper), extentOf(lower));
  const both = [lower, upper].map((layer) => ({ ...layer, visible: true }));
  const bitmap = isMask(upper)
    ? Bitmap.of(1, part, flattenMasks(both, part))
    : Bitmap.of(4, part, flattenLayers(both, part));
  const merged: Layer = { ...lower, bitmap, x: 0, y: 0, opacity: 1, visible: true };
  const layers = doc.layers
    .filter((layer) => layer.id !== id)
    .map((layer) => (layer.id === lower.id ? merged : layer));
  return { ...doc, layers, active: lower.id };
}

export function isMask(layer: Layer): boolean {
  return layer.kind === "mask";
}

/** What a layer's drawing covers on the plane. */
export function extentOf(layer: Layer): Rect {
  return moved(layer.bitmap.extent(), layer.x, layer.y);
}

/** The uppermost mask that shows, else any. */
export function maskLayerOf(doc: Doc): Layer | undefined {
  const active = layerOf(doc, doc.active);
  if (active && isMask(active)) return active;
  return doc.layers.findLast((layer) => isMask(layer) && layer.visible) ?? doc.layers.findLast(isMask);
}

/** Lays a pixel with alpha `a` (0 to 255) over another, both not premultiplied. */
export function blendOver(out: Pixels, at: number, r: number, g: number, b: number, a: number): void {
  if (a <= 0) return;
  const under = out[at + 3]!;
  if (a >= 255 || under === 0) {
    out[at] = r;
    out[at + 1] = g;
    out[at + 2] = b;
    out[at + 3] = a;
    return;
  }
  const rest = (under * (255 - a)) / 255;
  const alpha = a + rest;
  out[at] = (r * a + out[at]! * rest) / alpha;
  out[at + 1] = (g * a + out[at + 1]! * rest) / alpha;
  out[at + 2] = (b * a + out[at + 2]! * rest) / alpha;
  out[at + 3] = alpha;
}

function layOver(out: Pixels, over: Pixels, opacity: number): void {
  for (let i = 0; i < out.length; i += 4)
    blendOver(out, i, over[i]!, over[i + 1]!, over[i + 2]!, over[i + 3]! * opacity);
}

function touches(layer: Layer, part: Rect): boolean {
  return keysIn(moved(part, -layer.x, -layer.y)).some((key) => layer.bitmap.tiles.has(key));
}

function flattenLayers(layers: readonly Layer[], part: Rect): Pixels {
  let out: Pixels | undefined;
  for (const layer of layers) {
    if (!layer.visible || layer.opacity === 0 || isMask(layer) || !touches(layer, part)) continue;
    const pixels = layer.bitmap.read(moved(part, -layer.x, -layer.y));
    if (!out && layer.opacity === 1) out = pixels;
    else layOver((out ??= new Uint8ClampedArray(pixels.length)), pixels, layer.opacity);
  }
  return out ?? new Uint8ClampedArray(Math.max(0, part.width * part.height) * 4);
}

function flattenMasks(layers: readonly Layer[], part: Rect): Pixels {
  const out: Pixels = new Uint8ClampedArray(Math.max(0, part.width * part.height));
  for (const layer of layers) {
    if (!layer.visible || !isMask(layer) || !touches(layer, part)) continue;
    const pixels = layer.bitmap.read(moved(part, -layer.x, -layer.y));
    for (let i = 0; i < out.length; i++) out[i] = Math.max(out[i]!, pixels[i]!);
  }
  return out;
}

/** The picture: all layers that show, over nothing. */
export function flatten(doc: Doc, part: Rect = doc.bounds): Pixels {
  return flattenLayers(doc.layers, part);
}

/** Where to repaint: the greatest share of all masks that show. */
export function flattenMask(doc: Doc, part: Rect = doc.bounds): Pixels {
  return flattenMasks(doc.layers, part);
}

/** Makes a picture opaque by laying it over one colour. */
export function overColour(pixels: Pixels, red: number, green: number, blue: number): Pixels {
  const out: Pixels = new Uint8ClampedArray(pixels.length);
  for (let i = 0; i < out.length; i += 4) {
    const a = pixels[i + 3]! / 255;
    out[i] = pixels[i]! * a + red * (1 - a);
    out[i + 1] = pixels[i + 1]! * a + green * (1 - a);
    out[i + 2] = pixels[i + 2]! * a + blue * (1 - a);
    out[i + 3] = 255;
  }
  return out;
}

/** Parts of the plane that look different in two documents. */
export function changedParts(before: Doc, after: Doc): Rect[] {
  if (before === after) return [];
  const old = new Map(before.layers.map((layer) => [layer.id, layer]));
  const now = new Set(after.layers.map((layer) => layer.id));
  const stayed = after.layers.filter((layer) => old.has(layer.id)).map((layer) => layer.id);
  const were = before.layers.filter((layer) => now.has(layer.id)).map((layer) => layer.id);
  if (!sameRect(before.bounds, after.bounds) || stayed.some((id, place) => were[place] !== id))
    return [before.bounds, after.bounds];

  const parts = before.layers.filter((layer) => !now.has(layer.id)).flatMap(tilesOf);
  for (const layer of after.layers) {
    const was = old.get(layer.id);
    if (was === layer) continue;
    if (was && looksAlike(was, layer))
      parts.push(...differences(was.bitmap, layer.bitmap).map((part) => moved(part, layer.x, layer.y)));
    else parts.push(...tilesOf(layer), ...(was ? tilesOf(was) : []));
  }
  return parts;
}

function looksAlike(a: Layer, b: Layer): boolean {
  return (
    a.visible === b.visible && a.opacity === b.opacity && a.x === b.x && a.y === b.y && a.kind === b.kind
  );
}

function tilesOf(layer: Layer): Rect[] {
  return [...layer.bitmap.tiles.keys()].map((key) => moved(rectOfTile(key), layer.x, layer.y));
}

/** Bytes of the tiles that one document has and another has not. */
export function bytesBeyond(doc: Doc, other: Doc): number {
  const kept = new Set<Pixels>();
  for (const bitmap of bitmapsOf(other)) for (const tile of bitmap.tiles.values()) kept.add(tile);
  let bytes = 0;
  for (const bitmap of bitmapsOf(doc))
    for (const tile of bitmap.tiles.values())
      if (!kept.has(tile)) {
        kept.add(tile);
        bytes += tile.length;
      }
  return bytes;
}

export function bitmapsOf(doc: Doc): Bitmap[] {
  const bitmaps = doc.layers.map((layer) => layer.bitmap);
  return doc.selection ? [...bitmaps, doc.selection] : bitmaps;
}

/** A part cut into pieces of at most one tile, none of which is empty. */
export function pieces(part: Rect): Rect[] {
  return keysIn(part).map((key) => intersect(rectOfTile(key), part));
}

/** Whether nothing is seen through the picture's pixels. */
export function isOpaque(pixels: Pixels): boolean {
  for (let i = 3; i < pixels.length; i += 4) if (pixels[i] !== 255) return false;
  return true;
}
