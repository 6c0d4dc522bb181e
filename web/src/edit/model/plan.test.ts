// SPDX-License-Identifier: Apache-2.0
import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { Bitmap } from "./bitmap";
import { changeLayer, emptyDoc, flatten, flattenMask, type Doc } from "./document";
import {
  accepted,
  areaAround,
  exportMask,
  exportPicture,
  exportStart,
  initialTask,
  modelSize,
  planOf,
  resultBitmap,
  type Plan,
  type Task,
} from "./plan";
import type { Rect } from "./rect";
import { ofRect } from "./selection";
import { docOf } from "./transform";
import { flat } from "./testing";

const model = { width: 512, height: 512 };

/** A document of a picture whose neighbouring pixels differ. */
function docSized(width: number, height: number): Doc {
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < pixels.length; i += 4) pixels.set([i % 251, (i >> 3) % 253, (i >> 7) % 255], i);
  return docOf(pixels, width, height, { picture: "p", mask: "m" });
}

function masked(doc: Doc, part: Rect): Doc {
  return changeLayer(doc, 2, { bitmap: ofRect(part) });
}

function plan(doc: Doc, task: Partial<Task>, frame = doc.bounds): Plan {
  const made = planOf(doc, { ...initialTask, ...task }, frame, model, () => 0.5);
  if (typeof made === "string") throw new Error(made);
  return made;
}

async function decoded(blob: Blob): Promise<PNG> {
  return PNG.sync.read(Buffer.from(await blob.arrayBuffer()));
}

describe("what is sent", () => {
  it("has sides that are multiples of 8, the picture's edge going on", async () => {
    const doc = docSized(509, 514);
    const made = plan(doc, { kind: "change" });
    const png = await decoded(await exportStart(doc, made));
    expect([png.width, png.height]).toEqual([512, 520]);
    expect(made.request).toMatchObject({ width: 512, height: 520, strength: 0.6 });
    const pixels = flatten(doc);
    const at = (x: number, y: number) => [...png.data.subarray((y * 512 + x) * 4, (y * 512 + x) * 4 + 3)];
    expect(at(511, 100)).toEqual([...pixels.subarray((100 * 509 + 508) * 4, (100 * 509 + 508) * 4 + 3)]);
    expect(at(7, 519)).toEqual([...pixels.subarray((513 * 509 + 7) * 4, (513 * 509 + 7) * 4 + 3)]);
  });

  it("is opaque, though the document is not", async () => {
    const doc = docOf(flat({ x: 0, y: 0, width: 8, height: 8 }, [255, 0, 0, 128]), 8, 8, {
      picture: "p",
      mask: "m",
    });
    const png = await decoded(await exportStart(doc, plan(doc, { kind: "change", size: "picture" })));
    expect([...png.data.subarray(0, 4)]).toEqual([255, 127, 127, 255]);
    expect([...(await decoded(await exportPicture(doc))).data.subarray(0, 4)]).toEqual([255, 0, 0, 128]);
  });

  it("is drawn at the model's size where the picture is far from it", () => {
    expect(plan(docSized(1600, 1200), { kind: "change" }).request).toMatchObject({ width: 592, height: 440 });
    expect(plan(docSized(640, 512), { kind: "change" }).request).toMatchObject({ width: 640, height: 512 });
    expect(plan(docSized(128, 128), { kind: "change" }).request).toMatchObject({ width: 512, height: 512 });
    expect(plan(docSized(1600, 1200), { kind: "change", size: "picture" }).request).toMatchObject({
      width: 1600,
      tile: 512,
    });
    expect(plan(docSized(128, 128), { kind: "change", size: "picture" }).request).toMatchObject({
      width: 128,
    });
    expect(modelSize({ width: 3000, height: 10 }, model).height).toBe(32);
  });

  it("leaves out what is not set, so that the server's defaults hold", () => {
    const { request } = plan(docSized(512, 512), { kind: "change", negative: "", seed: "" });
    for (const field of ["negative_prompt", "seed", "model", "scheduler"])
      expect(request).not.toHaveProperty(field);
  });
});

describe("what is set", () => {
  it("is sent as the server names it, LoRAs taken out of the prompt", () => {
    const task = {
      prompt: "an owl <lora:ink:0.5>",
      negative: " blurry ",
      seed: "18446744073709551615",
      steps: 9,
      guidance: 3,
    };
    expect(plan(docSized(512, 512), task).request).toMatchObject({
      prompt: "an owl",
      lora: ["ink:0.5"],
      negative_prompt: "blurry",
      seed: "18446744073709551615",
      steps: 9,
      guidance_scale: 3,
    });
  });
});

