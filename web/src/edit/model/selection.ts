// SPDX-License-Identifier: Apache-2.0
// Shares of the plane: what a selection holds or a mask covers. One channel, 255 is all of a pixel.
import { Bitmap, type Pixels } from "./bitmap";
import { blur, distanceTo } from "./blur";
import { grown, intersect, isEmpty, moved, nowhere, rectOf, type Point, type Rect } from "./rect";

export type Combination = "replace" | "add" | "subtract" | "intersect";

export function ofRect(part: Rect): Bitmap {
  if (isEmpty(part)) return new Bitmap(1);
  return Bitmap.of(1, part, new Uint8ClampedArray(part.width * part.height).fill(255));
}

const LINES = 4; // sub-lines of a pixel; along a line the cover is exact

/** What a closed line of points holds, by the even-odd rule, with smooth edges. */
export function ofPolygon(points: readonly Point[], within: Rect): Bitmap {
  const part = intersect(boundsOfPoints(points), within);
  if (points.length < 3 || isEmpty(part)) return new Bitmap(1);
  const pixels: Pixels = new Uint8ClampedArray(part.width * part.height);
  const line = new Float32Array(part.width + 1);
  for (let y = 0; y < part.height; y++) {
    line.fill(0);
    for (let sub = 0; sub < LINES; sub++) {
      const crossings = crossingsAt(points, part.y + y + (sub + 0.5) / LINES);
      for (let i = 0; i + 1 < crossings.length; i += 2)
        addSpan(line, crossings[i]! - part.x, crossings[i + 1]! - part.x, part.width);
    }
    for (let x = 0; x < part.width; x++) pixels[y * part.width + x] = (line[x]! * 255) / LINES;
  }
  return Bitmap.of(1, part, pixels);
}

function boundsOfPoints(points: readonly Point[]): Rect {
  if (points.length === 0) return nowhere;
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b));
  const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b));
  return rectOf(least(xs), least(ys), most(xs), most(ys));
}

function crossingsAt(points: readonly Point[], y: number): number[] {
  const crossings: number[] = [];
  let a = points[points.length - 1]!;
  for (const b of points) {
    if (a.y <= y !== b.y <= y) crossings.push(a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y));
    a = b;
  }
  return crossings.sort((left, right) => left - right);
}

function addSpan(line: Float32Array, from: number, to: number, width: number): void {
  const start = Math.max(0, from);
  const end = Math.min(width, to);
  if (end <= start) return;
  const first = Math.floor(start);
  const last = Math.floor(end);
  if (first === last) {
    line[first] = line[first]! + end - start;
    return;
  }
  line[first] = line[first]! + first + 1 - start;
  for (let x = first + 1; x < last; x++) line[x] = line[x]! + 1;
  line[last] = line[last]! + end - last;
}

/** What an old and a new selection make together; null holds everything. */
export function combine(old: Bitmap | null, next: Bitmap, how: Combination, bounds: Rect): Bitmap {
  if (how === "replace") return next;
  const base = old ?? (how === "add" ? new Bitmap(1) : ofRect(bounds));
  const keys = new Set([...base.tiles.keys(), ...next.tiles.keys()]);
  const draft = base.edit();
  for (const key of keys) {
    const other = next.tiles.get(key);
    if (!other && how !== "intersect") continue;
    if (how === "subtract" && !base.tiles.has(key)) continue;
    const tile = draft.tile(key);
    for (let i = 0; i < tile.length; i++) {
      const a = tile[i]!;
      const b = other ? other[i]! : 0;
      tile[i] = how === "add" ? Math.max(a, b) : how === "subtract" ? Math.min(a, 255 - b) : Math.min(a, b);
    }
  }
  return draft.finish();
}

export function invert(selection: Bitmap, bounds: Rect): Bitmap {
  const pixels = selection.read(bounds);
  for (let i = 0; i < pixels.length; i++) pixels[i] = 255 - pixels[i]!;
  return Bitmap.of(1, bounds, pixels);
}

/** Softens the edge: a Gaussian of standard deviation `radius` / 2, so that it fades over about `radius` to both sides. */
export function feather(selection: Bitmap, radius: number, bounds: Rect): Bitmap {
  if (radius <= 0) return selection;
  const reach = grown(selection.extent(), Math.ceil(2 * radius) + 1);
  if (selection.isBlank) return selection;
  const soft = blur(heldAtEdges(selection, reach, bounds), reach.width, reach.height, radius / 2);
  return cropped(reach, soft, bounds);
}

