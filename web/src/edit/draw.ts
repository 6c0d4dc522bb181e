// SPDX-License-Identifier: Apache-2.0
// What the stage shows, drawn in two layers: the picture below, and above it what moves with the pointer.
import { handles, marginsOf, placeOf } from "./frame";
import { intersect, isEmpty, sameRect, type Point, type Rect } from "./model/rect";
import type { Raster } from "./raster";
import { toScreen, type Size, type Viewport } from "./viewport";

export interface Colours {
  readonly desk: string; // around the picture
  readonly light: string; // of the chequers that show transparency
  readonly dark: string;
  readonly accent: string;
  readonly onAccent: string;
}

/** A picture laid over a part of the plane. */
export interface Overlay {
  readonly image: CanvasImageSource;
  readonly part: Rect;
}

export interface Scene {
  readonly view: Viewport;
  readonly screen: Size;
  readonly colours: Colours;
  readonly raster: Raster;
  readonly start: Overlay | null; // what a strength starts from
  readonly result: Overlay | null; // a candidate, or the preview of one
  readonly split: number | null; // share of the screen left of which the picture stays as it was
  readonly veil: number; // how dense the mask is shown, 0 to 1
  readonly quick: boolean; // something moves: rather soon than smooth
}

const CHEQUER = 8; // pixels of the screen
const GRID_FROM = 10; // zoom from which single pixels are told apart

function onScreen(view: Viewport, part: Rect): Rect {
  const corner = toScreen(view, part);
  return { ...corner, width: part.width * view.zoom, height: part.height * view.zoom };
}

/** Edges on whole pixels of the screen. */
function crisp(part: Rect): Rect {
  const x = Math.round(part.x);
  const y = Math.round(part.y);
  return { x, y, width: Math.round(part.x + part.width) - x, height: Math.round(part.y + part.height) - y };
}

function fillRect(context: CanvasRenderingContext2D, part: Rect): void {
  context.fillRect(part.x, part.y, part.width, part.height);
}

let chequers: { pattern: CanvasPattern; light: string; dark: string } | null = null;

function chequersOf(context: CanvasRenderingContext2D, { light, dark }: Colours): CanvasPattern {
  if (chequers?.light === light && chequers.dark === dark) return chequers.pattern;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 2 * CHEQUER;
  const on = tile.getContext("2d")!;
  on.fillStyle = light;
  on.fillRect(0, 0, 2 * CHEQUER, 2 * CHEQUER);
  on.fillStyle = dark;
  on.fillRect(0, 0, CHEQUER, CHEQUER);
  on.fillRect(CHEQUER, CHEQUER, CHEQUER, CHEQUER);
  chequers = { pattern: context.createPattern(tile, "repeat")!, light, dark };
  return chequers.pattern;
}

function lay(context: CanvasRenderingContext2D, view: Viewport, { image, part }: Overlay): void {
  const { x, y, width, height } = crisp(onScreen(view, part));
  context.drawImage(image, x, y, width, height);
}

export function drawScene(context: CanvasRenderingContext2D, scene: Scene): void {
  const { view, screen, colours, raster } = scene;
  const { bounds } = raster;
  context.fillStyle = colours.desk;
  context.fillRect(0, 0, screen.width, screen.height);
  if (isEmpty(bounds)) return;

  const sheet = crisp(onScreen(view, bounds));
  context.save();
  context.shadowColor = "rgb(0 0 0 / 25%)";
  context.shadowBlur = 18;
  context.shadowOffsetY = 3;
  context.fillStyle = colours.light;
  fillRect(context, sheet);
  context.restore();
  context.fillStyle = chequersOf(context, colours);
  fillRect(context, sheet);

  context.imageSmoothingEnabled = view.zoom < 2;
  context.imageSmoothingQuality = scene.quick ? "low" : "high";
  lay(context, view, { image: raster.picture, part: bounds });
  if (scene.start) lay(context, view, scene.start);
  if (scene.result) {
    context.save();
    if (scene.split !== null) {
      const from = scene.split * screen.width;
      context.beginPath();
      context.rect(from, 0, screen.width - from, screen.height);
      context.clip();
    }
    context.imageSmoothingEnabled = true;
    lay(context, view, scene.result);
    context.restore();
  }
  if (scene.veil > 0) {
    context.globalAlpha = scene.veil;
    lay(context, view, { image: raster.veil, part: bounds });
    context.globalAlpha = 1;
  }
  if (view.zoom >= GRID_FROM) drawGrid(context, view, screen, bounds);
}

