// SPDX-License-Identifier: Apache-2.0
// Small pictures out of numbers, and as much of PNG as the stand-in server needs.
import { createHash } from "node:crypto";
import { crc32, deflateSync } from "node:zlib";

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

/** A landscape of two colours and a round thing, under noise of a strength from 0 to 1; the same text gives the same picture. */
export function picturePng(width, height, text, noise = 0, metadata = "") {
  const hash = createHash("sha256").update(text).digest();
  const colour = (at) => [hash[at], hash[at + 1], hash[at + 2]].map((value) => 60 + (value * 180) / 255);
  const [sky, ground, thing] = [colour(0), colour(3), colour(6)];
  const centre = [(0.3 + (hash[9] / 255) * 0.4) * width, (0.3 + (hash[10] / 255) * 0.3) * height];
  const radius = (0.12 + (hash[11] / 255) * 0.14) * Math.min(width, height);
  let state = hash.readUInt32BE(12) | 1;
  const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0), state / 2 ** 32 - 0.5);
  const rows = Buffer.alloc((width * 3 + 1) * height);
  for (let y = 0, at = 0; y < height; y++) {
    rows[at++] = 0;
    for (let x = 0; x < width; x++) {
      const hill = y / height > 0.66 + 0.08 * Math.sin((x / width) * 5 + hash[16]);
      const inside = Math.hypot(x - centre[0], y - centre[1]) < radius;
      const base = inside ? thing : hill ? ground : sky;
      const shade = inside ? 40 * ((centre[1] - y) / radius) : 50 * (0.5 - y / height);
      for (const value of base)
        rows[at++] = Math.max(
          0,
          Math.min(255, (value + shade) * (1 - noise * 0.6) + 70 * noise + random() * 260 * noise),
        );
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const said = metadata ? [chunk("tEXt", Buffer.from(`limn\0${metadata}`))] : [];
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    ...said,
    chunk("IDAT", deflateSync(rows, { level: 1 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** What the chunk `limn` says; empty: nothing. */
export function readText(file) {
  for (let at = 8; at + 8 <= file.length;) {
    const length = file.readUInt32BE(at);
    const data = file.subarray(at + 8, at + 8 + length);
    if (file.toString("latin1", at + 4, at + 8) === "tEXt" && data.toString("latin1", 0, 5) === "limn\0")
      return data.toString("utf8", 5);
    at += length + 12;
  }
  return "";
}

/** Of a PNG; others are taken to be 128 × 128 when they begin as JPEG or WebP do. */
export function sizeOf(file) {
  if (file.subarray(0, 8).equals(signature))
    return { width: file.readUInt32BE(16), height: file.readUInt32BE(20) };
  const known = file[0] === 0xff || file.toString("latin1", 0, 4) === "RIFF";
  return known ? { width: 128, height: 128 } : null;
}
