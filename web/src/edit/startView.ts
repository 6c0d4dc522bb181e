// SPDX-License-Identifier: Apache-2.0
// Shows on the stage what a strength starts from.
import type { Overlay } from "./draw";
import { flatten, type Doc } from "./model/document";
import { maskOf, type Task, type TaskKind } from "./model/plan";
import { resample } from "./model/resample";
import { noisedStart, whatStays } from "./model/start";
import type { Pixels } from "./model/bitmap";
import { canvasOf } from "./raster";

const most = 320; // pixels a side; more would not be told apart in a blur, and would take longer

let small: { doc: Doc; pixels: Pixels; width: number; height: number; scale: number } | null = null;

function reduced(doc: Doc): NonNullable<typeof small> {
  if (small?.doc === doc) return small;
  const { width, height } = doc.bounds;
  const scale = Math.max(1, Math.max(width, height) / most);
  const [w, h] = [Math.max(1, Math.round(width / scale)), Math.max(1, Math.round(height / scale))];
  small = { doc, pixels: resample(flatten(doc), 4, width, height, w, h), width: w, height: h, scale };
  return small;
}

export function startOverlay(
  doc: Doc,
  kind: TaskKind,
  strength: number,
  how: "stays" | "noise",
  content: Task["maskedContent"],
): Overlay | null {
  if (kind === "outpaint") return null; // there is nothing yet where it paints
  const { pixels, width, height, scale } = reduced(doc);
  const forgets = kind === "inpaint" && content !== "original";
  const share = forgets ? 1 : strength;
  const seen = (how === "stays" ? whatStays : noisedStart)(pixels, width, height, share, scale);
  if (kind === "inpaint") {
    const shares = resample(
      maskOf(doc).read(doc.bounds),
      1,
      doc.bounds.width,
      doc.bounds.height,
      width,
      height,
    );
    for (let i = 0; i < shares.length; i++) seen[i * 4 + 3] = shares[i]!;
  }
  return { image: canvasOf(seen, width, height), part: doc.bounds };
}
