// SPDX-License-Identifier: Apache-2.0
// The one document being edited, and all that is true of the editor at the moment.
import { SvelteMap } from "svelte/reactivity";
import { api } from "../lib/api";
import { t } from "../lib/i18n.svelte";
import { live, notices, notify, server, tell, type EditStart } from "../lib/store.svelte";
import type { Settings } from "../lib/types";
import { read, write } from "../make/draft.svelte";
import { draftOf } from "../make/request";
import { decode, maskFrom } from "./decode";
import { Keeper, type KeptRun } from "./keep";
import { Bitmap } from "./model/bitmap";
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
import {
  accepted,
  canMakeAgain,
  exportMask,
  exportStart,
  initialTask,
  planOf,
  resultBitmap,
  type Obstacle,
  type Plan,
  type Task,
} from "./model/plan";
import { isEmpty, nowhere, sameRect, type Rect } from "./model/rect";
import { resample } from "./model/resample";
import { combine, ofRect, shifted, type Combination } from "./model/selection";
import { docOf, reframe } from "./model/transform";
import { canvasOf } from "./raster";

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

export interface Candidate {
  readonly key: string;
  readonly picture: string;
  readonly run: KeptRun;
}

/** A candidate's pixels, as they would lie in the document. */
export interface Laid {
  readonly bitmap: Bitmap;
  readonly image: HTMLCanvasElement;
  readonly part: Rect; // of the document as it was when the work began
}

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
  runs = $state.raw<readonly KeptRun[]>([]);
  shown = $state<string | null>(null); // key of the candidate on the stage
  laid = new SvelteMap<string, Laid>();
  split = $state<number | null>(null); // where the picture as it was ends, a share of the stage; null: no comparison
  startView = $state<"off" | "stays" | "noise">("off");
  startTouched = $state(0); // when a strength was last changed, in milliseconds
  said = $state(""); // for those who cannot see the stage
  busy = $state(false);
  working = $state(false); // a stroke or the like goes on
  submitting = $state(false);
  keeping = $state<"kept" | "keeping" | "failed">("kept");
  restored = $state(false);

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
  readonly candidates = $derived<Candidate[]>(
    this.runs.flatMap((run) =>
      (live.jobs.get(run.job)?.pictures ?? [])
        .map((picture, i) => ({ key: `${run.job} ${i}`, picture, run }))
        .filter(({ key }) => !run.gone.includes(key)),
    ),
  );
  readonly candidate = $derived(this.candidates.find(({ key }) => key === this.shown));
  readonly modelSize = $derived.by(() => {
    const model = server.model(this.task.model);
    return { width: model?.default_width || 512, height: model?.default_height || 512 };
  });
  readonly canMakeAgain = $derived(canMakeAgain(this.task.kind, this.doc.source));
  readonly plan = $derived<Plan | Obstacle>(this.planned(this.task));

  constructor() {
    $effect.root(() => {
      $effect(() => write(storedBrushes, this.brushes));
      $effect(() => {
        void [this.doc, this.frame, this.runs, JSON.stringify(this.task)];
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

  // --- opening ------------------------------------------------------------------------------------------------------

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
        this.runs = kept.runs;
        await this.refreshJobs();
      }
    } catch {
      this.keeping = "failed"; // a browser that keeps nothing can still edit
    }
    this.restored = true;
  }

  /** Jobs of before the reload that the page does not know yet; what the server has forgotten is dropped. */
  private async refreshJobs(): Promise<void> {
    const lost = new Set<string>();
    await Promise.all(
      this.runs.map(({ job }) =>
        api.job(job).then(
          (fresh) => live.take(fresh),
          (reason) => reason?.status === 404 && lost.add(job),
        ),
      ),
    );
    this.runs = this.runs.filter((run) => !lost.has(run.job));
  }

  async open(start: EditStart): Promise<void> {
    this.busy = true;
    try {
      if ("file" in start) await this.openBlob(start.file, start.file.name);
      else if ("input" in start) {
        const response = await api.fetch(`/inputs/${encodeURIComponent(start.input)}`);
        await this.openBlob(await response.blob(), t("edit.layer.picture"));
      } else {
        const [picture, blob] = await Promise.all([
          api.picture(start.picture),
          api.pictureBlob(start.picture),
        ]);
        await this.openBlob(blob, t("edit.layer.picture"), picture.request);
      }
    } catch (reason) {
      this.couldNotOpen(reason);
    } finally {
      this.busy = false;
    }
  }

  /** A new document, in the place of the one there is; which undo brings back. */
  private async openBlob(blob: Blob, name: string, source: Settings | null = null): Promise<void> {
    const picture = await decode(blob);
    const replaces = this.hasPicture;
    const fresh = docOf(picture.pixels, picture.width, picture.height, {
      picture: name,
      mask: t("edit.layer.mask"),
    });
    this.do(t("edit.open"), () => ({ ...fresh, source }));
    this.frame = this.doc.bounds;
    this.shown = null;
    if (source) this.useWords(source);
    const say = t("edit.opened", { width: picture.width, height: picture.height });
    if (replaces) notify(say, { label: t("common.undo"), run: () => this.undo() });
    this.say(say);
  }

  /** The words and the model that made a picture are a good start for what shall become of it. */
  useWords(source: Settings): void {
    const draft = draftOf(source);
    this.task.prompt = draft.prompt;
    this.task.negative = draft.negative_prompt;
    this.task.model = draft.model;
    this.task.steps = draft.steps;
    this.task.guidance = draft.guidance_scale;
    this.task.scheduler = draft.scheduler;
  }

  /** A picture as a layer, in the middle, made smaller where it is larger than the document. */
  async addPicture(blob: Blob, name: string): Promise<void> {
    if (!this.hasPicture) return this.open({ file: new File([blob], name, { type: blob.type }) });
    try {
      const picture = await decode(blob);
      const { bounds } = this.doc;
      const scale = Math.min(1, bounds.width / picture.width, bounds.height / picture.height);
      const width = Math.max(1, Math.round(picture.width * scale));
      const height = Math.max(1, Math.round(picture.height * scale));
      const pixels = resample(picture.pixels, 4, picture.width, picture.height, width, height);
      const x = bounds.x + Math.round((bounds.width - width) / 2);
      const y = bounds.y + Math.round((bounds.height - height) / 2);
      this.do(t("edit.layer.add"), (doc) =>
        addLayer(
          doc,
          newLayer("image", name, Bitmap.of(4, { x, y, width, height }, pixels)),
          topPicture(doc),
        ),
      );
      this.tool = "move";
      notify(t("edit.addedAsLayer"), {
        label: t("edit.openInstead"),
        run: () => {
          this.undo();
          void this.open({ file: new File([blob], name, { type: blob.type }) });
        },
      });
    } catch (reason) {
      this.couldNotOpen(reason);
    }
  }

  /** A picture as the mask: light is repainted. */
  async addMask(blob: Blob): Promise<void> {
    try {
      const { bounds } = this.doc;
      const pixels = maskFrom(await decode(blob), bounds.width, bounds.height);
      this.do(t("edit.mask.upload"), (doc) => {
        const mask = maskLayerOf(doc);
        const base = mask ? doc : addLayer(doc, newLayer("mask", t("edit.layer.mask")));
        const id = mask?.id ?? base.active;
        return { ...changeLayer(base, id, { bitmap: Bitmap.of(1, bounds, pixels), x: 0, y: 0 }), active: id };
      });
      this.say(t("edit.mask.uploaded"));
    } catch (reason) {
      this.couldNotOpen(reason);
    }
  }

  private couldNotOpen(reason: unknown): void {
    if (reason instanceof DOMException)
      notices.add({ kind: "error", text: t("edit.cannotOpen"), detail: t("edit.cannotOpen.advice") });
    else tell(reason);
  }

  /** An empty sheet, to paint on or to fill by extending. */
  blank(width: number, height: number): void {
    const white = new Uint8ClampedArray(width * height * 4).fill(255);
    const fresh = docOf(white, width, height, {
      picture: t("edit.layer.picture"),
      mask: t("edit.layer.mask"),
    });
    this.do(t("edit.new"), () => fresh);
  }

  // --- work of the server ---------------------------------------------------------------------------------------------

  private planned(task: Task): Plan | Obstacle {
    const plan = planOf(this.doc, task, this.frame, this.modelSize);
    if (typeof plan === "string") return plan;
    const { width = 0, height = 0 } = plan.request;
    const most = server.capabilities?.limits.pixels ?? Infinity;
    return width * height > most ? "tooLarge" : plan;
  }

  async submit(): Promise<void> {
    const plan = this.planned($state.snapshot(this.task));
    if (typeof plan === "string" || this.submitting) return;
    this.submitting = true;
    try {
      const request: Settings = { ...plan.request };
      if (!plan.again) request.init_image = (await api.addInput(await exportStart(this.doc, plan))).id;
      if (plan.kind === "inpaint") request.mask = (await api.addInput(await exportMask(plan))).id;
      const job = await api.submit(request);
      live.take(job);
      this.runs = [...this.runs, { job: job.id, plan, gone: [] }];
      this.shown = null;
      this.say(t("edit.submitted"));
    } catch (reason) {
      tell(reason);
    } finally {
      this.submitting = false;
    }
  }

  cancel(run: KeptRun): void {
    api.cancel(run.job).then((job) => live.take(job), tell);
  }

  /** Reads a candidate's picture and fits it to the document. */
  async lay(candidate: Candidate): Promise<Laid> {
    const known = this.laid.get(candidate.key);
    if (known) return known;
    const { plan } = candidate.run;
    const { pixels, width, height } = await decode(await api.pictureBlob(candidate.picture));
    const { bitmap, part } = resultBitmap(plan, pixels, width, height);
    const image = canvasOf(bitmap.read(part), part.width, part.height);
    const shrink = 1 / plan.scale;
    const { bounds } = plan;
    const seen = {
      x: bounds.x + (part.x - bounds.x) * shrink,
      y: bounds.y + (part.y - bounds.y) * shrink,
      width: part.width * shrink,
      height: part.height * shrink,
    };
    const laid = { bitmap, image, part: seen };
    this.laid.set(candidate.key, laid);
    return laid;
  }

  async accept(candidate: Candidate): Promise<void> {
    try {
      const { bitmap } = await this.lay(candidate);
      const { plan } = candidate.run;
      const before = this.runs;
      const label = t(`edit.accepted.${plan.kind}`);
      this.do(label, (doc) => accepted(doc, plan, bitmap, t(`edit.task.${plan.kind}`)));
      const after = this.doc;
      this.drop(candidate.run);
      this.split = null;
      this.say(t("edit.accepted"));
      notify(t("edit.accepted"), {
        label: t("common.undo"),
        run: () => {
          if (this.doc === after) this.undo();
          this.runs = before;
        },
      });
    } catch (reason) {
      tell(reason);
    }
  }

  discard(candidate: Candidate): void {
    const at = this.candidates.findIndex(({ key }) => key === candidate.key);
    const next = this.candidates[at + 1] ?? this.candidates[at - 1];
    const before = this.runs;
    const gone = [...candidate.run.gone, candidate.key];
    const left = (live.jobs.get(candidate.run.job)?.pictures ?? []).length > gone.length;
    this.runs = left
      ? this.runs.map((run) => (run.job === candidate.run.job ? { ...run, gone } : run))
      : this.runs.filter((run) => run.job !== candidate.run.job);
    this.laid.delete(candidate.key);
    if (this.shown === candidate.key) this.shown = next?.key ?? null;
    if (!this.shown) this.split = null;
    notify(t("edit.discarded"), { label: t("common.undo"), run: () => (this.runs = before) });
  }

  /** Takes a job and all it made off the editor; the pictures stay in the gallery. */
  drop(run: KeptRun): void {
    this.runs = this.runs.filter((other) => other.job !== run.job);
    for (const key of [...this.laid.keys()]) if (key.startsWith(`${run.job} `)) this.laid.delete(key);
    if (this.shown?.startsWith(`${run.job} `)) this.shown = null;
  }

  show(key: string | null): void {
    this.shown = key;
    if (key === null) this.split = null;
  }

  step(way: 1 | -1): void {
    const { candidates } = this;
    if (candidates.length === 0) return;
    const at = candidates.findIndex(({ key }) => key === this.shown);
    this.show(candidates[(at + way + candidates.length) % candidates.length]!.key);
  }

  // --- the frame --------------------------------------------------------------------------------------------------

  crop(to: Rect): void {
    if (this.do(t("edit.crop"), (doc) => reframe(doc, to))) this.say(t("edit.sized", { ...to }));
  }

  // --- keeping --------------------------------------------------------------------------------------------------------

  private keepSoon(): void {
    this.keeping = "keeping";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.keep(), saveAfter);
  }

  async keep(): Promise<void> {
    clearTimeout(this.timer);
    const { doc, frame, runs } = this;
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
    this.shown = null;
    this.runs = [];
  }
}

/** What undo may hold: less where the device tells that it has little. */
function budget(): number {
  const { deviceMemory = 8 } = navigator as Navigator & { deviceMemory?: number }; // GiB
  return Math.min(DEFAULT_BUDGET, deviceMemory * 2 ** 26);
}

function topPicture(doc: Doc): number | undefined {
  return doc.layers.findLast((layer) => !isMask(layer))?.id;
}

export const session = new Session();
