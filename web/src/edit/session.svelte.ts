// SPDX-License-Identifier: Apache-2.0
// The one document being edited, and all that is true of the editor at the moment.
import { t } from "../lib/i18n.svelte";
import { server } from "../lib/store.svelte";
import { read, write } from "../make/draft.svelte";
import type { Draft } from "../make/request";
import { Candidates } from "./candidates.svelte";
import { Keeper } from "./keep";
import type { Bitmap } from "./model/bitmap";
import type { Brush } from "./model/brush";
import {
  addLayer,
  changeLayer,
  emptyDoc,
  isMask,
  layerOf,
  maskLayerOf,
  newLayer,
  type Doc,
  type Layer,
} from "./model/document";
import { fill } from "./model/fill";
import { DEFAULT_BUDGET, History } from "./model/history";
import { canMakeAgain, initialTask, planOf, type Obstacle, type Plan, type Task } from "./model/plan";
import { isEmpty, nowhere, sameRect, type Rect } from "./model/rect";
import { combine, ofRect, shifted, type Combination } from "./model/selection";
import { reframe } from "./model/transform";

export const tools = [
  "brush",
  "eraser",
  "lasso",
  "rectangle",
  "fill",
  "frame",
  "pick",
  "move",
  "hand",
] as const;
export type Tool = (typeof tools)[number];
export type Target = "mask" | "paint";

const usualBrushes: Record<Target, Brush> = {
  mask: {
    size: 64,
    hardness: 0.8,
    opacity: 1,
    spacing: 0.1,
    smoothing: 0.2,
    pressureSize: true,
    pressureOpacity: false,
  },
  paint: {
    size: 24,
    hardness: 0.9,
    opacity: 1,
    spacing: 0.08,
    smoothing: 0.3,
    pressureSize: true,
    pressureOpacity: true,
  },
};

const storedBrushes = "limn.edit.brushes";
const saveAfter = 700; // milliseconds of rest
export const mostBrush = 1024;

export class Session {
  doc = $state.raw<Doc>(emptyDoc);
  undoLabel = $state("");
  redoLabel = $state("");
  tool = $state<Tool>("brush");
  frame = $state.raw<Rect>(nowhere);
  brushes = $state<Record<Target, Brush>>(read(storedBrushes, usualBrushes));
  colour = $state("#d6336c");
  tolerance = $state(24);
  contiguous = $state(true);
  fillsMask = $state(true); // whether lasso and rectangle draw into a mask, or select
  task = $state<Task>({ ...initialTask, strengths: { ...initialTask.strengths } });
  startView = $state<"off" | "stays" | "noise">("off");
  said = $state(""); // for those who cannot see the stage
  busy = $state(false);
  working = $state(false); // a stroke or the like goes on
  keeping = $state<"kept" | "keeping" | "failed">("kept");
  restored = $state(false);

  readonly candidates = new Candidates(this);
  private readonly history = new History(emptyDoc, budget());
  private readonly keeper = new Keeper();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastPaint = 0; // layer that X goes back to

  readonly active = $derived<Layer | undefined>(layerOf(this.doc, this.doc.active));
  readonly target = $derived<Target>(this.active && isMask(this.active) ? "mask" : "paint");
  readonly brush = $derived(this.brushes[this.target]);
  readonly hasPicture = $derived(!isEmpty(this.doc.bounds));
  readonly hasMask = $derived(
    this.doc.layers.some((layer) => isMask(layer) && layer.visible && !layer.bitmap.isBlank),
  );
  readonly modelDefaults = $derived(server.defaults(this.task.model));
  readonly canMakeAgain = $derived(canMakeAgain(this.task.kind, this.doc.source));
  readonly plan = $derived<Plan | Obstacle>(this.planned(this.task));

  constructor() {
    $effect.root(() => {
      $effect(() => write(storedBrushes, this.brushes));
      $effect(() => {
        void [this.doc, this.frame, this.candidates.runs, JSON.stringify(this.task)];
        if (this.restored) this.keepSoon();
      });
    });
  }

  // --- history --------------------------------------------------------------------------------------------------

