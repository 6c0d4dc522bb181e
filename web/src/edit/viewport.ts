// SPDX-License-Identifier: Apache-2.0
// Which part of the plane is seen, and how large.
import { clamp, type Point, type Rect } from "./model/rect";

export interface Viewport {
  readonly x: number; // of the plane at the left upper corner
  readonly y: number;
  readonly zoom: number; // pixels of the screen to one of the plane
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export const leastZoom = 1 / 32;
export const mostZoom = 64;
const stops = [
  1 / 32,
  1 / 16,
  1 / 8,
  1 / 4,
  1 / 3,
  1 / 2,
  2 / 3,
  1,
  1.5,
  2,
  3,
  4,
  6,
  8,
  12,
  16,
  24,
  32,
  48,
  64,
];

export function toPlane(view: Viewport, at: Point): Point {
  return { x: view.x + at.x / view.zoom, y: view.y + at.y / view.zoom };
}

export function toScreen(view: Viewport, at: Point): Point {
  return { x: (at.x - view.x) * view.zoom, y: (at.y - view.y) * view.zoom };
}

/** Another zoom, the point of the plane under `at` (of the screen) staying there. */
export function zoomedTo(view: Viewport, zoom: number, at: Point): Viewport {
  const next = clamp(zoom, leastZoom, mostZoom);
  const fixed = toPlane(view, at);
  return { x: fixed.x - at.x / next, y: fixed.y - at.y / next, zoom: next };
}

/** The next larger (+1) or smaller (-1) of the usual zooms. */
export function zoomStep(zoom: number, way: 1 | -1): number {
  const past = 1.001;
  const next =
    way > 0 ? stops.find((stop) => stop > zoom * past) : stops.findLast((stop) => stop < zoom / past);
  return next ?? zoom;
}

export function panned(view: Viewport, dx: number, dy: number): Viewport {
  return { ...view, x: view.x - dx / view.zoom, y: view.y - dy / view.zoom };
}

/** Shows all of a part, in the middle; small pictures are not enlarged beyond four times. */
export function fitted(part: Rect, screen: Size, margin = 32, most = 4): Viewport {
  const space = {
    width: Math.max(1, screen.width - 2 * margin),
    height: Math.max(1, screen.height - 2 * margin),
  };
  const zoom = clamp(
    Math.min(space.width / part.width, space.height / part.height, most),
    leastZoom,
    mostZoom,
  );
  return centred(part, screen, zoom);
}

export function centred(part: Rect, screen: Size, zoom: number): Viewport {
  return {
    x: part.x + part.width / 2 - screen.width / 2 / zoom,
    y: part.y + part.height / 2 - screen.height / 2 / zoom,
    zoom,
  };
}

/** Keeps a corner of a part in sight, so that nobody gets lost. */
export function kept(view: Viewport, part: Rect, screen: Size, least = 48): Viewport {
  const reach = least / view.zoom;
  return {
    x: clamp(view.x, part.x + reach - screen.width / view.zoom, part.x + part.width - reach),
    y: clamp(view.y, part.y + reach - screen.height / view.zoom, part.y + part.height - reach),
    zoom: view.zoom,
  };
}

/** Two fingers moved: what lay under them stays under them. */
export function pinched(view: Viewport, before: [Point, Point], now: [Point, Point]): Viewport {
  const middle = ([a, b]: [Point, Point]) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  const apart = ([a, b]: [Point, Point]) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
  const [from, to] = [middle(before), middle(now)];
  return zoomedTo(panned(view, to.x - from.x, to.y - from.y), (view.zoom * apart(now)) / apart(before), to);
}
