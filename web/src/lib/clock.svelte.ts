// SPDX-License-Identifier: Apache-2.0
import { createSubscriber } from "svelte/reactivity";

let time = Date.now();

const subscribe = createSubscriber((update) => {
  const timer = setInterval(() => {
    time = Date.now();
    update();
  }, 1000);
  return () => clearInterval(timer);
});

/** Milliseconds since 1970; whoever reads it in a template is drawn again each second. */
export function now(): number {
  subscribe();
  return Math.max(time, Date.now() - 1000);
}
