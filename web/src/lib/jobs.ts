// SPDX-License-Identifier: Apache-2.0
// What a job is doing, in words.
import { now } from "./clock.svelte";
import { duration, t, tryT } from "./i18n.svelte";
import { live } from "./store.svelte";
import type { Job } from "./types";
import { remaining, shareOf } from "./progress";

export { shareOf };

/** "Step 7 of 25 · about 4 s left", "Second in the queue", "Done in 12 s". */
export function status(job: Job): string {
  if (job.state === "queued") {
    if (job.paused) return t("job.paused");
    if (live.queue?.paused) return t("job.queuePaused");
    const place = job.place === 1 ? t("job.next") : t("job.place", { n: job.place });
    return [place, left(job)].filter(Boolean).join(" · ");
  }
  if (job.state === "running") return [stage(job), left(job)].filter(Boolean).join(" · ");
  if (job.state === "done" && job.started && job.ended)
    return t("job.doneIn", {
      time: duration((Date.parse(job.ended) - Date.parse(job.started)) / 1000, true),
    });
  return t(`job.state.${job.state}`);
}

function stage({ progress }: Job): string {
  const name = tryT(`job.stage.${progress.stage}`) ?? t("job.stage.starting");
  const counted = progress.stage === "denoise" && progress.total > 0;
  return counted ? t("job.step", { done: progress.done, total: progress.total }) : name;
}

export function left(job: Job): string {
  const seconds = remaining(job, live.heard.get(job.id) ?? now(), now());
  if (seconds === null) return "";
  return seconds < 1 ? t("job.soon") : t("job.left", { time: duration(seconds) });
}