function drawGrid(context: CanvasRenderingContext2D, view: Viewport, screen: Size, bounds: Rect): void {
  const seen = intersect(bounds, {
    x: Math.floor(view.x),
    y: Math.floor(view.y),
    width: Math.ceil(screen.width / view.zoom) + 1,
    height: Math.ceil(screen.height / view.zoom) + 1,
  });
  context.beginPath();
  const corner = toScreen(view, seen);
  const end = toScreen(view, { x: seen.x + seen.width, y: seen.y + seen.height });
  for (let x = 0; x <= seen.width; x++) {
    const at = Math.round(corner.x + x * view.zoom) + 0.5;
    context.moveTo(at, corner.y);
    context.lineTo(at, end.y);
  }
  for (let y = 0; y <= seen.height; y++) {
    const at = Math.round(corner.y + y * view.zoom) + 0.5;
    context.moveTo(corner.x, at);
    context.lineTo(end.x, at);
  }
  context.lineWidth = 1;
  context.strokeStyle = "rgb(128 128 128 / 35%)";
  context.stroke();
}

/** What lies over the picture and moves: one thing each, absent when there is none. */
export interface Marks {
  readonly view: Viewport;
  readonly screen: Size;
  readonly colours: Colours;
  readonly ants: Path2D | null; // the selection's edge, in the plane
  readonly march: number; // how far the ants have come
  readonly lasso: readonly Point[];
  readonly box: Rect | null;
  readonly layer: Rect | null; // what the active layer covers, while it is moved
  readonly frame: Rect | null;
  readonly bounds: Rect;
  readonly coarse: boolean; // fingers need larger handles
  readonly cursor: { at: Point; radius: number; round: boolean } | null;
  readonly split: number | null;
}

/** A line that can be seen on anything: dark below, light above. */
function strokeTwice(
  context: CanvasRenderingContext2D,
  path: Path2D | null,
  width: number,
  dash: number[] = [],
): void {
  const draw = () => (path ? context.stroke(path) : context.stroke());
  context.setLineDash([]);
  context.lineWidth = width;
  context.strokeStyle = "rgb(0 0 0 / 75%)";
  draw();
  context.setLineDash(dash);
  context.strokeStyle = "#fff";
  context.lineWidth = dash.length > 0 ? width : width / 2;
  draw();
  context.setLineDash([]);
}

export function drawMarks(context: CanvasRenderingContext2D, marks: Marks): void {
  const { view, screen } = marks;
  context.clearRect(0, 0, screen.width, screen.height);
  if (marks.frame) drawFrame(context, marks, marks.frame);
  if (marks.ants) {
    context.save();
    context.scale(view.zoom, view.zoom);
    context.translate(-view.x, -view.y);
    context.lineDashOffset = -marks.march / view.zoom;
    strokeTwice(context, marks.ants, 1.25 / view.zoom, [5 / view.zoom, 5 / view.zoom]);
    context.restore();
  }
  if (marks.layer && !isEmpty(marks.layer)) outlineRect(context, crisp(onScreen(view, marks.layer)), [4, 4]);
  if (marks.box) outlineRect(context, crisp(onScreen(view, marks.box)), [5, 5]);
  if (marks.lasso.length > 1) {
    context.beginPath();
    for (const point of marks.lasso) {
      const at = toScreen(view, point);
      context.lineTo(at.x, at.y);
    }
    strokeTwice(context, null, 1.5, [5, 5]);
  }
  if (marks.split !== null) drawSplit(context, marks.split * screen.width, screen.height);
  if (marks.cursor) drawCursor(context, view, marks.cursor);
}

function outlineRect(context: CanvasRenderingContext2D, part: Rect, dash: number[]): void {
  context.beginPath();
  context.rect(part.x + 0.5, part.y + 0.5, part.width - 1, part.height - 1);
  strokeTwice(context, null, 1.25, dash);
}

function drawCursor(
  context: CanvasRenderingContext2D,
  view: Viewport,
  cursor: NonNullable<Marks["cursor"]>,
): void {
  const at = toScreen(view, cursor.at);
  const radius = cursor.radius * view.zoom;
  context.beginPath();
  if (cursor.round && radius >= 3) context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
  else
    for (const [x, y] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ] as const) {
      context.moveTo(at.x + 3 * x, at.y + 3 * y);
      context.lineTo(at.x + 9 * x, at.y + 9 * y);
    }
  strokeTwice(context, null, 2.25);
}

