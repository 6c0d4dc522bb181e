// SPDX-License-Identifier: Apache-2.0
// The frame: dragged outwards it says where to paint on, inwards what to cut off.
import { clamp, type Point, type Rect } from "./model/rect";

/** Which sides a handle moves: -1 the left or upper one, 1 the right or lower one. */
export interface Handle {
  readonly x: -1 | 0 | 1;
  readonly y: -1 | 0 | 1;
}

export const handles: readonly Handle[] = ([-1, 0, 1] as const).flatMap((y) =>
  ([-1, 0, 1] as const).filter((x) => x !== 0 || y !== 0).map((x) => ({ x, y })),
);

export const leastSide = 8;
export const mostSide = 8192;

export function placeOf(handle: Handle, frame: Rect): Point {
  return {
    x: frame.x + ((handle.x + 1) / 2) * frame.width,
    y: frame.y + ((handle.y + 1) / 2) * frame.height,
  };
}

/** The handle nearest to a point, else the inside ("move"), else nothing. @param reach in pixels of the plane */
export function handleAt(frame: Rect, at: Point, reach: number): Handle | "move" | null {
  let best: Handle | null = null;
  let least = reach;
  for (const handle of handles) {
    const place = placeOf(handle, frame);
    const far = Math.max(Math.abs(at.x - place.x), Math.abs(at.y - place.y));
    if (far <= least) [best, least] = [handle, far];
  }
  if (best) return best;
  const nearEdge = (value: number, start: number, length: number) =>
    Math.abs(value - start) <= reach ? -1 : Math.abs(value - start - length) <= reach ? 1 : 0;
  const within = (value: number, start: number, length: number) =>
    value >= start - reach && value <= start + length + reach;
  if (!within(at.x, frame.x, frame.width) || !within(at.y, frame.y, frame.height)) return null;
  const [x, y] = [nearEdge(at.x, frame.x, frame.width), nearEdge(at.y, frame.y, frame.height)] as const;
  return x || y ? ({ x, y } as Handle) : "move";
}

/** One side of a frame moved, snapping to the picture's edge when close, else to steps of it. */
function side(value: number, edge: number, step: number, snap: number): number {
  if (Math.abs(value - edge) <= snap) return edge;
  return edge + Math.round((value - edge) / step) * step;
}

/** @param picture the bounds, whose edges the sides snap to */
export function dragged(
  frame: Rect,
  handle: Handle,
  dx: number,
  dy: number,
  picture: Rect,
  options: { step: number; snap: number },
): Rect {
  const right = frame.x + frame.width;
  const bottom = frame.y + frame.height;
  const move = (value: number, by: number, edge: number) =>
    side(value + by, edge, options.step, options.snap);
  const x = handle.x < 0 ? clamp(move(frame.x, dx, picture.x), right - mostSide, right - leastSide) : frame.x;
  const y =
    handle.y < 0 ? clamp(move(frame.y, dy, picture.y), bottom - mostSide, bottom - leastSide) : frame.y;
  const end = {
    x: handle.x > 0 ? clamp(move(right, dx, picture.x + picture.width), x + leastSide, x + mostSide) : right,
    y:
      handle.y > 0
        ? clamp(move(bottom, dy, picture.y + picture.height), y + leastSide, y + mostSide)
        : bottom,
  };
  return { x, y, width: end.x - x, height: end.y - y };
}

export interface Margins {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** How far a frame reaches beyond the picture; negative: how much of it is cut off. */
export function marginsOf(frame: Rect, picture: Rect): Margins {
  return {
    left: picture.x - frame.x,
    top: picture.y - frame.y,
    right: frame.x + frame.width - picture.x - picture.width,
    bottom: frame.y + frame.height - picture.y - picture.height,
  };
}

export function frameOf(picture: Rect, margins: Margins): Rect {
  return {
    x: picture.x - margins.left,
    y: picture.y - margins.top,
    width: Math.max(leastSide, picture.width + margins.left + margins.right),
    height: Math.max(leastSide, picture.height + margins.top + margins.bottom),
  };
}
