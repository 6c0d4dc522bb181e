// SPDX-License-Identifier: Apache-2.0
// Pixels on a plane without edges, in square tiles. A bitmap never changes: an edit works on a draft, which copies a tile when
// it first writes to it, and ends in a new bitmap that shares all other tiles with the old one. So an old version costs only
// the tiles that differ, which is what undo is made of.
import { intersect, isEmpty, nowhere, unite, type Rect } from "./rect";

export const TILE = 256;
export type Pixels = Uint8ClampedArray<ArrayBuffer>;
/** Red, green, blue and alpha (not premultiplied), or a share alone: a mask. */
export type Channels = 1 | 4;

const MIDDLE = 0x8000;
const ROW = 0x10000;

function keyOf(tx: number, ty: number): number {
  return (ty + MIDDLE) * ROW + (tx + MIDDLE);
}

/** The place of a tile. */
export function rectOfTile(key: number): Rect {
  const tx = (key % ROW) - MIDDLE;
  const ty = Math.floor(key / ROW) - MIDDLE;
  return { x: tx * TILE, y: ty * TILE, width: TILE, height: TILE };
}

/** Keys of the tiles that a part touches, row by row. */
export function keysIn(r: Rect): number[] {
  const keys: number[] = [];
  if (isEmpty(r)) return keys;
  const last = { x: Math.floor((r.x + r.width - 1) / TILE), y: Math.floor((r.y + r.height - 1) / TILE) };
  for (let ty = Math.floor(r.y / TILE); ty <= last.y; ty++)
    for (let tx = Math.floor(r.x / TILE); tx <= last.x; tx++) keys.push(keyOf(tx, ty));
  return keys;
}

function isBlank(pixels: Pixels): boolean {
  const words = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length >> 2);
  return words.every((word) => word === 0);
}

type Tiles = ReadonlyMap<number, Pixels>;

/** Visits what a part and the tiles have in common. `at` is the offset of a row's first pixel in the tile. */
function eachRow(
  key: number,
  part: Rect,
  visit: (at: number, x: number, y: number, width: number) => void,
): void {
  const tile = rectOfTile(key);
  const common = intersect(tile, part);
  for (let y = common.y; y < common.y + common.height; y++)
    visit((y - tile.y) * TILE + common.x - tile.x, common.x, y, common.width);
}

export class Bitmap {
  constructor(
    readonly channels: Channels,
    readonly tiles: Tiles = new Map(),
  ) {}

  static of(channels: Channels, part: Rect, pixels: Pixels): Bitmap {
    const draft = new Bitmap(channels).edit();
    draft.write(part, pixels);
    return draft.finish();
  }

  get bytes(): number {
    return this.tiles.size * TILE * TILE * this.channels;
  }

  get isBlank(): boolean {
    return this.tiles.size === 0;
  }

  /** A copy of a part, row by row; 0 where nothing was ever drawn. */
  read(part: Rect): Pixels {
    const n = this.channels;
    const out: Pixels = new Uint8ClampedArray(Math.max(0, part.width * part.height) * n);
    for (const key of keysIn(part)) {
      const tile = this.tiles.get(key);
      if (!tile) continue;
      eachRow(key, part, (at, x, y, width) => {
        out.set(tile.subarray(at * n, (at + width) * n), ((y - part.y) * part.width + x - part.x) * n);
      });
    }
    return out;
  }

  /** The smallest part that holds everything drawn: an alpha or a share above 0. */
  extent(): Rect {
    let extent = nowhere;
    for (const [key, tile] of this.tiles) {
      const place = rectOfTile(key);
      const n = this.channels;
      let left = TILE;
      let right = -1;
      let top = TILE;
      let bottom = -1;
      for (let i = n - 1, p = 0; i < tile.length; i += n, p++) {
        if (tile[i] === 0) continue;
        const x = p % TILE;
        const y = (p - x) / TILE;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        if (y > bottom) bottom = y;
      }
      const part = { x: place.x + left, y: place.y + top, width: right - left + 1, height: bottom - top + 1 };
      extent = unite(extent, part);
    }
    return extent;
  }

  edit(): Draft {
    return new Draft(this);
  }
}

/** A bitmap while it changes. */
export class Draft {
  readonly channels: Channels;
  private readonly tiles: Map<number, Pixels>;
  private readonly own = new Set<number>(); // tiles that no bitmap has

  constructor(readonly base: Bitmap) {
    this.channels = base.channels;
    this.tiles = new Map(base.tiles);
  }

  /** The tile's pixels, to be written to. */
  tile(key: number): Pixels {
    const old = this.tiles.get(key);
    if (old && this.own.has(key)) return old;
    const fresh: Pixels = old ? old.slice() : new Uint8ClampedArray(TILE * TILE * this.channels);
    this.tiles.set(key, fresh);
    this.own.add(key);
    return fresh;
  }

  /** The tile's pixels as they are now; undefined: blank. */
  peek(key: number): Pixels | undefined {
    return this.tiles.get(key);
  }

  write(part: Rect, pixels: Pixels): void {
    const n = this.channels;
    for (const key of keysIn(part)) {
      const tile = this.tile(key);
      eachRow(key, part, (at, x, y, width) => {
        const from = ((y - part.y) * part.width + x - part.x) * n;
        tile.set(pixels.subarray(from, from + width * n), at * n);
      });
    }
  }

  /** Calls `change` for the pixels of a part that lie in one row of one tile. Offsets count pixels, not bytes. */
  rows(part: Rect, change: (tile: Pixels, at: number, x: number, y: number, width: number) => void): void {
    for (const key of keysIn(part)) {
      const tile = this.tile(key);
      eachRow(key, part, (at, x, y, width) => change(tile, at, x, y, width));
    }
  }

  clear(part: Rect): void {
    const n = this.channels;
    for (const key of keysIn(part))
      if (this.tiles.has(key)) {
        const tile = this.tile(key);
        eachRow(key, part, (at, _x, _y, width) => tile.fill(0, at * n, (at + width) * n));
      }
  }

  /** As a bitmap, without going on: later changes to this draft do not reach it. */
  snapshot(): Bitmap {
    this.own.clear();
    return new Bitmap(this.channels, new Map(this.tiles));
  }

  /** The new bitmap, without blank tiles; the old one when nothing changed. */
  finish(): Bitmap {
    const old = this.base.tiles;
    for (const [key, tile] of this.tiles) {
      const before = old.get(key);
      if (tile === before) continue;
      if (isBlank(tile)) this.tiles.delete(key);
      else if (before && same(tile, before)) this.tiles.set(key, before);
    }
    this.own.clear();
    const differs =
      old.size !== this.tiles.size || [...this.tiles].some(([key, tile]) => old.get(key) !== tile);
    return differs ? new Bitmap(this.channels, new Map(this.tiles)) : this.base;
  }
}

function same(a: Pixels, b: Pixels): boolean {
  const left = new Uint32Array(a.buffer, a.byteOffset, a.length >> 2);
  const right = new Uint32Array(b.buffer, b.byteOffset, b.length >> 2);
  return left.every((word, i) => word === right[i]);
}

/** Places of the tiles that two bitmaps do not share. */
export function differences(a: Bitmap, b: Bitmap): Rect[] {
  if (a === b) return [];
  const out: Rect[] = [];
  for (const [key, tile] of a.tiles) if (b.tiles.get(key) !== tile) out.push(rectOfTile(key));
  for (const key of b.tiles.keys()) if (!a.tiles.has(key)) out.push(rectOfTile(key));
  return out;
}
