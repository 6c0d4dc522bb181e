// SPDX-License-Identifier: Apache-2.0
// The pictures that match the search, page by page.
import { api } from "../lib/api";
import { tell } from "../lib/store.svelte";
import type { Picture, Tag } from "../lib/types";
import { merge, pageSize } from "./pages";

class Gallery {
  q = $state("");
  tag = $state("");
  rating = $state("0");
  bin = $state(false);
  pictures = $state.raw<Picture[]>([]);
  total = $state(0);
  tags = $state.raw<Tag[]>([]);
  ready = $state(false);
  private loading: AbortController | null = null;
  private shown = ""; // the search whose pictures are loaded

  get isFiltered(): boolean {
    return this.q !== "" || this.tag !== "" || this.rating !== "0";
  }

  /** The first page; the rest is kept when the search is still the same. */
  async refresh(): Promise<void> {
    this.loading?.abort();
    const stop = (this.loading = new AbortController());
    const search = JSON.stringify(this.query());
    try {
      const [page, tags] = await Promise.all([api.pictures(this.query(), stop.signal), api.tags()]);
      if (stop.signal.aborted) return;
      this.pictures = search === this.shown ? merge(page.pictures, this.pictures) : page.pictures;
      this.total = page.total;
      this.tags = tags;
      this.shown = search;
      this.ready = true;
    } catch (reason) {
      tell(reason);
    } finally {
      if (this.loading === stop) this.loading = null;
    }
  }

  async more(): Promise<void> {
    if (this.loading || this.pictures.length >= this.total) return;
    const stop = (this.loading = new AbortController());
    try {
      const page = await api.pictures({ ...this.query(), before: this.pictures.at(-1)?.id }, stop.signal);
      if (stop.signal.aborted) return;
      const known = new Set(this.pictures.map((picture) => picture.id));
      this.pictures = [...this.pictures, ...page.pictures.filter((picture) => !known.has(picture.id))];
      this.total = page.pictures.length > 0 ? page.total : this.pictures.length;
    } catch (reason) {
      tell(reason);
    } finally {
      if (this.loading === stop) this.loading = null;
    }
  }

  /** Shows a change before the server has said that it is done. */
  patch(ids: string[], change: (picture: Picture) => Picture): void {
    const changed = new Set(ids);
    this.pictures = this.pictures.map((picture) => (changed.has(picture.id) ? change(picture) : picture));
  }

  private query() {
    return {
      q: this.q.trim(),
      tag: this.tag,
      rating: Number(this.rating) || undefined,
      deleted: this.bin,
      limit: pageSize,
    };
  }
}

export const gallery = new Gallery();
