// SPDX-License-Identifier: Apache-2.0
// The document as two canvases: the picture, and the mask as a veil. Only what changed is drawn again.
import { changedParts, flatten, flattenMask, pieces, type Doc } from "./model/document";
import { intersect, isEmpty, nowhere, sameRect, type Rect } from "./model/rect";
import type { Pixels } from "./model/bitmap";

export const veilColour = [255, 45, 120] as const;
const VEIL = 0.55; // how dense a full mask is drawn

export class Raster {
  readonly picture = document.createElement("canvas");
  readonly veil = document.createElement("canvas");
  bounds: Rect = nowhere;
  private readonly pictureContext = this.picture.getContext("2d")!;
  private readonly veilContext = this.veil.getContext("2d")!;
  private shown: Doc | null = null;

  /** Makes the canvases those of a document. */
  show(doc: Doc): void {
    if (doc === this.shown) return;
    const before = this.shown;
    this.shown = doc;
    if (!before || !sameRect(this.bounds, doc.bounds)) {
      this.bounds = doc.bounds;
      for (const canvas of [this.picture, this.veil]) {
        canvas.width = Math.max(1, doc.bounds.width);
        canvas.height = Math.max(1, doc.bounds.height);
      }
      this.draw(doc, doc.bounds);
      return;
    }
    const parts = changedParts(before, doc);
    const seen = new Set<string>();
    for (const part of parts)
      for (const piece of pieces(intersect(part, doc.bounds))) {
        const key = `${piece.x},${piece.y},${piece.width},${piece.height}`;
        if (!seen.has(key)) this.draw(doc, piece);
        seen.add(key);
      }
  }

  /** Draws a part of one of them anew while a stroke goes on. */
  refresh(doc: Doc, part: Rect, what: "picture" | "veil"): void {
    this.shown = doc;
    this.draw(doc, part, what);
  }

  private draw(doc: Doc, part: Rect, what: "picture" | "veil" | "both" = "both"): void {
    for (const piece of pieces(intersect(part, doc.bounds))) {
      if (what !== "veil") put(this.pictureContext, flatten(doc, piece), piece, this.bounds);
      if (what !== "picture") put(this.veilContext, veiled(flattenMask(doc, piece)), piece, this.bounds);
    }
  }
}

function put(context: CanvasRenderingContext2D, pixels: Pixels, part: Rect, bounds: Rect): void {
  if (isEmpty(part)) return;
  context.putImageData(new ImageData(pixels, part.width, part.height), part.x - bounds.x, part.y - bounds.y);
}

function veiled(shares: Pixels): Pixels {
  const out: Pixels = new Uint8ClampedArray(shares.length * 4);
  for (let i = 0, at = 0; i < shares.length; i++, at += 4) {
    if (!shares[i]) continue;
    [out[at], out[at + 1], out[at + 2]] = veilColour;
    out[at + 3] = shares[i]! * VEIL;
  }
  return out;
}

/** Pixels as something that can be drawn. */
export function canvasOf(pixels: Pixels, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")!.putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}