  /** Does something that can be undone. */
  do(label: string, command: (doc: Doc) => Doc, group = ""): boolean {
    const done = this.history.do(label, command, group);
    if (done) this.settle();
    return done;
  }

  /** Ends a group of commands, such as those of one drag of a slider. */
  endGroup(): void {
    this.history.close();
  }

  undo(): void {
    const label = this.history.undoLabel;
    if (!this.history.undo()) return;
    this.settle();
    this.say(t("edit.undone", { what: label }));
  }

  redo(): void {
    const label = this.history.redoLabel;
    if (!this.history.redo()) return;
    this.settle();
    this.say(t("edit.redone", { what: label }));
  }

  private settle(): void {
    const { doc } = this.history;
    if (!sameRect(this.doc.bounds, doc.bounds)) this.frame = doc.bounds;
    this.doc = doc;
    this.undoLabel = this.history.canUndo ? this.history.undoLabel : "";
    this.redoLabel = this.history.canRedo ? this.history.redoLabel : "";
  }

  say(text: string): void {
    this.said = this.said === text ? `${text} ` : text; // the same words again are read again
  }

  // --- layers -----------------------------------------------------------------------------------------------------

  choose(id: number): void {
    if (this.active && !isMask(this.active)) this.lastPaint = this.active.id;
    this.history.set((doc) => ({ ...doc, active: id }));
    this.settle();
  }

  /** From the mask to the picture and back. */
  swapTarget(): void {
    if (!this.hasPicture) return;
    if (this.target === "mask") {
      const back = layerOf(this.doc, this.lastPaint) ?? this.doc.layers.findLast((layer) => !isMask(layer));
      if (back) this.choose(back.id);
    } else this.chooseMask();
    this.say(t(this.target === "mask" ? "edit.target.mask" : "edit.target.paint"));
  }

  /** The mask as the active layer; a new one where there is none. */
  chooseMask(): void {
    const mask = maskLayerOf(this.doc);
    if (mask) this.choose(mask.id);
    else this.do(t("edit.layer.add"), (doc) => addLayer(doc, newLayer("mask", t("edit.layer.mask"))));
  }

  /** Where paint goes: onto the active layer, or onto a new one above it rather than onto the picture itself. */
  paintLayer(doc: Doc): { doc: Doc; layer: Layer } | null {
    const active = layerOf(doc, doc.active);
    if (!active) return null;
    if (active.kind !== "image") return { doc, layer: active };
    const added = addLayer(doc, newLayer("paint", t("edit.layer.paint")), active.id);
    return { doc: added, layer: layerOf(added, added.active)! };
  }

  changeActive(label: string, change: Partial<Omit<Layer, "id">>, group = ""): void {
    const { active } = this.doc;
    this.do(label, (doc) => changeLayer(doc, active, change), group);
  }

  // --- selections and masks -----------------------------------------------------------------------------------------

  /** What lasso, rectangle and the wand end in: shares of the plane that go into the mask, or become the selection. */
  takeArea(shares: Bitmap, how: Combination): void {
    if (this.target === "mask" && this.fillsMask) {
      this.fillMask(shares, how === "subtract");
      return;
    }
    this.do(t("edit.select"), (doc) => {
      const selection = combine(doc.selection, shares, how, doc.bounds);
      return { ...doc, selection: selection.isBlank ? null : selection };
    });
  }

  fillMask(shares: Bitmap, erase: boolean): void {
    this.do(t(erase ? "edit.mask.erase" : "edit.mask.fill"), (doc) => {
      const mask = maskLayerOf(doc);
      const base = mask ? doc : addLayer(doc, newLayer("mask", t("edit.layer.mask")));
      return this.inked(base, mask ?? layerOf(base, base.active)!, shares, erase, 1);
    });
  }

  /** A document with ink on a layer, wherever shares say; in the plane's coordinates. */
  inked(doc: Doc, layer: Layer, shares: Bitmap, erase: boolean, opacity: number): Doc {
    const within = shifted(shares, -layer.x, -layer.y);
    const part = { ...doc.bounds, x: doc.bounds.x - layer.x, y: doc.bounds.y - layer.y };
    const ink = { erase, colour: this.rgb, opacity };
    return changeLayer(doc, layer.id, { bitmap: fill(layer.bitmap, within, ink, part) });
  }

