// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Bitmap } from "./bitmap";
import { Painter, Stroke } from "./brush";
import * as documents from "./document";
import { fill } from "./fill";
import { History } from "./history";
import { feather, grow, invert, ofPolygon, ofRect } from "./selection";
import { docOf, reframe, resized, scaledLayer, turned, type Turn } from "./transform";
import { filled, random } from "./testing";

const names = { picture: "picture", mask: "mask" };
const brush = {
  size: 9,
  hardness: 0.6,
  opacity: 1,
  spacing: 0.2,
  smoothing: 0,
  pressureSize: true,
  pressureOpacity: true,
};

function start(seed: number): documents.Doc {
  const part = { x: 0, y: 0, width: 60, height: 44 };
  return docOf(filled(part, 4, random(seed)), part.width, part.height, names);
}

/** Everything that can be seen of a document. */
function looks(doc: documents.Doc): unknown {
  return {
    bounds: doc.bounds,
    picture: [...documents.flatten(doc)],
    mask: [...documents.flattenMask(doc)],
    selection: doc.selection && [...doc.selection.read(doc.bounds)],
    layers: doc.layers.map(({ bitmap, ...rest }) => ({ ...rest, extent: bitmap.extent() })),
  };
}

type Command = (doc: documents.Doc, next: () => number) => documents.Doc;

function changeActive(doc: documents.Doc, change: (layer: documents.Layer) => Bitmap): documents.Doc {
  const layer = documents.layerOf(doc, doc.active);
  return layer ? documents.changeLayer(doc, layer.id, { bitmap: change(layer) }) : doc;
}

function colour(next: () => number): [number, number, number] {
  return [next() * 255, next() * 255, next() * 255];
}

const turns: Turn[] = ["flipX", "flipY", "clockwise", "anticlockwise", "halfway"];

/** One of each kind of thing a person can do. */
const commands: Record<string, Command> = {
  stroke: (doc, next) =>
    changeActive(doc, (layer) => {
      const ink = { erase: next() < 0.4, colour: colour(next), opacity: next() };
      const painter = new Painter(layer.bitmap, brush, ink, next() < 0.5 ? doc.selection : null, doc.bounds);
      const stroke = new Stroke({ ...brush, size: 1 + next() * 30 });
      for (let i = 0; i < 5; i++)
        painter.paint(stroke.add({ x: next() * 80 - 10, y: next() * 60 - 8, pressure: next() }));
      painter.paint(stroke.end());
      return painter.finish();
    }),
  lasso: (doc, next) => {
    const points = Array.from({ length: 7 }, () => ({ x: next() * 60, y: next() * 44 }));
    return { ...doc, selection: ofPolygon(points, doc.bounds) };
  },
  fill: (doc, next) =>
    changeActive(doc, (layer) =>
      fill(
        layer.bitmap,
        doc.selection ?? ofRect(doc.bounds),
        { erase: next() < 0.3, colour: colour(next), opacity: next() },
        doc.bounds,
      ),
    ),
  feather: (doc, next) =>
    doc.selection ? { ...doc, selection: feather(doc.selection, next() * 9, doc.bounds) } : doc,
  grow: (doc, next) =>
    doc.selection ? { ...doc, selection: grow(doc.selection, Math.round(next() * 8 - 4), doc.bounds) } : doc,
  invert: (doc) => (doc.selection ? { ...doc, selection: invert(doc.selection, doc.bounds) } : doc),
  add: (doc, next) => documents.addLayer(doc, documents.newLayer(next() < 0.5 ? "paint" : "mask", "new")),
  copy: (doc) => documents.copyLayer(doc, doc.active, "copy"),
  remove: (doc) => (doc.layers.length > 2 ? documents.removeLayer(doc, doc.active) : doc),
  shift: (doc, next) => documents.shiftLayer(doc, doc.active, next() < 0.5 ? 1 : -1),
  merge: (doc) => documents.mergeDown(doc, doc.active),
  opacity: (doc, next) => documents.changeLayer(doc, doc.active, { opacity: next() }),
  hide: (doc) => documents.changeLayer(doc, doc.active, { visible: false }),
  move: (doc, next) =>
    documents.changeLayer(doc, doc.active, {
      x: Math.round(next() * 40 - 20),
      y: Math.round(next() * 30 - 15),
    }),
  reframe: (doc, next) =>
    reframe(doc, {
      x: doc.bounds.x + Math.round(next() * 20 - 10),
      y: doc.bounds.y + Math.round(next() * 20 - 10),
      width: 30 + Math.round(next() * 40),
      height: 30 + Math.round(next() * 30),
    }),
  turn: (doc, next) => turned(doc, turns[Math.floor(next() * turns.length)]!),
  resize: (doc, next) => resized(doc, 20 + Math.round(next() * 60), 20 + Math.round(next() * 50)),
  scale: (doc, next) => {
    const layer = documents.layerOf(doc, doc.active);
    return layer ? documents.changeLayer(doc, layer.id, scaledLayer(layer, 0.5 + next())) : doc;
  },
};

