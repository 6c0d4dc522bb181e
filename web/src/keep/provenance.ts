// SPDX-License-Identifier: Apache-2.0
// Reads what a picture's record says; the record may come from an older or newer limn.
import { number, t, tryT } from "../lib/i18n.svelte";
import { nameOf } from "../lib/models";
import type { Model, Picture } from "../lib/types";

function text(...values: unknown[]): string {
  return values.find((value): value is string => typeof value === "string" && value !== "") ?? "";
}

export interface Origin {
  title: string;
  hash: string;
  licence: string;
}

export function originOf(picture: Picture, models: Model[]): Origin {
  const { record, request } = picture;
  const known = models.find(
    ({ sha256, name }) =>
      (sha256 !== null && sha256 === record.model_hash) || name === (request.model || "embedded"),
  );
  return {
    title: known ? nameOf(known) : text(record.model, picture.model),
    hash: text(record.model_hash, known?.sha256),
    licence: text(known?.licence),
  };
}

export function programOf(picture: Picture): string {
  const version = text(picture.record.limn_version);
  return version && `limn ${version}`;
}

/** What was asked for and, where the model decided, what it decided; with names in the reader's language. */
export function settingRows({ record, request }: Picture): [string, string][] {
  const decided = [
    "width",
    "height",
    "steps",
    "guidance_scale",
    "scheduler",
    "schedule",
    "clip_skip",
    "strength",
  ];
  const skipped = new Set(["prompt", "negative_prompt", "seed", "model", "prompt_syntax", "count"]);
  const all = { ...Object.fromEntries(decided.map((name) => [name, record[name]])), ...request };
  return Object.entries(all)
    .filter(([name, value]) => !skipped.has(name) && value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [tryT(`setting.${name}`) ?? name.replaceAll("_", " "), shown(value)]);
}

function shown(value: unknown): string {
  if (typeof value === "number") return number(value, 3);
  if (Array.isArray(value)) return value.map(String).join(", ");
  if (typeof value === "object") return JSON.stringify(value);
  if (typeof value === "boolean") return value ? t("common.yes") : t("common.no");
  return String(value);
}
