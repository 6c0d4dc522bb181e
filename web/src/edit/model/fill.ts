// SPDX-License-Identifier: Apache-2.0
import { Bitmap, keysIn, rectOfTile, type Pixels } from "./bitmap";
import { mix, type Ink } from "./brush";
import { contains, intersect, type Rect } from "./rect";

/**
 * What looks like the pixel at (x, y): red, green, blue and alpha each at most `tolerance` (0 to 255) away.
 * @param contiguous only what hangs together with it
 * @param pixels     four channels, of `part`
 */
export function alike(
  pixels: Pixels,
  part: Rect,
  x: number,
  y: number,
  tolerance: number,
  contiguous = true,
): Bitmap {
  if (!contains(part, x, y)) return new Bitmap(1);
  const { width, height } = part;
  const seed = ((y - part.y) * width + x - part.x) * 4;
  const [r, g, b, a] = [pixels[seed]!, pixels[seed + 1]!, pixels[seed + 2]!, pixels[seed + 3]!];
  const matches = (at: number) => {
    const i = at * 4;
    if (a === 0 && pixels[i + 3] === 0) return true; // the colour of nothing does not count
    return (
      Math.abs(pixels[i]! - r) <= tolerance &&
      Math.abs(pixels[i + 1]! - g) <= tolerance &&
      Math.abs(pixels[i + 2]! - b) <= tolerance &&
      Math.abs(pixels[i + 3]! - a) <= tolerance
    );
  };
  const out: Pixels = new Uint8ClampedArray(width * height);
  if (contiguous) flood(out, width, height, seed >> 2, matches);
  else for (let i = 0; i < out.length; i++) if (matches(i)) out[i] = 255;
  return Bitmap.of(1, part, out);
}

/** Marks runs of a line and goes on from them to the lines above and below. */
function flood(
  out: Pixels,
  width: number,
  height: number,
  seed: number,
  matches: (at: number) => boolean,
): void {
  const waiting = [seed];
  while (waiting.length > 0) {
    const at = waiting.pop()!;
    if (out[at]) continue;
    const line = at - (at % width);
    let left = at;
    while (left > line && !out[left - 1] && matches(left - 1)) left--;
    let right = at;
    while (right + 1 < line + width && !out[right + 1] && matches(right + 1)) right++;
    out.fill(255, left, right + 1);
    if (line > 0) queueRuns(left - width, right - width);
    if (line + width < width * height) queueRuns(left + width, right + width);
  }

  function queueRuns(from: number, to: number): void {
    let inRun = false;
    for (let i = from; i <= to; i++) {
      const free = !out[i] && matches(i);
      if (free && !inRun) waiting.push(i);
      inRun = free;
    }
  }
}

/** Applies ink wherever `shares` says, at most within `part`. Coordinates are those of the bitmap. */
export function fill(bitmap: Bitmap, shares: Bitmap, ink: Ink, part: Rect): Bitmap {
  const draft = bitmap.edit();
  for (const key of keysIn(part)) {
    const tile = shares.tiles.get(key);
    if (!tile) continue;
    draft.rows(intersect(rectOfTile(key), part), (pixels, at, _x, _y, width) => {
      for (let i = at; i < at + width; i++) {
        const share = tile[i]! * ink.opacity;
        if (share > 0) mix(pixels, bitmap.channels, i, share, ink);
      }
    });
  }
  return draft.finish();
}
