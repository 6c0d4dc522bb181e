// SPDX-License-Identifier: Apache-2.0
import { t } from "./i18n.svelte";
import type { Model } from "./types";

/** What people call a model: its file's name without the ending. */
export function nameOf({ name }: Pick<Model, "name">): string {
  return name === "embedded"
    ? t("provenance.embedded")
    : name.replace(/\.(?:safetensors|ckpt|pt|gguf)$/i, "");
}
