// SPDX-License-Identifier: Apache-2.0
// Paths on a grid of 24, as lib/components/icons.ts has them.
import type { Tool } from "./session.svelte";
import type { TaskKind } from "./model/plan";

export const toolIcons: Record<Tool, string> = {
  brush:
    "M4 20c3.6 0 5.2-1.2 5.2-3.2A2.6 2.6 0 0 0 4 16.6C4 18.3 3.2 19 3 19.4ZM9.4 14.2 18.6 4.9a1.7 1.7 0 0 1 2.4 2.4l-9.3 9.2",
  eraser:
    "M9 20h11M4.6 14.4l8.8-8.8a2 2 0 0 1 2.8 0l3.2 3.2a2 2 0 0 1 0 2.8L11 20H8l-3.4-3.4a1.6 1.6 0 0 1 0-2.2ZM9 10l5.5 5.5",
  lasso:
    "M7 16.5C4.8 15.3 3.5 13.5 3.5 11.3 3.5 7.5 7.3 4.5 12 4.5s8.5 3 8.5 6.8-3.8 6.7-8.5 6.7c-1 0-2-.1-2.9-.4M9.5 17.3a2 2 0 1 0-3.6 1.2c.7 1 .6 2-.4 3",
  rectangle: "M4 7V4h3M10.5 4h3M17 4h3v3M20 10.5v3M20 17v3h-3M13.5 20h-3M7 20H4v-3M4 13.5v-3",
  fill: "M10.5 4.5 18 12l-6.3 6.3a1.6 1.6 0 0 1-2.3 0L4.2 13.1a1.6 1.6 0 0 1 0-2.3l6.3-6.3ZM10.5 4.5 8.5 2.5M4 12h14M20.5 15.5c1 1.5 1.5 2.4 1.5 3.2a1.6 1.6 0 0 1-3.2 0c0-.8.6-1.7 1.7-3.2Z",
  frame: "M7 2.5V17h14.5M2.5 7H17v14.5M12 12l6.5-6.5M14.5 5.2h4.3v4.3",
  pick: "M13.5 6.5l4 4M16 4.8a2.3 2.3 0 0 1 3.2 3.2l-2.7 2.7-3.2-3.2L16 4.8ZM12.5 7.5l4 4L9 19l-4.2 1.2L6 16l6.5-8.5Z",
  move: "M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5",
  hand: "M8 12V5.8a1.4 1.4 0 0 1 2.8 0V11M10.8 11V4.4a1.4 1.4 0 0 1 2.8 0V11M13.6 11V5.8a1.4 1.4 0 0 1 2.8 0V12M16.4 9.2a1.4 1.4 0 0 1 2.8 0V15c0 4-2.5 6-6 6-3 0-4.5-1.2-6-3.5L4.5 13.5a1.5 1.5 0 0 1 2.4-1.7L8 13.2",
};

export const taskIcons: Record<TaskKind, string> = {
  change: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 3-3L20 17M15.5 9h.01",
  inpaint: "M4 5h16v14H4zM9 15c0-3 1.5-5 3.5-5s3 1.4 3 3-1.5 3-3.5 3-3-.4-3-1",
  outpaint:
    "M8 8h8v8H8zM12 5V2M12 22v-3M5 12H2M22 12h-3M10.5 3.5 12 2l1.5 1.5M10.5 20.5 12 22l1.5-1.5M3.5 10.5 2 12l1.5 1.5M20.5 10.5 22 12l-1.5 1.5",
  upscale: "M4 13v7h7v-7H4ZM14 4h6v6M20 4l-8 8M4 9V4h5M20 15v5h-5",
  variations: "M7 7h10v10H7zM4 14V4h10M20 10v10H10",
};

export const otherIcons = {
  flipX: "M12 3v18M9 7 3 17h6V7ZM15 7l6 10h-6V7Z",
  flipY: "M3 12h18M7 9 17 3v6H7ZM7 15l10 6v-6H7Z",
  clockwise: "M20 4v5h-5M19.5 9A8 8 0 1 0 20 13",
  anticlockwise: "M4 4v5h5M4.5 9A8 8 0 1 1 4 13",
  crop: "M7 2.5V17h14.5M2.5 7H17v14.5",
  mask: "M4 5h16v14H4zM12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z",
  merge: "M6 4h12v6H6zM12 10v9M8.5 15.5 12 19l3.5-3.5",
  tools: "M4 20l5-5M14 4l6 6-7 7-6-6 7-7Z",
  layers: "M12 3l9 5-9 5-9-5 9-5ZM3 12.5l9 5 9-5M3 17l9 5 9-5",
  sparkle:
    "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8L12 3ZM18.5 15.5l.8 2.2 2.2.8-2.2.8-.8 2.2-.8-2.2-2.2-.8 2.2-.8.8-2.2Z",
} as const;