describe("undo and redo", { timeout: 60_000 }, () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "give back every state of a random walk, pixel for pixel (seed %i)",
    (seed) => {
      const next = random(seed);
      const history = new History(start(seed));
      const states = [looks(history.doc)];
      const kinds = Object.keys(commands);
      for (let i = 0; i < 60; i++) {
        const kind = kinds[Math.floor(next() * kinds.length)]!;
        if (history.do(kind, (doc) => commands[kind]!(doc, next))) states.push(looks(history.doc));
        if (next() < 0.1 && history.undo()) {
          states.pop(); // what follows takes the place of what was undone
          expect(looks(history.doc)).toEqual(states.at(-1));
        }
      }
      while (history.redo()) states.push(looks(history.doc));
      for (let i = states.length - 1; i > 0; i--) {
        expect(looks(history.doc)).toEqual(states[i]);
        expect(history.undo()).toBe(true);
      }
      expect(history.undo()).toBe(false);
      expect(looks(history.doc)).toEqual(states[0]);
      for (const state of states.slice(1)) {
        history.redo();
        expect(looks(history.doc)).toEqual(state);
      }
      expect(history.redo()).toBe(false);
    },
  );

  it("tells exactly which parts look different", () => {
    const next = random(77);
    let doc = start(77);
    for (let i = 0; i < 150; i++) {
      const kinds = Object.values(commands);
      const after = kinds[Math.floor(next() * kinds.length)]!(doc, next);
      const parts = documents.changedParts(doc, after);
      const part = after.bounds;
      const [old, now] = [documents.flatten(doc, part), documents.flatten(after, part)];
      for (let at = 0; at < now.length; at += 4) {
        const x = part.x + ((at / 4) % part.width);
        const y = part.y + Math.floor(at / 4 / part.width);
        const told = parts.some((p) => x >= p.x && y >= p.y && x < p.x + p.width && y < p.y + p.height);
        if (!told && [0, 1, 2, 3].some((c) => old[at + c] !== now[at + c]))
          expect.fail(`(${x}, ${y}) in step ${i}`);
      }
      doc = after;
    }
  });

  it("leave no trace of a command that changes nothing", () => {
    const history = new History(start(1));
    expect(history.do("nothing", (doc) => doc)).toBe(false);
    expect(history.canUndo).toBe(false);
  });

  it("take the commands of a group as one, until it is closed", () => {
    const history = new History(start(1));
    const opacity = (value: number) =>
      history.do("opacity", (doc) => documents.changeLayer(doc, 1, { opacity: value }), "opacity 1");
    opacity(0.9);
    opacity(0.8);
    history.close();
    opacity(0.5);
    history.undo();
    expect(documents.layerOf(history.doc, 1)!.opacity).toBe(0.8);
    history.undo();
    expect(documents.layerOf(history.doc, 1)!.opacity).toBe(1);
    expect(history.canUndo).toBe(false);
  });

  it("forget what was undone when something else is done", () => {
    const history = new History(start(1));
    history.do("hide", (doc) => documents.changeLayer(doc, 1, { visible: false }));
    history.undo();
    history.do("fade", (doc) => documents.changeLayer(doc, 1, { opacity: 0.5 }));
    expect(history.canRedo).toBe(false);
    expect(history.undoLabel).toBe("fade");
  });

  it("keep within the budget by forgetting the oldest steps, but never the last", () => {
    const tile = 256 * 256 * 4;
    const history = new History(start(1), 3 * tile);
    const next = random(9);
    history.set((doc) => ({ ...doc, active: 1 }));
    for (let i = 0; i < 20; i++)
      history.do("stroke", (doc) => commands.stroke!({ ...doc, selection: null }, next));
    expect(history.bytes).toBeLessThanOrEqual(3 * tile);
    let steps = 0;
    while (history.undo()) steps++;
    expect(steps).toBe(3);

    const narrow = new History(start(1), 1);
    narrow.set((doc) => ({ ...doc, active: 1 }));
    narrow.do("stroke", (doc) => commands.stroke!(doc, next));
    expect(narrow.canUndo).toBe(true);
  });

  it("hold only the tiles that a stroke touched", () => {
    const part = { x: 0, y: 0, width: 1024, height: 1024 };
    const history = new History(docOf(filled(part, 4, random(1)), 1024, 1024, names));
    history.set((doc) => ({ ...doc, active: 1 }));
    history.do("dot", (doc) =>
      changeActive(doc, (layer) => {
        const painter = new Painter(
          layer.bitmap,
          brush,
          { erase: false, colour: [1, 2, 3], opacity: 1 },
          null,
          doc.bounds,
        );
        painter.paint([{ x: 100, y: 100, radius: 5, opacity: 1 }]);
        return painter.finish();
      }),
    );
    expect(history.bytes).toBe(256 * 256 * 4);
  });
});
