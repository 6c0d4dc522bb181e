// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import type { Job } from "./types";
import { remaining, shareOf } from "./progress";

const job = { state: "running", progress: { stage: "denoise", done: 5, total: 20 }, eta_seconds: 12 } as Job;

it("tells the share of the steps, and nothing while the model loads or the job waits", () => {
  expect(shareOf(job)).toBe(0.25);
  expect(shareOf({ ...job, state: "queued" })).toBeNull();
  expect(shareOf({ ...job, progress: { stage: "load", done: 1, total: 2 } })).toBeNull();
  expect(shareOf({ ...job, progress: { stage: "", done: 0, total: 0 } })).toBeNull();
});
it("runs the remaining time down, never below nothing, and makes none up", () => {
  expect(remaining(job, 1000, 4000)).toBe(9);
  expect(remaining(job, 1000, 99_000)).toBe(0);
  expect(remaining({ ...job, eta_seconds: null }, 1000, 4000)).toBeNull();
});
