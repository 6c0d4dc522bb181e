// SPDX-License-Identifier: Apache-2.0

/** Before which job one has to go to be at place `to` (from 0); "": to the end; null: it is there already, or cannot be. */
export function beforeOf(ids: string[], id: string, to: number): string | null {
  const from = ids.indexOf(id);
  if (from < 0 || to < 0 || to >= ids.length || to === from) return null;
  const others = ids.filter((other) => other !== id);
  return others[to] ?? "";
}
