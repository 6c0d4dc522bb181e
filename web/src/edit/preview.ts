// SPDX-License-Identifier: Apache-2.0
import type { Overlay } from "./draw";
import type { Plan } from "./model/plan";
import { canvasOf } from "./raster";
import type { Pixels } from "./model/bitmap";

const most = 640; // pixels a side: a preview need not be finer

/** A running job's preview, where it will lie; only what the mask lets change. */
export function maskedPreview(image: HTMLImageElement, plan: Plan): Overlay {
  const { drawn, changes } = plan;
  if (!changes) return { image, part: drawn };
  const scale = Math.min(1, most / Math.max(drawn.width, drawn.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(drawn.width * scale));
  canvas.height = Math.max(1, Math.round(drawn.height * scale));
  const context = canvas.getContext("2d")!;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "destination-in";
  context.drawImage(stencil(plan), 0, 0, canvas.width, canvas.height);
  return { image: canvas, part: drawn };
}

const stencils = new WeakMap<Plan, HTMLCanvasElement>();

function stencil(plan: Plan): HTMLCanvasElement {
  const known = stencils.get(plan);
  if (known) return known;
  const { drawn } = plan;
  const shares = plan.changes!.read(drawn);
  const pixels: Pixels = new Uint8ClampedArray(shares.length * 4);
  for (let i = 0; i < shares.length; i++) pixels[i * 4 + 3] = shares[i]!;
  const canvas = canvasOf(pixels, drawn.width, drawn.height);
  stencils.set(plan, canvas);
  return canvas;
}
