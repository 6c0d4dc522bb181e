// SPDX-License-Identifier: Apache-2.0
// Keeps the document in the browser (IndexedDB), so that a reload or a closed tab loses nothing. Tiles never change once they
// are in a document, so each is written once.
import { Bitmap, type Channels, type Pixels } from "./model/bitmap";
import { bitmapsOf, type Doc, type Layer } from "./model/document";
import type { Plan, Task } from "./model/plan";
import type { Rect } from "./model/rect";

/** Work that the server does, or did, for the document. */
export interface KeptRun {
  readonly job: string;
  readonly plan: Plan;
  readonly gone: readonly string[]; // pictures that were discarded
}

export interface Kept {
  readonly doc: Doc;
  readonly frame: Rect;
  readonly task: Task;
  readonly runs: readonly KeptRun[];
}

interface FlatBitmap {
  channels: Channels;
  tiles: [number, string][]; // key, name in the store
}
type Flat<T> = {
  [K in keyof T]: T[K] extends Bitmap ? FlatBitmap : T[K] extends Bitmap | null ? FlatBitmap | null : T[K];
};
interface Record {
  owner: string; // the page that wrote it
  doc: Omit<Doc, "layers" | "selection"> & { layers: Flat<Layer>[]; selection: FlatBitmap | null };
  frame: Rect;
  task: Task;
  runs: (Omit<KeptRun, "plan"> & { plan: Flat<Plan> })[];
}

const base = "limn.editor";
const only = "current"; // the one document

function promised<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(base, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("documents");
    request.result.createObjectStore("tiles");
  };
  return promised(request);
}

function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(3)), (word) => word.toString(36)).join("");
}

export class Keeper {
  private readonly owner = randomName();
  private readonly names = new WeakMap<Pixels, string>();
  private written = new Set<string>();
  private database: Promise<IDBDatabase> | null = null;
  private last: Promise<void> = Promise.resolve();

  /** Writes what is new, one call after the other. */
  save(kept: Kept): Promise<void> {
    this.last = this.last
      .catch(() => this.written.clear()) // who knows what of it was written
      .then(() => this.write(kept));
    return this.last;
  }

  async load(): Promise<Kept | null> {
    const database = await this.opened();
    const transaction = database.transaction(["documents", "tiles"]);
    const record = (await promised(transaction.objectStore("documents").get(only))) as Record | undefined;
    if (!record) return null;
    const names = await promised(transaction.objectStore("tiles").getAllKeys());
    const tiles = await promised(transaction.objectStore("tiles").getAll());
    const stored = new Map(names.map((name, i) => [String(name), tiles[i] as Pixels]));
    for (const [name, tile] of stored) this.names.set(tile, name);
    return {
      doc: {
        ...record.doc,
        layers: record.doc.layers.map((layer) => ({ ...layer, bitmap: raised(layer.bitmap, stored) })),
        selection: record.doc.selection && raised(record.doc.selection, stored),
      },
      frame: record.frame,
      task: record.task,
      runs: record.runs.map((run) => ({
        ...run,
        plan: { ...run.plan, changes: run.plan.changes && raised(run.plan.changes, stored) },
      })),
    };
  }

  async forget(): Promise<void> {
    const transaction = (await this.opened()).transaction(["documents", "tiles"], "readwrite");
    transaction.objectStore("documents").clear();
    transaction.objectStore("tiles").clear();
    this.written.clear();
    await finished(transaction);
  }

  private opened(): Promise<IDBDatabase> {
    return (this.database ??= open());
  }

  private async write({ doc, frame, task, runs }: Kept): Promise<void> {
    const transaction = (await this.opened()).transaction(["documents", "tiles"], "readwrite");
    const documents = transaction.objectStore("documents");
    const tiles = transaction.objectStore("tiles");
    const before = (await promised(documents.get(only))) as Record | undefined;
    if (before?.owner !== this.owner) this.written.clear(); // another tab has written, and may have dropped our tiles

    const used = new Set<string>();
    const changes = runs.map((run) => run.plan.changes).filter((bitmap) => bitmap !== null);
    for (const bitmap of [...bitmapsOf(doc), ...changes])
      for (const tile of bitmap.tiles.values()) {
        const name = this.nameOf(tile);
        used.add(name);
        if (this.written.has(name)) continue;
        tiles.put(tile, name);
        this.written.add(name);
      }
    const record: Record = {
      owner: this.owner,
      doc: {
        ...doc,
        layers: doc.layers.map((layer) => ({ ...layer, bitmap: this.flat(layer.bitmap) })),
        selection: doc.selection && this.flat(doc.selection),
      },
      frame,
      task,
      runs: runs.map((run) => ({
        ...run,
        plan: { ...run.plan, changes: run.plan.changes && this.flat(run.plan.changes) },
      })),
    };
    documents.put(record, only);
    for (const name of await promised(tiles.getAllKeys())) if (!used.has(String(name))) tiles.delete(name);
    this.written = used;
    await finished(transaction);
  }

  private nameOf(tile: Pixels): string {
    let name = this.names.get(tile);
    if (!name) this.names.set(tile, (name = randomName()));
    return name;
  }

  private flat(bitmap: Bitmap): FlatBitmap {
    return {
      channels: bitmap.channels,
      tiles: [...bitmap.tiles].map(([key, tile]) => [key, this.nameOf(tile)]),
    };
  }
}

function raised(flat: FlatBitmap, stored: Map<string, Pixels>): Bitmap {
  const tiles = flat.tiles.map(([key, name]) => [key, stored.get(name)] as const);
  return new Bitmap(
    flat.channels,
    new Map(tiles.filter((pair): pair is [number, Pixels] => pair[1] !== undefined)),
  );
}
