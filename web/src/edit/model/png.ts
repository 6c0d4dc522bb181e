// SPDX-License-Identifier: Apache-2.0
// PNG from pixels, exactly: a browser's canvas would round colours under half-transparent pixels.
import type { Pixels } from "./bitmap";

export type PngChannels = 1 | 3 | 4; // grey, colour, colour with alpha

const COLOUR_TYPES = { 1: 0, 3: 2, 4: 6 } as const;
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = crcTable[(c ^ byte) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function chunk(type: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(body.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(body, 8);
  view.setUint32(body.length + 8, crc(out.subarray(4, body.length + 8)));
  return out;
}

/** Each line as its difference from the one above (filter 2), which suits both photographs and flat masks. */
function filtered(
  pixels: Pixels,
  width: number,
  height: number,
  channels: PngChannels,
): Uint8Array<ArrayBuffer> {
  const line = width * channels;
  const out = new Uint8Array((line + 1) * height);
  for (let y = 0; y < height; y++) {
    const to = y * (line + 1);
    out[to] = 2;
    for (let i = 0; i < line; i++)
      out[to + 1 + i] = pixels[y * line + i]! - (y > 0 ? pixels[(y - 1) * line + i]! : 0);
  }
  return out;
}

async function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** @param pixels `channels` bytes a pixel, row by row */
export async function encodePng(
  pixels: Pixels,
  width: number,
  height: number,
  channels: PngChannels,
): Promise<Blob> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOUR_TYPES[channels], 0, 0, 0], 8);
  const data = await deflated(filtered(pixels, width, height, channels));
  const parts = [chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", new Uint8Array(0))];
  return new Blob([new Uint8Array(SIGNATURE), ...parts], { type: "image/png" });
}

/** Drops alpha. */
export function rgbOf(pixels: Pixels): Pixels {
  const out: Pixels = new Uint8ClampedArray((pixels.length / 4) * 3);
  for (let i = 0, j = 0; i < pixels.length; i += 4, j += 3) {
    out[j] = pixels[i]!;
    out[j + 1] = pixels[i + 1]!;
    out[j + 2] = pixels[i + 2]!;
  }
  return out;
}
