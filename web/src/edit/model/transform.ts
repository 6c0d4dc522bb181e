// SPDX-License-Identifier: Apache-2.0
// What changes a whole document: its frame, its orientation, its size.
import { Bitmap, type Channels, type Pixels } from "./bitmap";
import { addLayer, emptyDoc, extentOf, newLayer, type Doc, type Layer } from "./document";
import { intersect, isEmpty, moved, sameRect, type Rect } from "./rect";
import { resample } from "./resample";

export type Turn = "flipX" | "flipY" | "clockwise" | "anticlockwise" | "halfway";

/** Shows another part of the plane, smaller or larger. Nothing that lies beyond is lost. */
export function reframe(doc: Doc, bounds: Rect): Doc {
  if (sameRect(doc.bounds, bounds) || isEmpty(bounds)) return doc;
  const held = doc.selection && intersect(doc.selection.extent(), bounds);
  const selection = held && !isEmpty(held) ? Bitmap.of(1, held, doc.selection!.read(held)) : null;
  return { ...doc, bounds, selection };
}

function swaps(turn: Turn): boolean {
  return turn === "clockwise" || turn === "anticlockwise";
}

/** Where a part of a frame comes to lie. */
function turnedRect(part: Rect, frame: Rect, turn: Turn): Rect {
  const left = part.x - frame.x;
  const top = part.y - frame.y;
  const right = frame.width - left - part.width;
  const bottom = frame.height - top - part.height;
  const [x, y] = {
    flipX: [right, top],
    flipY: [left, bottom],
    halfway: [right, bottom],
    clockwise: [bottom, left],
    anticlockwise: [top, right],
  }[turn] as [number, number];
  const [width, height] = swaps(turn) ? [part.height, part.width] : [part.width, part.height];
  return { x: frame.x + x, y: frame.y + y, width, height };
}

function turnedPixels(pixels: Pixels, channels: Channels, width: number, height: number, turn: Turn): Pixels {
  const out: Pixels = new Uint8ClampedArray(pixels.length);
  const newWidth = swaps(turn) ? height : width;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [nx, ny] =
        turn === "flipX"
          ? [width - 1 - x, y]
          : turn === "flipY"
            ? [x, height - 1 - y]
            : turn === "halfway"
              ? [width - 1 - x, height - 1 - y]
              : turn === "clockwise"
                ? [height - 1 - y, x]
                : [y, width - 1 - x];
      const from = (y * width + x) * channels;
      const to = (ny * newWidth + nx) * channels;
      for (let c = 0; c < channels; c++) out[to + c] = pixels[from + c]!;
    }
  return out;
}

function turnedBitmap(bitmap: Bitmap, offset: { x: number; y: number }, frame: Rect, turn: Turn): Bitmap {
  const own = bitmap.extent();
  if (isEmpty(own)) return new Bitmap(bitmap.channels);
  const pixels = turnedPixels(bitmap.read(own), bitmap.channels, own.width, own.height, turn);
  return Bitmap.of(bitmap.channels, turnedRect(moved(own, offset.x, offset.y), frame, turn), pixels);
}

/** Mirrors the document or turns it by quarters. */
export function turned(doc: Doc, turn: Turn): Doc {
  const { bounds } = doc;
  const layers = doc.layers.map((layer) => ({
    ...layer,
    bitmap: turnedBitmap(layer.bitmap, layer, bounds, turn),
    x: 0,
    y: 0,
  }));
  const selection = doc.selection && turnedBitmap(doc.selection, { x: 0, y: 0 }, bounds, turn);
  return { ...doc, bounds: turnedRect(bounds, bounds, turn), layers, selection };
}

function resizedBitmap(bitmap: Bitmap, part: Rect, width: number, height: number, target: Rect): Bitmap {
  const pixels = resample(bitmap.read(part), bitmap.channels, part.width, part.height, width, height);
  return Bitmap.of(bitmap.channels, target, pixels);
}

/** Another number of pixels for the same picture; what lies beyond the frame goes. */
export function resized(doc: Doc, width: number, height: number): Doc {
  const { bounds } = doc;
  if (bounds.width === width && bounds.height === height) return doc;
  const target = { ...bounds, width, height };
  const layers = doc.layers.map((layer) => ({
    ...layer,
    bitmap: resizedBitmap(layer.bitmap, moved(bounds, -layer.x, -layer.y), width, height, target),
    x: 0,
    y: 0,
  }));
  const selection = doc.selection && resizedBitmap(doc.selection, bounds, width, height, target);
  return { ...doc, bounds: target, layers, selection };
}

/** A layer in another size, around the middle of what it shows. */
export function scaledLayer(layer: Layer, factor: number): Layer {
  const own = layer.bitmap.extent();
  const width = Math.max(1, Math.round(own.width * factor));
  const height = Math.max(1, Math.round(own.height * factor));
  if (isEmpty(own) || (width === own.width && height === own.height)) return layer;
  const extent = extentOf(layer);
  const x = Math.round(extent.x + (own.width - width) / 2);
  const y = Math.round(extent.y + (own.height - height) / 2);
  const bitmap = resizedBitmap(layer.bitmap, own, width, height, { x, y, width, height });
  return { ...layer, bitmap, x: 0, y: 0 };
}

/** A new document of one picture, with an empty mask above it. */
export function docOf(
  pixels: Pixels,
  width: number,
  height: number,
  names: { picture: string; mask: string },
): Doc {
  const bounds = { x: 0, y: 0, width, height };
  const picture = addLayer(
    { ...emptyDoc, bounds },
    newLayer("image", names.picture, Bitmap.of(4, bounds, pixels)),
  );
  return addLayer(picture, newLayer("mask", names.mask));
}
