// SPDX-License-Identifier: Apache-2.0
// What a press on the stage begins, for each tool. Points are those of the plane.
import { t } from "../lib/i18n.svelte";
import { dragged, handleAt, type Handle } from "./frame";
import { Painter, Stroke, type Brush, type PenPoint } from "./model/brush";
import { changeLayer, flatten, isMask, layerOf, type Doc, type Layer } from "./model/document";
import { alike } from "./model/fill";
import {
  contains,
  intersect,
  isEmpty,
  moved,
  nowhere,
  rectOf,
  unite,
  type Point,
  type Rect,
} from "./model/rect";
import { ofPolygon, ofRect, shifted, type Combination } from "./model/selection";
import type { Session } from "./session.svelte";

export interface Pen extends PenPoint {
  readonly shift: boolean;
  readonly alt: boolean;
  readonly erases: boolean; // the other end of the pen
}

/** Something that goes on between press and release. */
export interface Action {
  move(pens: readonly Pen[]): void;
  end(): void;
  cancel(): void;
}

/** What an action shows before it ends. */
export interface Passing {
  doc: Doc | null; // in the place of the document
  dirty: Rect; // what of it is to be drawn again
  what: "picture" | "veil"; // where that is
  lasso: readonly Point[];
  box: Rect | null;
}

export interface Place {
  readonly session: Session;
  readonly passing: Passing;
  readonly zoom: number;
  readonly coarse: boolean;
  redraw(): void;
}

/** Where the last stroke of each target ended, for straight lines with Shift. */
const ends = new Map<string, Pen>();

export function begin(place: Place, pen: Pen): Action | null {
  const { session } = place;
  if (!session.hasPicture) return null;
  if (session.candidates.shown) session.candidates.show(null); // tools work on the document, not on a candidate
  switch (session.tool) {
    case "brush":
    case "eraser":
      return pen.alt && session.tool === "brush" && session.target === "paint"
        ? pick(place, pen)
        : new Painting(place, pen);
    case "lasso":
      return new Lasso(place, pen);
    case "rectangle":
      return new Box(place, pen);
    case "fill":
      return flood(place, pen);
    case "frame":
      return framing(place, pen);
    case "pick":
      return pick(place, pen);
    case "move":
      return moving(place, pen);
    default:
      return null;
  }
}

class Painting implements Action {
  private readonly stroke: Stroke;
  private readonly painter: Painter;
  private readonly base: Doc; // with the layer that is painted on
  private readonly layer: Layer;
  private readonly erase: boolean;
  private last: Pen;

  constructor(
    private readonly place: Place,
    pen: Pen,
  ) {
    const { session } = place;
    this.erase = session.tool === "eraser" || pen.erases || pen.alt;
    const { doc } = session;
    const target = this.erase ? { doc, layer: layerOf(doc, doc.active)! } : session.paintLayer(doc)!;
    this.base = target.doc;
    this.layer = target.layer;
    const brush: Brush = { ...session.brush };
    this.stroke = new Stroke(brush);
    const { x, y } = this.layer;
    this.painter = new Painter(
      this.layer.bitmap,
      brush,
      { erase: this.erase, colour: session.rgb, opacity: brush.opacity },
      doc.selection && shifted(doc.selection, -x, -y),
      moved(doc.bounds, -x, -y),
    );
    const from = pen.shift ? ends.get(this.name) : undefined;
    this.last = pen;
    this.draw(from ? [from, pen] : [pen]);
  }

  private get name(): string {
    return `${this.layer.id} ${this.erase}`;
  }

  move(pens: readonly Pen[]): void {
    this.draw(pens);
  }

  end(): void {
    this.painter.paint(this.stroke.end());
    const bitmap = this.painter.finish();
    ends.set(this.name, this.last);
    this.clear();
    const { base, layer } = this;
    const label = t(
      this.erase ? "edit.stroke.erase" : isMask(layer) ? "edit.stroke.mask" : "edit.stroke.paint",
    );
    this.place.session.do(label, (doc) =>
      bitmap === layer.bitmap ? doc : changeLayer(base, layer.id, { bitmap }),
    );
  }

  cancel(): void {
    this.clear();
  }

  private draw(pens: readonly Pen[]): void {
    const { passing } = this.place;
    const dabs = pens.flatMap((pen) =>
      this.stroke.add({ ...pen, x: pen.x - this.layer.x, y: pen.y - this.layer.y }),
    );
    this.last = pens.at(-1) ?? this.last;
    const part = moved(this.painter.paint(dabs), this.layer.x, this.layer.y);
    passing.dirty = unite(passing.dirty, intersect(part, this.base.bounds));
    passing.what = isMask(this.layer) ? "veil" : "picture";
    passing.doc = changeLayer(this.base, this.layer.id, { bitmap: this.painter.snapshot() });
    this.place.redraw();
  }

  private clear(): void {
    this.place.passing.doc = null;
    this.place.passing.dirty = nowhere;
    this.place.redraw();
  }
}

function combinationOf(pen: Pen): Combination {
  return pen.shift && pen.alt ? "intersect" : pen.shift ? "add" : pen.alt ? "subtract" : "replace";
}

class Lasso implements Action {
  private readonly points: Point[];
  private readonly how: Combination;

  constructor(
    private readonly place: Place,
    pen: Pen,
  ) {
    this.how = combinationOf(pen);
    this.points = [pen];
  }

