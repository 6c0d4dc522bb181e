// SPDX-License-Identifier: Apache-2.0
// A brush: from the points of a pen to round dabs, and from dabs to pixels. The same points give the same pixels.
import { Bitmap, Draft, keysIn, rectOfTile, type Channels, type Pixels } from "./bitmap";
import { blendOver } from "./document";
import { clamp, intersect, isEmpty, nowhere, unite, type Rect } from "./rect";

export interface Brush {
  size: number; // diameter, pixels, from 1
  hardness: number; // 0: fades from the middle on, 1: sharp
  opacity: number; // of a whole stroke, 0 to 1
  spacing: number; // between dabs, a share of the diameter
  smoothing: number; // 0: follows the hand, towards 1: a calm line that lags behind
  pressureSize: boolean;
  pressureOpacity: boolean;
}

export interface PenPoint {
  readonly x: number;
  readonly y: number;
  readonly pressure: number; // 0 to 1; 0.5 where a device has none
}

export interface Dab {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly opacity: number;
}

const LEAST_SIZE = 1;
const LEAST_STEP = 0.5; // pixels between dabs
const FLATNESS = 2; // pixels of a curve that are taken for straight

/** Turns the points of one stroke into dabs at even distances along a smooth line. */
export class Stroke {
  private pen: PenPoint | null = null; // calmed
  private last: PenPoint | null = null; // raw
  private at: PenPoint | null = null; // where the line has come to: the middle between the last two calmed points
  private untilNext = 0; // length of line before the next dab

  constructor(private readonly brush: Brush) {}

  add(point: PenPoint): Dab[] {
    this.last = point;
    if (!this.pen || !this.at) {
      this.pen = this.at = point;
      this.untilNext = this.step(point);
      return [this.dab(point)];
    }
    const calm = 1 - clamp(this.brush.smoothing, 0, 0.95);
    const next = between(this.pen, point, calm);
    const middle = between(this.pen, next, 0.5);
    const dabs = this.curve(this.at, this.pen, middle);
    this.pen = next;
    this.at = middle;
    return dabs;
  }

  /** The rest of the line, up to where the pen was lifted. */
  end(): Dab[] {
    if (!this.pen || !this.at || !this.last) return [];
    const dabs = [
      ...this.curve(this.at, this.pen, between(this.pen, this.last, 0.5)),
      ...this.line(this.last),
    ];
    this.pen = this.at = null;
    return dabs;
  }

  /** Along a quadratic Bézier curve, which goes on as the last one ended. */
  private curve(from: PenPoint, control: PenPoint, to: PenPoint): Dab[] {
    const length = distance(from, control) + distance(control, to);
    const parts = Math.max(1, Math.ceil(length / FLATNESS));
    const dabs: Dab[] = [];
    for (let i = 1; i <= parts; i++) {
      const s = i / parts;
      dabs.push(...this.line(between(between(from, control, s), between(control, to, s), s)));
    }
    return dabs;
  }

  private line(to: PenPoint): Dab[] {
    const from = this.at!;
    const length = this.length(from, to);
    const dabs: Dab[] = [];
    let done = 0;
    while (length - done >= this.untilNext) {
      done += this.untilNext;
      const point = between(from, to, done / length);
      dabs.push(this.dab(point));
      this.untilNext = this.step(point);
    }
    this.untilNext -= length - done;
    this.at = to;
    return dabs;
  }

  /** A line of single pixels is as long as its longer side, so that it has no doubled corners. */
  private length(a: PenPoint, b: PenPoint): number {
    return this.isPixel(a) ? Math.max(Math.abs(b.x - a.x), Math.abs(b.y - a.y)) : distance(a, b);
  }

  private step(point: PenPoint): number {
    return this.isPixel(point) ? 1 : Math.max(LEAST_STEP, this.size(point) * this.brush.spacing);
  }

  private isPixel(point: PenPoint): boolean {
    return this.size(point) < 1.5;
  }

  private size(point: PenPoint): number {
    return Math.max(LEAST_SIZE, this.brush.size * (this.brush.pressureSize ? point.pressure * 2 : 1));
  }

  private dab(point: PenPoint): Dab {
    const opacity = this.brush.pressureOpacity ? clamp(point.pressure * 2, 0, 1) : 1;
    return { x: point.x, y: point.y, radius: this.size(point) / 2, opacity };
  }
}

function between(a: PenPoint, b: PenPoint, share: number): PenPoint {
  return {
    x: a.x + (b.x - a.x) * share,
    y: a.y + (b.y - a.y) * share,
    pressure: a.pressure + (b.pressure - a.pressure) * share,
  };
}