  /** Fills or empties what is selected, or everything, on the active layer. */
  fillSelection(erase: boolean): void {
    const label = t(erase ? "edit.clear" : "edit.fill");
    this.do(label, (doc) => {
      const place = erase ? { doc, layer: layerOf(doc, doc.active)! } : this.paintLayer(doc);
      if (!place?.layer) return doc;
      return this.inked(
        place.doc,
        place.layer,
        doc.selection ?? ofRect(doc.bounds),
        erase,
        erase ? 1 : this.brush.opacity,
      );
    });
  }

  /** Changes the active mask as a whole, else the selection. */
  reshape(label: string, change: (shares: Bitmap, bounds: Rect) => Bitmap): void {
    this.do(label, (doc) => {
      const active = layerOf(doc, doc.active);
      if (active && isMask(active)) {
        const shares = shifted(active.bitmap, active.x, active.y);
        return changeLayer(doc, active.id, { bitmap: change(shares, doc.bounds), x: 0, y: 0 });
      }
      if (!doc.selection) return doc;
      const selection = change(doc.selection, doc.bounds);
      return { ...doc, selection: selection.isBlank ? null : selection };
    });
  }

  select(selection: Bitmap | null): void {
    this.do(t("edit.select"), (doc) => (doc.selection === selection ? doc : { ...doc, selection }));
  }

  get rgb(): [number, number, number] {
    const value = parseInt(this.colour.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }

  // --- the task -------------------------------------------------------------------------------------------------------

  /** The words and the model of the form, or those that made a picture, are a good start for what shall become of it. */
  useWords(draft: Draft): void {
    this.task.prompt = draft.prompt;
    this.task.negative = draft.negative_prompt;
    this.task.model = draft.model;
    this.task.steps = draft.steps;
    this.task.guidance = draft.guidance_scale;
    this.task.scheduler = draft.scheduler;
  }

  /** What the server would be asked to do, or what stands against it. */
  planned(task: Task): Plan | Obstacle {
    const plan = planOf(this.doc, task, this.frame, this.modelDefaults);
    if (typeof plan === "string") return plan;
    const { width = 0, height = 0 } = plan.request;
    const most = server.capabilities?.limits.pixels ?? Infinity;
    return width * height > most ? "tooLarge" : plan;
  }

  // --- the frame --------------------------------------------------------------------------------------------------

  crop(to: Rect): void {
    if (this.do(t("edit.crop"), (doc) => reframe(doc, to))) this.say(t("edit.sized", { ...to }));
  }

  // --- keeping --------------------------------------------------------------------------------------------------------

  /** What was kept from the last time. */
  async restore(): Promise<void> {
    if (this.restored) return;
    try {
      const kept = await this.keeper.load();
      if (kept) {
        this.history.reset(kept.doc);
        this.settle();
        this.frame = kept.frame;
        this.task = { ...this.task, ...kept.task };
        this.candidates.runs = kept.runs;
        await this.candidates.refresh();
      }
    } catch {
      this.keeping = "failed"; // a browser that keeps nothing can still edit
    }
    this.restored = true;
  }

  private keepSoon(): void {
    this.keeping = "keeping";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.keep(), saveAfter);
  }

  async keep(): Promise<void> {
    clearTimeout(this.timer);
    const { doc, frame } = this;
    const { runs } = this.candidates;
    try {
      await this.keeper.save({ doc, frame, runs, task: $state.snapshot(this.task) });
      if (this.doc === doc) this.keeping = "kept";
    } catch {
      this.keeping = "failed";
    }
  }

  /** Forgets the document, here and in the browser's store. */
  close(): void {
    this.do(t("edit.close"), () => emptyDoc);
    this.candidates.shown = null;
    this.candidates.runs = [];
  }
}

/** What undo may hold: less where the device tells that it has little. */
function budget(): number {
  const { deviceMemory = 8 } = navigator as Navigator & { deviceMemory?: number }; // GiB
  return Math.min(DEFAULT_BUDGET, deviceMemory * 2 ** 26);
}

export const session = new Session();
