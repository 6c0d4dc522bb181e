// SPDX-License-Identifier: Apache-2.0
// The keys of the page, as the sheet behind "?" lists them. The editor adds its own.
import type { Key } from "../lib/i18n.svelte";

export interface Shortcut {
  keys: string[]; // pressed together
  what: Key;
}

export const groups: { title: Key; shortcuts: Shortcut[] }[] = [
  {
    title: "keys.everywhere",
    shortcuts: [
      { keys: ["?"], what: "keys.sheet" },
      { keys: ["Alt", "1–5"], what: "keys.views" },
      { keys: ["/"], what: "keys.slash" },
      { keys: ["Ctrl", "V"], what: "keys.paste" },
    ],
  },
  {
    title: "view.make",
    shortcuts: [
      { keys: ["Ctrl", "Enter"], what: "keys.make" },
      { keys: ["Ctrl", "↑"], what: "keys.heavier" },
      { keys: ["Ctrl", "↓"], what: "keys.lighter" },
      { keys: ["↓", "Enter"], what: "keys.offer" },
    ],
  },
  {
    title: "view.pictures",
    shortcuts: [
      { keys: ["← ↑ → ↓"], what: "keys.move" },
      { keys: ["Enter"], what: "keys.open" },
      { keys: ["Space"], what: "keys.mark" },
      { keys: ["Shift", "↓"], what: "keys.markMore" },
      { keys: ["Ctrl", "A"], what: "keys.markAll" },
      { keys: ["0–5"], what: "keys.rate" },
      { keys: ["T"], what: "keys.tag" },
      { keys: ["C"], what: "keys.compare" },
      { keys: ["E"], what: "keys.edit" },
      { keys: ["Del"], what: "keys.delete" },
    ],
  },
  {
    title: "keys.full",
    shortcuts: [
      { keys: ["←", "→"], what: "keys.leaf" },
      { keys: ["+", "−", "0"], what: "keys.zoom" },
      { keys: ["I"], what: "keys.details" },
      { keys: ["Esc"], what: "keys.close" },
    ],
  },
  {
    title: "view.queue",
    shortcuts: [
      { keys: ["Alt", "↑"], what: "queue.up" },
      { keys: ["Alt", "↓"], what: "queue.down" },
    ],
  },
];
