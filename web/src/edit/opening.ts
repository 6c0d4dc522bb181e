// SPDX-License-Identifier: Apache-2.0
// What comes into the editor: pictures, as documents, as layers and as masks.
import { api } from "../lib/api";
import { t } from "../lib/i18n.svelte";
import { notices, notify, tell, type EditStart } from "../lib/store.svelte";
import type { Settings } from "../lib/types";
import { draftOf } from "../make/request";
import { decode, maskFrom } from "./decode";
import { Bitmap } from "./model/bitmap";
import { addLayer, changeLayer, isMask, maskLayerOf, newLayer, type Doc } from "./model/document";
import { resample } from "./model/resample";
import { docOf } from "./model/transform";
import { session } from "./session.svelte";

export async function open(start: EditStart): Promise<void> {
  session.busy = true;
  try {
    if ("file" in start) await openBlob(start.file, start.file.name);
    else if ("input" in start) {
      const response = await api.fetch(`/inputs/${encodeURIComponent(start.input)}`);
      await openBlob(await response.blob(), t("edit.layer.picture"));
    } else {
      const [picture, blob] = await Promise.all([api.picture(start.picture), api.pictureBlob(start.picture)]);
      await openBlob(blob, t("edit.layer.picture"), picture.request);
    }
  } catch (reason) {
    couldNotOpen(reason);
  } finally {
    session.busy = false;
  }
}

/** A new document, in the place of the one there is; which undo brings back. */
async function openBlob(blob: Blob, name: string, source: Settings | null = null): Promise<void> {
  const picture = await decode(blob);
  const replaces = session.hasPicture;
  const fresh = docOf(picture.pixels, picture.width, picture.height, {
    picture: name,
    mask: t("edit.layer.mask"),
  });
  session.do(t("edit.open"), () => ({ ...fresh, source }));
  session.frame = session.doc.bounds;
  session.candidates.shown = null;
  if (source) session.useWords(draftOf(source));
  const say = t("edit.opened", { width: picture.width, height: picture.height });
  if (replaces) notify(say, { label: t("common.undo"), run: () => session.undo() });
  session.say(say);
}

/** A picture as a layer, in the middle, made smaller where it is larger than the document. */
export async function addPicture(blob: Blob, name: string): Promise<void> {
  if (!session.hasPicture) return open({ file: new File([blob], name, { type: blob.type }) });
  try {
    const picture = await decode(blob);
    const { bounds } = session.doc;
    const scale = Math.min(1, bounds.width / picture.width, bounds.height / picture.height);
    const width = Math.max(1, Math.round(picture.width * scale));
    const height = Math.max(1, Math.round(picture.height * scale));
    const pixels = resample(picture.pixels, 4, picture.width, picture.height, width, height);
    const x = bounds.x + Math.round((bounds.width - width) / 2);
    const y = bounds.y + Math.round((bounds.height - height) / 2);
    session.do(t("edit.layer.add"), (doc) =>
      addLayer(doc, newLayer("image", name, Bitmap.of(4, { x, y, width, height }, pixels)), topPicture(doc)),
    );
    session.tool = "move";
    notify(t("edit.addedAsLayer"), {
      label: t("edit.openInstead"),
      run: () => {
        session.undo();
        void open({ file: new File([blob], name, { type: blob.type }) });
      },
    });
  } catch (reason) {
    couldNotOpen(reason);
  }
}

/** A picture as the mask: light is repainted. */
export async function addMask(blob: Blob): Promise<void> {
  try {
    const { bounds } = session.doc;
    const pixels = maskFrom(await decode(blob), bounds.width, bounds.height);
    session.do(t("edit.mask.upload"), (doc) => {
      const mask = maskLayerOf(doc);
      const base = mask ? doc : addLayer(doc, newLayer("mask", t("edit.layer.mask")));
      const id = mask?.id ?? base.active;
      return { ...changeLayer(base, id, { bitmap: Bitmap.of(1, bounds, pixels), x: 0, y: 0 }), active: id };
    });
    session.say(t("edit.mask.uploaded"));
  } catch (reason) {
    couldNotOpen(reason);
  }
}

function couldNotOpen(reason: unknown): void {
  if (reason instanceof DOMException)
    notices.add({ kind: "error", text: t("edit.cannotOpen"), detail: t("edit.cannotOpen.advice") });
  else tell(reason);
}

/** An empty sheet, to paint on or to fill by extending. */
export function blank(): void {
  const { width, height } = session.modelDefaults;
  const white = new Uint8ClampedArray(width * height * 4).fill(255);
  const fresh = docOf(white, width, height, {
    picture: t("edit.layer.picture"),
    mask: t("edit.layer.mask"),
  });
  session.do(t("edit.new"), () => fresh);
}

function topPicture(doc: Doc): number | undefined {
  return doc.layers.findLast((layer) => !isMask(layer))?.id;
}