function distance(a: PenPoint, b: PenPoint): number {
  return Math.hypot(b.x - a.x, b.y - a.y);
}

/** How much of a pixel a dab covers, at a distance from its middle. */
export function coverage(distance: number, radius: number, hardness: number): number {
  const inner = Math.min(radius * hardness, radius - 0.5);
  const outer = radius + 0.5;
  if (distance <= inner) return 1;
  if (distance >= outer) return 0;
  const share = (outer - distance) / (outer - inner);
  return hardness >= 1 ? share : share * share * (3 - 2 * share);
}

export interface Ink {
  readonly erase: boolean;
  readonly colour: readonly [number, number, number]; // of no concern to a mask
  readonly opacity: number;
}

/**
 * Paints dabs into a bitmap. Where dabs of one stroke overlap, the strongest counts, so a stroke is nowhere denser than its
 * opacity and looks the same however close its dabs are.
 */
export class Painter {
  private readonly stroke = new Draft(new Bitmap(1)); // how much each pixel is covered
  private readonly draft: Draft;
  private readonly reach: Rect;

  /**
   * @param within a selection, one channel
   * @param frame  nothing is painted beyond it; all in the coordinates of `base`
   */
  constructor(
    private readonly base: Bitmap,
    private readonly brush: Pick<Brush, "hardness">,
    private readonly ink: Ink,
    private readonly within: Bitmap | null,
    frame: Rect,
  ) {
    this.draft = base.edit();
    this.reach = within
      ? intersect([...within.tiles.keys()].map(rectOfTile).reduce(unite, nowhere), frame)
      : frame;
  }

  /** @return the part that may have changed */
  paint(dabs: readonly Dab[]): Rect {
    let all = nowhere;
    for (const dab of dabs) {
      const part = intersect(partOf(dab), this.reach);
      if (isEmpty(part)) continue;
      this.cover(dab, part);
      all = unite(all, part);
    }
    for (const key of keysIn(all)) {
      const part = intersect(rectOfTile(key), all);
      if (dabs.some((dab) => !isEmpty(intersect(partOf(dab), part)))) this.resolve(key, part);
    }
    return all;
  }

  snapshot(): Bitmap {
    return this.draft.snapshot();
  }

  finish(): Bitmap {
    return this.draft.finish();
  }

  private cover(dab: Dab, part: Rect): void {
    const single = dab.radius < 0.75;
    const hardness = this.brush.hardness;
    this.stroke.rows(part, (tile, at, x, y, width) => {
      for (let i = 0; i < width; i++) {
        const share = single
          ? 1
          : coverage(Math.sqrt((x + i + 0.5 - dab.x) ** 2 + (y + 0.5 - dab.y) ** 2), dab.radius, hardness);
        const value = share * dab.opacity * 255;
        if (value > tile[at + i]!) tile[at + i] = value;
      }
    });
  }

  /** Computes the pixels of a part of one tile anew from what was there before the stroke. */
  private resolve(key: number, part: Rect): void {
    const shares = this.stroke.peek(key);
    if (!shares) return;
    const limits = this.within?.tiles.get(key);
    if (this.within && !limits) return;
    const before = this.base.tiles.get(key);
    const n = this.base.channels;
    this.draft.rows(part, (tile, at, _x, _y, width) => {
      if (before) tile.set(before.subarray(at * n, (at + width) * n), at * n);
      else tile.fill(0, at * n, (at + width) * n);
      for (let i = at; i < at + width; i++) {
        const share = shares[i]! * this.ink.opacity * (limits ? limits[i]! / 255 : 1);
        if (share > 0) mix(tile, n, i, share, this.ink);
      }
    });
  }
}

/** Applies ink of a share (0 to 255) to one pixel. */
export function mix(tile: Pixels, channels: Channels, pixel: number, share: number, ink: Ink): void {
  if (channels === 1) {
    const old = tile[pixel]!;
    tile[pixel] = ink.erase ? old * (1 - share / 255) : old + (255 - old) * (share / 255);
    return;
  }
  const at = pixel * 4;
  if (ink.erase) tile[at + 3] = tile[at + 3]! * (1 - share / 255);
  else blendOver(tile, at, ink.colour[0], ink.colour[1], ink.colour[2], share);
}

function partOf(dab: Dab): Rect {
  if (dab.radius < 0.75) return { x: Math.floor(dab.x), y: Math.floor(dab.y), width: 1, height: 1 };
  const reach = dab.radius + 0.5;
  const x = Math.floor(dab.x - reach);
  const y = Math.floor(dab.y - reach);
  return { x, y, width: Math.ceil(dab.x + reach) - x, height: Math.ceil(dab.y + reach) - y };
}
