// SPDX-License-Identifier: Apache-2.0
// How far a job is, told without promising what nobody knows.
import type { Job } from "./types";

/** 0 to 1 of a running job; null while nobody knows. */
export function shareOf(job: Job): number | null {
  if (job.state === "done") return 1;
  if (job.state !== "running" || job.progress.total <= 0 || job.progress.stage === "load") return null;
  return Math.min(1, job.progress.done / job.progress.total);
}

/** Seconds that remain, run down since the server told them; null: the server cannot tell yet. */
export function remaining(job: Job, heard: number, now: number): number | null {
  if (job.eta_seconds === null) return null;
  return Math.max(0, job.eta_seconds - (now - heard) / 1000);
}
