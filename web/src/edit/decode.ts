// SPDX-License-Identifier: Apache-2.0
// Files become pixels, by way of the browser.
import type { Pixels } from "./model/bitmap";
import { MOST_PIXELS } from "./model/document";
import { resample } from "./model/resample";

export interface Decoded {
  readonly pixels: Pixels;
  readonly width: number;
  readonly height: number;
}

/** Reads a picture, turned as its metadata says, and smaller where it is too large. @throws when the browser cannot */
export async function decode(blob: Blob): Promise<Decoded> {
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  try {
    const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
    return pixelsOf(bitmap, Math.floor(bitmap.width * shrink), Math.floor(bitmap.height * shrink));
  } finally {
    bitmap.close();
  }
}

function pixelsOf(image: CanvasImageSource, width: number, height: number): Decoded {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return { pixels: context.getImageData(0, 0, width, height).data as Pixels, width, height };
}

/** A picture as a mask: how light it is, and nothing where it is transparent. Fitted to a size. */
export function maskFrom(picture: Decoded, width: number, height: number): Pixels {
  const fitted = resample(picture.pixels, 4, picture.width, picture.height, width, height);
  const out: Pixels = new Uint8ClampedArray(width * height);
  for (let i = 0, at = 0; i < out.length; i++, at += 4) {
    const luma = 0.299 * fitted[at]! + 0.587 * fitted[at + 1]! + 0.114 * fitted[at + 2]!; // ITU-R 601
    out[i] = (luma * fitted[at + 3]!) / 255;
  }
  return out;
}
