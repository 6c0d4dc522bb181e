// SPDX-License-Identifier: Apache-2.0
import type { Picture } from "../lib/types";

export const pageSize = 60;

/** A fresh first page before what was loaded of the older ones. */
export function merge(page: Picture[], loaded: Picture[]): Picture[] {
  const fresh = new Set(page.map((picture) => picture.id));
  const last = page.at(-1);
  if (!last || page.length < pageSize) return page;
  return [...page, ...loaded.filter((picture) => !fresh.has(picture.id) && picture.created <= last.created)];
}