  move(pens: readonly Pen[]): void {
    this.points.push(...pens);
    this.place.passing.lasso = this.points;
    this.place.redraw();
  }

  end(): void {
    this.cancel();
    const { session } = this.place;
    if (this.points.length < 3)
      return session.target === "paint" && this.how === "replace" ? session.select(null) : undefined;
    session.takeArea(ofPolygon(this.points, session.doc.bounds), this.how);
  }

  cancel(): void {
    this.place.passing.lasso = [];
    this.place.redraw();
  }
}

class Box implements Action {
  private readonly how: Combination;
  private box: Rect = nowhere;

  constructor(
    private readonly place: Place,
    private readonly from: Pen,
  ) {
    this.how = combinationOf(from);
  }

  move(pens: readonly Pen[]): void {
    const to = pens.at(-1)!;
    const drawn = rectOf(
      Math.round(this.from.x),
      Math.round(this.from.y),
      Math.round(to.x),
      Math.round(to.y),
    );
    this.box = intersect(drawn, this.place.session.doc.bounds);
    this.place.passing.box = this.box;
    this.place.redraw();
  }

  end(): void {
    this.cancel();
    const { session } = this.place;
    if (isEmpty(this.box))
      return session.target === "paint" && this.how === "replace" ? session.select(null) : undefined;
    session.takeArea(ofRect(this.box), this.how);
  }

  cancel(): void {
    this.place.passing.box = null;
    this.place.redraw();
  }
}

/** Fills what looks like the pixel under the pen: with colour, or into the mask. */
function flood({ session }: Place, pen: Pen): null {
  const at = { x: Math.floor(pen.x), y: Math.floor(pen.y) };
  const { bounds, selection } = session.doc;
  if (!contains(bounds, at.x, at.y)) return null;
  const found = alike(flatten(session.doc), bounds, at.x, at.y, session.tolerance, session.contiguous);
  const shares = selection ? restricted(found, selection, bounds) : found;
  if (session.target === "mask") session.fillMask(shares, pen.alt);
  else
    session.do(t("edit.fill"), (doc) => {
      const place = session.paintLayer(doc);
      return place ? session.inked(place.doc, place.layer, shares, false, session.brush.opacity) : doc;
    });
  return null;
}

function restricted(
  shares: ReturnType<typeof alike>,
  selection: ReturnType<typeof alike>,
  bounds: Rect,
): typeof shares {
  const draft = shares.edit();
  const limits = selection.read(bounds);
  const pixels = shares.read(bounds);
  for (let i = 0; i < pixels.length; i++) pixels[i] = Math.min(pixels[i]!, limits[i]!);
  draft.write(bounds, pixels);
  return draft.finish();
}

function pick({ session }: Place, pen: Pen): Action {
  const take = (at: Point) => {
    const pixel = { x: Math.floor(at.x), y: Math.floor(at.y), width: 1, height: 1 };
    if (!contains(session.doc.bounds, pixel.x, pixel.y)) return;
    const [r, g, b, a] = flatten(session.doc, pixel);
    if (!a) return;
    session.colour = `#${[r!, g!, b!].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  };
  take(pen);
  return {
    move: (pens) => take(pens.at(-1)!),
    end: () => session.say(t("edit.picked", { colour: session.colour })),
    cancel: () => undefined,
  };
}

function framing(place: Place, from: Pen): Action | null {
  const { session, zoom } = place;
  const reach = (place.coarse ? 24 : 10) / zoom;
  const before = session.frame;
  const held = handleAt(before, from, reach);
  if (held === null) return null;
  const step = { step: 8, snap: Math.min(16, 7 / zoom) };
  const at = (pen: Pen): Rect =>
    held === "move"
      ? moved(before, Math.round((pen.x - from.x) / 8) * 8, Math.round((pen.y - from.y) / 8) * 8)
      : symmetric(before, held, pen, from, session.doc.bounds, step);
  return {
    move: (pens) => {
      session.frame = at(pens.at(-1)!);
    },
    end: () => session.say(t("edit.frame.said", { ...session.frame })),
    cancel: () => {
      session.frame = before;
    },
  };
}

/** With Alt the other side follows. */
function symmetric(
  frame: Rect,
  held: Handle,
  pen: Pen,
  from: Pen,
  bounds: Rect,
  options: { step: number; snap: number },
): Rect {
  const [dx, dy] = [pen.x - from.x, pen.y - from.y];
  const one = dragged(frame, held, dx, dy, bounds, options);
  if (!pen.alt) return one;
  const other = { x: -held.x, y: -held.y } as Handle;
  return dragged(one, other, -dx, -dy, bounds, options);
}

function moving(place: Place, from: Pen): Action | null {
  const { session, passing } = place;
  const layer = session.active;
  if (!layer) return null;
  const { doc } = session;
  let to = { x: layer.x, y: layer.y };
  return {
    move: (pens) => {
      const pen = pens.at(-1)!;
      to = { x: layer.x + Math.round(pen.x - from.x), y: layer.y + Math.round(pen.y - from.y) };
      passing.doc = changeLayer(doc, layer.id, to);
      passing.dirty = nowhere;
      place.redraw();
    },
    end: () => {
      passing.doc = null;
      if (to.x !== layer.x || to.y !== layer.y) session.changeActive(t("edit.moved"), to);
      place.redraw();
    },
    cancel: () => {
      passing.doc = null;
      place.redraw();
    },
  };
}