describe("a mask as a file", () => {
  it("is white where to repaint, grey where it is soft, black elsewhere", async () => {
    const spot = { x: 40, y: 30, width: 2, height: 1 };
    const doc = changeLayer(docSized(512, 512), 2, {
      bitmap: Bitmap.of(1, spot, new Uint8ClampedArray([255, 100])),
    });
    const png = await decoded(await exportMask(plan(doc, { kind: "inpaint" })));
    expect([png.width, png.height]).toEqual([512, 512]);
    const grey = (x: number, y: number) => png.data[(y * 512 + x) * 4];
    expect([grey(39, 30), grey(40, 30), grey(41, 30), grey(42, 30)]).toEqual([0, 255, 100, 0]);
    let lit = 0;
    for (let i = 0; i < png.data.length; i += 4) if (png.data[i]) lit++;
    expect(lit).toBe(2);
  });

  it("includes what one sees through", () => {
    const doc = changeLayer(docSized(512, 512), 1, { x: 32 });
    const made = plan(doc, { kind: "inpaint" });
    expect(made.changes!.extent()).toEqual({ x: 0, y: 0, width: 32, height: 512 });
  });

  it("must not be empty, nor hidden", () => {
    const doc = docSized(64, 64);
    const made = (of: Doc) => planOf(of, { ...initialTask, kind: "inpaint" }, of.bounds, model);
    expect(made(doc)).toBe("noMask");
    const covered = masked(doc, { x: 5, y: 5, width: 5, height: 5 });
    expect(made(changeLayer(covered, 2, { visible: false }))).toBe("noMask");
  });
});

describe("inpainting", () => {
  const part = { x: 700, y: 500, width: 100, height: 60 };

  it("draws a small part of a large picture alone, in the part's shape", () => {
    const made = plan(masked(docSized(1024, 1024), part), { kind: "inpaint" });
    expect(made.request).toMatchObject({ inpaint_area: "masked", mask_padding: 32, width: 592, height: 448 });
    expect(made.drawn).toEqual({ x: 668, y: 468, width: 164, height: 124 });
    expect(
      plan(masked(docSized(512, 512), { x: 9, y: 9, width: 480, height: 480 }), { kind: "inpaint" }).request,
    ).toMatchObject({ inpaint_area: "whole", width: 512, height: 512 });
  });

  it("finds the part as the server does", () => {
    const picture = { x: 0, y: 0, width: 400, height: 300 };
    const square = { width: 512, height: 512 };
    expect(areaAround({ x: 100, y: 100, width: 50, height: 20 }, 32, square, picture)).toEqual({
      x: 68,
      y: 53,
      width: 114,
      height: 114,
    });
    expect(areaAround({ x: 0, y: 0, width: 10, height: 100 }, 0, square, picture)).toEqual({
      x: 0,
      y: 0,
      width: 100,
      height: 100,
    });
    expect(areaAround({ x: 0, y: 100, width: 400, height: 10 }, 0, square, picture)).toEqual(picture);
  });

  it("changes nothing outside the mask, and uses the mask up", () => {
    const doc = masked(docSized(512, 512), { x: 10, y: 20, width: 30, height: 40 });
    const made = plan(doc, { kind: "inpaint" });
    const result = resultBitmap(made, flat(doc.bounds, [1, 2, 3, 255]), 512, 512);
    const after = accepted(doc, made, result.bitmap, "new");
    const [old, now] = [flatten(doc), flatten(after)];
    for (let y = 0; y < 512; y += 3)
      for (let x = 0; x < 512; x += 3) {
        const inside = x >= 10 && x < 40 && y >= 20 && y < 60;
        const at = (y * 512 + x) * 4;
        expect([...now.subarray(at, at + 4)]).toEqual(
          inside ? [1, 2, 3, 255] : [...old.subarray(at, at + 4)],
        );
      }
    expect(flattenMask(after).every((share) => share === 0)).toBe(true);
  });
});