function drawSplit(context: CanvasRenderingContext2D, x: number, height: number): void {
  context.beginPath();
  context.moveTo(x, 0);
  context.lineTo(x, height);
  strokeTwice(context, null, 3);
  context.beginPath();
  context.arc(x, height / 2, 18, 0, 2 * Math.PI);
  context.fillStyle = "rgb(20 20 28 / 70%)";
  context.fill();
  for (const way of [-1, 1]) {
    context.moveTo(x + 5 * way, height / 2 - 6);
    context.lineTo(x + 11 * way, height / 2);
    context.lineTo(x + 5 * way, height / 2 + 6);
  }
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.stroke();
}

function drawFrame(context: CanvasRenderingContext2D, marks: Marks, frame: Rect): void {
  const { view, screen, bounds, colours } = marks;
  const outer = crisp(onScreen(view, frame));
  const inner = crisp(onScreen(view, bounds));

  context.beginPath(); // what is cut off
  context.rect(inner.x, inner.y, inner.width, inner.height);
  context.rect(outer.x, outer.y, outer.width, outer.height);
  context.save();
  context.clip("evenodd");
  context.fillStyle = "rgb(0 0 0 / 55%)";
  fillRect(context, intersect(inner, { x: 0, y: 0, ...screen }));
  context.restore();

  context.beginPath(); // what is new
  context.rect(outer.x, outer.y, outer.width, outer.height);
  context.rect(inner.x, inner.y, inner.width, inner.height);
  context.save();
  context.clip("evenodd");
  context.beginPath();
  context.rect(outer.x, outer.y, outer.width, outer.height);
  context.clip();
  context.globalAlpha = 0.16;
  context.fillStyle = colours.accent;
  fillRect(context, outer);
  context.globalAlpha = 0.5;
  hatch(context, outer, colours.accent);
  context.restore();

  context.lineWidth = 2;
  context.strokeStyle = colours.accent;
  context.strokeRect(outer.x, outer.y, outer.width, outer.height);
  if (!sameRect(frame, bounds)) labelMargins(context, marks, frame);
  const size = marks.coarse ? 18 : 11;
  for (const handle of handles) {
    const at = toScreen(view, placeOf(handle, frame));
    context.beginPath();
    context.roundRect(at.x - size / 2, at.y - size / 2, size, size, 3);
    context.fillStyle = "#fff";
    context.fill();
    context.stroke();
  }
}

function hatch(context: CanvasRenderingContext2D, part: Rect, colour: string): void {
  context.beginPath();
  const step = 12;
  for (let x = part.x - part.height; x < part.x + part.width; x += step) {
    context.moveTo(x, part.y + part.height);
    context.lineTo(x + part.height, part.y);
  }
  context.lineWidth = 1;
  context.strokeStyle = colour;
  context.stroke();
}

/** How many pixels each side adds, at the middle of the side. */
function labelMargins(context: CanvasRenderingContext2D, marks: Marks, frame: Rect): void {
  const { view, bounds, colours } = marks;
  const margins = marginsOf(frame, bounds);
  const middle = { x: frame.x + frame.width / 2, y: frame.y + frame.height / 2 };
  const places: [number, number, number][] = [
    [margins.left, frame.x, middle.y],
    [margins.right, frame.x + frame.width, middle.y],
    [margins.top, middle.x, frame.y],
    [margins.bottom, middle.x, frame.y + frame.height],
  ];
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [margin, x, y] of places) {
    if (margin === 0) continue;
    const text = margin > 0 ? `+${margin}` : `−${-margin}`;
    const at = toScreen(view, { x, y });
    const away = { x: Math.sign(x - middle.x) * 34, y: Math.sign(y - middle.y) * 24 };
    const width = context.measureText(text).width + 14;
    context.beginPath();
    context.roundRect(at.x + away.x - width / 2, at.y + away.y - 11, width, 22, 11);
    context.fillStyle = colours.accent;
    context.fill();
    context.fillStyle = colours.onAccent;
    context.fillText(text, at.x + away.x, at.y + away.y + 0.5);
  }
}

/** The selection's edge as a path in the plane. */
export function pathOf(lines: readonly (readonly Point[])[]): Path2D {
  const path = new Path2D();
  for (const corners of lines) {
    for (const [i, corner] of corners.entries())
      if (i === 0) path.moveTo(corner.x, corner.y);
      else path.lineTo(corner.x, corner.y);
    path.closePath();
  }
  return path;
}