/** As the pixels of a part; beyond the bounds the nearest pixel within goes on, so that the bounds are no edge. */
function heldAtEdges(selection: Bitmap, part: Rect, bounds: Rect): Pixels {
  const pixels = selection.read(part);
  const inner = intersect(part, bounds);
  if (isEmpty(inner)) return pixels;
  const near = (value: number, start: number, length: number) =>
    Math.min(Math.max(value, start), start + length - 1);
  for (let y = 0; y < part.height; y++)
    for (let x = 0; x < part.width; x++) {
      const ix = near(x + part.x, inner.x, inner.width) - part.x;
      const iy = near(y + part.y, inner.y, inner.height) - part.y;
      if (ix !== x || iy !== y) pixels[y * part.width + x] = pixels[iy * part.width + ix]!;
    }
  return pixels;
}

function cropped(part: Rect, pixels: Pixels, bounds: Rect): Bitmap {
  const inner = intersect(part, bounds);
  return isEmpty(inner) ? new Bitmap(1) : Bitmap.of(1, inner, Bitmap.of(1, part, pixels).read(inner));
}

/** Makes what is more than half selected wider by `by` pixels all round, or narrower when it is negative. */
export function grow(selection: Bitmap, by: number, bounds: Rect): Bitmap {
  if (by === 0 || selection.isBlank) return selection;
  const reach = grown(selection.extent(), Math.ceil(Math.abs(by)) + 1);
  const pixels = heldAtEdges(selection, reach, bounds);
  const inside =
    by > 0 ? pixels.map((share) => (share >= 128 ? 255 : 0)) : pixels.map((s) => (s < 128 ? 255 : 0));
  const far = distanceTo(inside, reach.width, reach.height);
  const out: Pixels = new Uint8ClampedArray(pixels.length);
  for (let i = 0; i < out.length; i++) {
    const share = (Math.abs(by) + 1 - far[i]!) * 255;
    out[i] = by > 0 ? share : 255 - Math.min(255, Math.max(0, share));
  }
  return cropped(reach, out, bounds);
}

/** Closed lines around what is more than half selected, by their corners; what is selected lies at the right hand. */
export function outline(selection: Bitmap): Point[][] {
  if (selection.isBlank) return [];
  const part = grown(selection.extent(), 1);
  const { width, height } = part;
  const pixels = selection.read(part);
  const inside = (x: number, y: number) => pixels[y * width + x]! >= 128;
  const stride = width + 1;
  const next = new Map<number, number[]>(); // from the corner of a pixel to the next ones along an edge
  const edge = (ax: number, ay: number, bx: number, by: number) => {
    const from = ay * stride + ax;
    const ends = next.get(from);
    if (ends) ends.push(by * stride + bx);
    else next.set(from, [by * stride + bx]);
  };
  for (let y = 1; y < height; y++)
    for (let x = 1; x < width; x++) {
      const here = inside(x, y);
      if (here && !inside(x, y - 1)) edge(x, y, x + 1, y);
      if (!here && inside(x, y - 1)) edge(x + 1, y, x, y);
      if (here && !inside(x - 1, y)) edge(x, y + 1, x, y);
      if (!here && inside(x - 1, y)) edge(x, y, x, y + 1);
    }
  const lines: Point[][] = [];
  for (const [start, ends] of next) while (ends.length > 0) lines.push(followed(start, next, stride, part));
  return lines;
}

function followed(start: number, next: Map<number, number[]>, stride: number, part: Rect): Point[] {
  const corners: Point[] = [];
  let at = start;
  let way = 0;
  do {
    const to = next.get(at)!.pop()!;
    if (to - at !== way) corners.push({ x: part.x + (at % stride), y: part.y + Math.floor(at / stride) });
    way = to - at;
    at = to;
  } while (at !== start);
  return corners;
}

/** The same shares elsewhere. */
export function shifted(selection: Bitmap, dx: number, dy: number): Bitmap {
  if (dx === 0 && dy === 0) return selection;
  const part = selection.extent();
  return isEmpty(part) ? selection : Bitmap.of(1, moved(part, dx, dy), selection.read(part));
}
