// SPDX-License-Identifier: Apache-2.0
import type { Key } from "../lib/i18n.svelte";
import { groups, type Shortcut } from "../shell/shortcuts";
import type { Tool } from "./session.svelte";

export const keyOf: Record<Tool, string> = {
  brush: "B",
  eraser: "E",
  lasso: "L",
  rectangle: "M",
  fill: "G",
  frame: "F",
  pick: "I",
  move: "V",
  hand: "H",
};

export function toolOf(key: string): Tool | undefined {
  const found = Object.entries(keyOf).find(([, letter]) => letter === key.toUpperCase());
  return found?.[0] as Tool | undefined;
}

const tools: Shortcut[] = (Object.keys(keyOf) as Tool[]).map((tool) => ({
  keys: [keyOf[tool]],
  what: `edit.tool.${tool}` satisfies Key,
}));

/** Puts the editor's keys onto the sheet behind "?". */
export function listShortcuts(): void {
  if (groups.some((group) => group.title === "view.edit")) return;
  groups.splice(2, 0, {
    title: "view.edit",
    shortcuts: [
      ...tools,
      { keys: ["X"], what: "edit.key.swap" },
      { keys: ["[", "]"], what: "edit.key.size" },
      { keys: ["Shift", "[ ]"], what: "edit.key.hardness" },
      { keys: ["Ctrl", "↕"], what: "edit.key.wheel" },
      { keys: ["Space"], what: "edit.key.pan" },
      { keys: ["Ctrl", "0 1 + −"], what: "edit.key.zoom" },
      { keys: ["Ctrl", "Z"], what: "common.undo" },
      { keys: ["Ctrl", "⇧", "Z"], what: "edit.redo" },
      { keys: ["Ctrl", "I"], what: "edit.invert" },
      { keys: ["Ctrl", "A"], what: "edit.selectAll" },
      { keys: ["Ctrl", "D"], what: "edit.selectNone" },
      { keys: ["Del"], what: "edit.key.delete" },
      { keys: ["Alt", "⌫"], what: "edit.key.fill" },
      { keys: ["Ctrl", "Enter"], what: "edit.key.go" },
      { keys: ["←", "→"], what: "edit.key.candidates" },
      { keys: ["Enter", "Del"], what: "edit.key.accept" },
      { keys: ["C"], what: "edit.compare" },
      { keys: ["Ctrl", "S"], what: "edit.download" },
    ],
  });
}
