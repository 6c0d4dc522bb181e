// SPDX-License-Identifier: Apache-2.0
// What was asked for from this browser: single jobs and grids of jobs, the latest first. Survives a reload.
import { api } from "../lib/api";
import { live, tell } from "../lib/store.svelte";
import type { Job, Settings } from "../lib/types";
import { form, read, write } from "./draft.svelte";
import { cells, type Axis } from "./grid";
import { requestOf } from "./request";

export interface Run {
  id: string; // of its first job
  jobs: string[];
  grid?: { x: Axis; y: Axis | null };
}

const stored = "limn.runs";
const most = 40;

class Runs {
  list = $state<Run[]>(read<Run[]>(stored, []));
  shown = $state<string | null>(null); // the run on the stage; null: the latest

  get current(): Run | undefined {
    return this.list.find((run) => run.id === this.shown) ?? this.list[0];
  }

  jobsOf(run: Run): (Job | undefined)[] {
    return run.jobs.map((id) => live.jobs.get(id));
  }

  /** Sends what the form holds. */
  async make(): Promise<void> {
    await this.send([requestOf(form.draft, form.nextSeed())]);
  }

  async makeGrid(x: Axis, y: Axis | null): Promise<void> {
    const seed = form.nextSeed();
    const requests = cells({ ...$state.snapshot(form.draft) }, x, y)
      .flat()
      .map((cell) => requestOf(cell, cell.seedLocked && cell.seed ? cell.seed : seed));
    await this.send(requests, { x, y });
  }

  /** A request as it is, without touching the form. */
  async send(requests: Settings[], grid?: Run["grid"]): Promise<void> {
    try {
      const first = await this.submit(requests[0]!);
      this.add({ id: first.id, jobs: [first.id], grid });
      const run = this.list.find((one) => one.id === first.id)!;
      for (const request of requests.slice(1)) {
        run.jobs.push((await this.submit(request)).id);
        this.save();
      }
    } catch (reason) {
      tell(reason);
    }
  }

  /** Jobs of earlier that this page does not know yet. What the server has forgotten is dropped. */
  async restore(): Promise<void> {
    const ids = this.list.flatMap((run) => run.jobs).filter((id) => !live.jobs.has(id));
    const lost = new Set<string>();
    await Promise.all(
      ids.map((id) =>
        api.job(id).then(
          (job) => live.take(job),
          (reason) => reason?.status === 404 && lost.add(id),
        ),
      ),
    );
    if (lost.size > 0) {
      this.list = this.list.filter((run) => !run.jobs.some((id) => lost.has(id)));
      this.save();
    }
  }

  /** Brings a job of somewhere else, such as the editor's or the queue's, to the stage. */
  show(id: string): void {
    if (!this.list.some((run) => run.jobs.includes(id))) this.add({ id, jobs: [id] });
    this.shown = this.list.find((run) => run.jobs.includes(id))?.id ?? null;
  }

  async cancel(run: Run): Promise<void> {
    const waiting = this.jobsOf(run).filter(
      (job) => job && (job.state === "queued" || job.state === "running"),
    );
    await Promise.all(waiting.map((job) => api.cancel(job!.id).then((fresh) => live.take(fresh), tell)));
  }

  forget(): void {
    this.list = this.list.filter((run) =>
      this.jobsOf(run).some((job) => job && (job.state === "queued" || job.state === "running")),
    );
    this.shown = null;
    this.save();
  }

  private async submit(request: Settings): Promise<Job> {
    const job = await api.submit(request);
    live.take(job);
    form.learn(String(request.prompt ?? ""));
    return job;
  }

  private add(run: Run): void {
    this.list = [run, ...this.list].slice(0, most);
    this.shown = null;
    this.save();
  }

  private save(): void {
    write(stored, this.list);
  }
}

export const runs = new Runs();
