// SPDX-License-Identifier: Apache-2.0
// What can be done with a picture, wherever it is shown.
import { api } from "../lib/api";
import { copy } from "../lib/browser";
import { t } from "../lib/i18n.svelte";
import { notify, place, tell } from "../lib/store.svelte";
import type { Picture } from "../lib/types";
import { form } from "../make/draft.svelte";
import { settingsText } from "../make/request";
import { runs } from "../make/runs.svelte";
import { randomSeed, seedValue } from "../make/seeds";

const variationStrength = 0.3;

/** Four pictures with nearly the same noise. */
export async function makeVariations(id: string): Promise<void> {
  try {
    const { request } = await api.picture(id);
    const seed = randomSeed();
    place.go("make");
    const one = { ...request, count: 1, variation_strength: variationStrength };
    await runs.send(
      [1, 2, 3, 4].map((i) => ({ ...one, variation_seed: seedValue(String(BigInt(seed) + BigInt(i))) })),
    );
  } catch (reason) {
    tell(reason);
  }
}

/** Makes a picture the one that the next starts from. */
export async function startFromPicture(id: string): Promise<void> {
  try {
    const input = await api.addInput(await api.pictureBlob(id));
    form.startFrom(input.id, input.width, input.height);
    place.go("make");
  } catch (reason) {
    tell(reason);
  }
}

/** Puts a picture's settings into the form. */
export async function useSettings({ request }: Picture): Promise<void> {
  form.apply(request);
  place.go("make");
  notify(t("picture.settingsUsed"));
  if (!request.init_image?.startsWith("input:") || request.mask) return;
  const start = new Image();
  start.src = api.inputUrl(request.init_image);
  await start.decode().catch(() => notify(t("start.gone")));
  if (start.naturalWidth > 0) form.startFrom(request.init_image, start.naturalWidth, start.naturalHeight);
}

/** The same request again, at once. */
export async function makeAgain(picture: Picture): Promise<void> {
  place.go("make");
  await runs.send([picture.request]);
}

export async function copySettings(picture: Picture): Promise<void> {
  await copy(settingsText(picture.request));
  notify(t("picture.settingsCopied"));
}

/** Into the bin or out of it, with a way back. */
export async function setDeleted(
  ids: string[],
  deleted: boolean,
  after: () => void = () => undefined,
): Promise<void> {
  try {
    await api.changeAll(ids, { deleted });
    after();
    const back = async () => {
      await api.changeAll(ids, { deleted: !deleted }).catch(tell);
      after();
    };
    notify(t(deleted ? "picture.deleted" : "picture.restored", { n: ids.length }), {
      label: t("common.undo"),
      run: back,
    });
  } catch (reason) {
    tell(reason);
  }
}
