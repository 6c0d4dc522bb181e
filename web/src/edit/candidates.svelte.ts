// SPDX-License-Identifier: Apache-2.0
// What the server was asked to do with the document, and the pictures that came of it.
import { SvelteMap } from "svelte/reactivity";
import { api } from "../lib/api";
import { t } from "../lib/i18n.svelte";
import { live, notify, tell } from "../lib/store.svelte";
import type { Settings } from "../lib/types";
import { decode } from "./decode";
import type { KeptRun } from "./keep";
import type { Bitmap } from "./model/bitmap";
import { accepted, exportMask, exportStart, resultBitmap } from "./model/plan";
import type { Rect } from "./model/rect";
import { canvasOf } from "./raster";
import type { Session } from "./session.svelte";

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

export class Candidates {
  runs = $state.raw<readonly KeptRun[]>([]);
  shown = $state<string | null>(null); // key of the candidate on the stage
  laid = new SvelteMap<string, Laid>();
  split = $state<number | null>(null); // where the picture as it was ends, a share of the stage; null: no comparison
  submitting = $state(false);

  readonly list = $derived<Candidate[]>(
    this.runs.flatMap((run) =>
      (live.jobs.get(run.job)?.pictures ?? [])
        .map((picture, i) => ({ key: `${run.job} ${i}`, picture, run }))
        .filter(({ key }) => !run.gone.includes(key)),
    ),
  );
  readonly current = $derived(this.list.find(({ key }) => key === this.shown));

  constructor(private readonly session: Session) {}

  async submit(): Promise<void> {
    const plan = this.session.planned($state.snapshot(this.session.task));
    if (typeof plan === "string" || this.submitting) return;
    this.submitting = true;
    try {
      const request: Settings = { ...plan.request };
      if (!plan.again)
        request.init_image = (await api.addInput(await exportStart(this.session.doc, plan))).id;
      if (plan.kind === "inpaint") request.mask = (await api.addInput(await exportMask(plan))).id;
      const job = await api.submit(request);
      live.take(job);
      this.runs = [...this.runs, { job: job.id, plan, gone: [] }];
      this.shown = null;
      this.session.say(t("edit.submitted"));
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
      this.session.do(label, (doc) => accepted(doc, plan, bitmap, t(`edit.task.${plan.kind}`)));
      const after = this.session.doc;
      this.drop(candidate.run);
      this.split = null;
      this.session.say(t("edit.accepted"));
      notify(t("edit.accepted"), {
        label: t("common.undo"),
        run: () => {
          if (this.session.doc === after) this.session.undo();
          this.runs = before;
        },
      });
    } catch (reason) {
      tell(reason);
    }
  }

  discard(candidate: Candidate): void {
    const at = this.list.findIndex(({ key }) => key === candidate.key);
    const next = this.list[at + 1] ?? this.list[at - 1];
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

  /** Lays the picture as it was beside the candidate, or takes it away. */
  compare(): void {
    this.split = this.split === null ? 0.5 : null;
  }

  step(way: 1 | -1): void {
    const { list } = this;
    if (list.length === 0) return;
    const at = list.findIndex(({ key }) => key === this.shown);
    this.show(list[(at + way + list.length) % list.length]!.key);
  }

  /** Jobs of before the reload that the page does not know yet; what the server has forgotten is dropped. */
  async refresh(): Promise<void> {
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
}
