// SPDX-License-Identifier: Apache-2.0
// What the server tells by itself: jobs, previews, the queue. Reconnects by itself, and says when it has to.
import { SvelteMap } from "svelte/reactivity";
import { ApiError, type Api } from "./api";
import { backOff, readEvents, type ServerEvent } from "./sse";
import type { Job, Queue } from "./types";

export type Connection = "connecting" | "live" | "lost";

const silence = 40; // seconds; the server sends a comment every 15
const hour = 3_600_000; // milliseconds
const kept = 200; // ended jobs to remember

export function isEnded(job: Job): boolean {
  return job.state === "done" || job.state === "failed" || job.state === "cancelled";
}

export class Live {
  connection = $state<Connection>("connecting");
  retryAt = $state(0); // when the next try begins, in milliseconds of Date.now()
  jobs = new SvelteMap<string, Job>();
  previews = new SvelteMap<string, number>(); // the newest version of each job's preview
  queue = $state<Queue | null>(null);
  galleryVersion = $state(0); // rises when pictures come, go or change
  /** When each job was last heard of, so that its remaining time can run down between two events. */
  heard = new SvelteMap<string, number>();

  private api: Api;
  private stop = new AbortController();
  private wake: () => void = () => undefined;
  private listeners = new Set<(job: Job) => void>();

  constructor(api: Api) {
    this.api = api;
  }

  /** Waiting jobs in the order of the queue, behind the running ones. */
  get open(): Job[] {
    const rank = (job: Job) => (job.state === "running" ? 0 : job.place || Number.MAX_SAFE_INTEGER);
    return [...this.jobs.values()].filter((job) => !isEnded(job)).sort((a, b) => rank(a) - rank(b));
  }

  get ended(): Job[] {
    return [...this.jobs.values()]
      .filter(isEnded)
      .sort((a, b) => (b.ended ?? b.created).localeCompare(a.ended ?? a.created));
  }

  /** Called with every job that changes. @return forgets the listener */
  onJob(listener: (job: Job) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Takes in a job, also one that a call has just answered with. */
  take(job: Job): void {
    const known = this.jobs.get(job.id);
    if (known && isEnded(known) && !isEnded(job)) return; // an answer that an event has overtaken
    this.jobs.set(job.id, job);
    this.heard.set(job.id, Date.now());
    if (isEnded(job)) this.previews.delete(job.id);
    this.forgetOld();
    for (const listener of this.listeners) listener(job);
  }

  retryNow(): void {
    this.wake();
  }

  async run(): Promise<void> {
    for (let tries = 0; !this.stop.signal.aborted; tries++) {
      let refused = false;
      try {
        const response = await this.api.fetch("/events", {
          headers: { Accept: "text/event-stream" },
          signal: this.stop.signal,
        });
        await this.catchUp();
        this.connection = "live";
        tries = -1;
        if (response.body) await readEvents(response.body, silence, (event) => this.hear(event));
      } catch (reason) {
        refused = reason instanceof ApiError && reason.status === 401;
      }
      if (this.stop.signal.aborted) return;
      this.connection = "lost";
      // Who gave no key is not asked again and again.
      const pause = refused ? hour : backOff(Math.max(0, tries)) * 1000;
      this.retryAt = Date.now() + pause;
      await this.sleep(pause);
      this.connection = "connecting";
    }
  }

  close(): void {
    this.stop.abort();
    this.wake();
  }

  /** What happened while nobody listened. */
  private async catchUp(): Promise<void> {
    const [jobs, queue] = await Promise.all([this.api.jobs([], 100), this.api.queue()]);
    const told = new Set(jobs.map((job) => job.id));
    for (const job of jobs) this.take(job);
    const missing = this.open.filter((job) => !told.has(job.id));
    await Promise.all(
      missing.map((job) =>
        this.api.job(job.id).then(
          (fresh) => this.take(fresh),
          () => this.jobs.delete(job.id),
        ),
      ),
    );
    this.queue = queue;
    this.galleryVersion++;
  }

  private hear({ event, data }: ServerEvent): void {
    const body = JSON.parse(data);
    if (event === "job") this.take(body);
    if (event === "preview") this.previews.set(body.job, body.version);
    if (event === "queue") this.queue = "counts" in body ? body : { paused: body.paused, counts: body };
    if (event === "gallery") this.galleryVersion++;
  }

  private forgetOld(): void {
    if (this.jobs.size <= 2 * kept) return;
    for (const job of this.ended.slice(kept)) {
      this.jobs.delete(job.id);
      this.heard.delete(job.id);
    }
  }

  private sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