describe("outpainting", () => {
  it("tells how much to add at each side, the sum a multiple of 8", () => {
    const doc = docSized(512, 510);
    const made = plan(doc, { kind: "outpaint" }, { x: -100, y: 0, width: 700, height: 600 });
    expect(made.picture).toEqual(doc.bounds);
    expect(made.request).toMatchObject({ outpaint: [100, 0, 92, 90], inpaint_area: "whole" });
    expect(made.work).toEqual({ x: -100, y: 0, width: 704, height: 600 });
  });

  it("draws a strip at one side alone, with as much of the picture as it needs to go on", () => {
    const made = plan(docSized(1600, 1200), { kind: "outpaint" }, { x: 0, y: 0, width: 2000, height: 1200 });
    expect(made.request).toMatchObject({
      outpaint: [0, 0, 400, 0],
      inpaint_area: "masked",
      mask_padding: 200,
    });
    expect(made.drawn).toEqual({ x: 1380, y: 0, width: 620, height: 1200 });
    expect(made.request.width! / made.request.height!).toBeCloseTo(620 / 1200, 2);
  });

  it("keeps the old picture but for its seam, and grows the document to the frame", () => {
    const doc = docSized(64, 64);
    const frame = { x: -32, y: 0, width: 96, height: 64 };
    const made = plan(doc, { kind: "outpaint", size: "picture" }, frame);
    const after = accepted(
      doc,
      made,
      resultBitmap(made, flat(made.work, [9, 9, 9, 255]), 96, 64).bitmap,
      "new",
    );
    expect(after.bounds).toEqual(frame);
    const kept = { x: 16, y: 0, width: 48, height: 64 };
    expect(flatten(after, kept)).toEqual(flatten(doc, kept));
    const fresh = { x: -32, y: 0, width: 48, height: 64 };
    expect(flatten(after, fresh)).toEqual(flat(fresh, [9, 9, 9, 255]));
  });

  it("starts from the part of the picture that lies in the frame", async () => {
    const doc = docSized(64, 64);
    const made = plan(doc, { kind: "outpaint" }, { x: 32, y: 0, width: 64, height: 64 });
    expect(made.request.outpaint).toEqual([0, 0, 32, 0]);
    const png = await decoded(await exportStart(doc, made));
    expect([png.width, png.height]).toEqual([32, 64]);
  });

  it("needs a frame that reaches beyond the picture, and still meets it", () => {
    const doc = docSized(64, 64);
    const made = (frame: Rect) => planOf(doc, { ...initialTask, kind: "outpaint" }, frame, model);
    expect(made(doc.bounds)).toBe("noFrame");
    expect(made({ x: 100, y: 0, width: 64, height: 64 })).toBe("noFrame");
    expect(made({ x: 0, y: 0, width: 9000, height: 64 })).toBe("tooLarge");
  });
});

describe("upscaling", () => {
  it("sends the picture enlarged, drawn in pieces where the model is smaller", async () => {
    const doc = docSized(500, 300);
    const made = plan(doc, { kind: "upscale", scale: 2 });
    expect(made.request).toMatchObject({
      width: 1000,
      height: 600,
      tile: 512,
      tile_overlap: 128,
      strength: 0.35,
    });
    const png = await decoded(await exportStart(doc, made));
    expect([png.width, png.height]).toEqual([1000, 600]);
    expect(plan(docSized(256, 256), { kind: "upscale" }).request).not.toHaveProperty("tile");
  });

  it("gives the document the new size", () => {
    const doc = masked(docSized(50, 30), { x: 0, y: 0, width: 10, height: 10 });
    const made = plan(doc, { kind: "upscale", scale: 1.5 });
    const result = resultBitmap(made, flat({ x: 0, y: 0, width: 80, height: 48 }, [5, 6, 7, 255]), 80, 48);
    const after = accepted(doc, made, result.bitmap, "larger");
    expect(after.bounds).toEqual({ x: 0, y: 0, width: 75, height: 45 });
    expect(flatten(after)).toEqual(flat(after.bounds, [5, 6, 7, 255]));
    expect(flattenMask(after).some((share) => share > 0)).toBe(true); // the mask grew with the picture
  });

  it("makes the picture again where its settings are known", () => {
    const source = { prompt: "an owl", seed: "7", steps: 9, count: 1 };
    const made = plan({ ...docSized(512, 512), source }, { kind: "upscale", again: true, count: 1 });
    expect(made.request).toEqual({ ...source, hires_scale: 2, hires_strength: 0.35 });
    expect(made.again).toBe(true);
    expect(plan(docSized(512, 512), { kind: "upscale", again: true }).again).toBe(false);
    const edited = { ...docSized(512, 512), source: { ...source, init_image: "input:0" } }; // no second pass over a picture
    expect(plan(edited, { kind: "upscale", again: true }).again).toBe(false);
  });

  it("refuses what gets too large", () => {
    const doc = docSized(3000, 8);
    const made = (of: Doc) => planOf(of, { ...initialTask, kind: "upscale", scale: 4 }, of.bounds, model);
    expect(made(doc)).toBe("tooLarge");
    expect(made(docSized(1200, 1200))).toBe("tooLarge");
  });
});

describe("variations", () => {
  it("mix in a second seed where the settings are known, else change the picture a little", () => {
    const source = { prompt: "an owl", seed: "7" };
    const again = plan({ ...docSized(512, 512), source }, { kind: "variations", again: true, count: 4 });
    expect(again.request).toEqual({ ...source, count: 4, variation_seed: 2 ** 31, variation_strength: 0.4 });
    const other = plan(docSized(512, 512), { kind: "variations", again: true, count: 4 });
    expect(other.request).toMatchObject({ strength: 0.4, count: 4 });
  });
});

it("nothing can be done without a picture", () => {
  expect(planOf(emptyDoc, initialTask, emptyDoc.bounds, model)).toBe("noPicture");
});
